/**
 * The run in the main process. Vitest calls the global set-up for each project that names it, and may load
 * this module more than once, so the state is on the global object.
 */
import adapter from 'ephemeral-pipe-broker/adapter';

const STATE = Symbol.for('@ephemeral-broker/vitest');

/**
 * @typedef {import('ephemeral-pipe-broker/adapter').RunOptions} RunOptions
 * @typedef {import('ephemeral-pipe-broker/adapter').Run} Run
 * @typedef {import('ephemeral-pipe-broker/adapter').Shard} Shard
 * @typedef {{ options: Map<RunOptions, Shard | null>, runs: Map<RunOptions, Run>, users: number }} State
 */

/** @returns {State} */
function state() {
  const realm = /** @type {Record<symbol, State>} */ (/** @type {unknown} */ (globalThis));
  realm[STATE] ??= { options: new Map(), runs: new Map(), users: 0 };
  return realm[STATE];
}

/**
 * @param {RunOptions} options
 * @param {Shard | null} shard
 */
export function register(options, shard) {
  state().options.set(options, shard);
}

/** @param {any} project */
export async function start(project) {
  const { options, runs } = state();
  const isFirst = state().users === 0;
  state().users++;
  try {
    for (const [one, shard] of options) {
      if (!runs.has(one)) runs.set(one, adapter.ensureRun(one, { adapter: 'vitest', shard }));
    }
    await Promise.all([...runs.values()].map((run) => run.ready()));
    for (const { pipe } of runs.values()) project.provide('ephemeralPipe', pipe);
  } catch (error) {
    await leave().catch(() => {});
    throw error;
  }
  if (isFirst) project.onTestsRerun(endRuns);
}

export async function check() {
  for (const run of state().runs.values()) await run.check();
}

async function endRuns() {
  for (const run of state().runs.values()) await run.endRun();
}

/** The last project ends the runs. */
export async function leave() {
  const { options, runs } = state();
  state().users--;
  if (state().users > 0) return;
  try {
    await endRuns();
  } finally {
    const ending = [...runs.values()];
    runs.clear();
    options.clear();
    await Promise.all(ending.map((run) => run.stop()));
  }
}

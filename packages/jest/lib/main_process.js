/** The global hooks. Jest calls them in its main process, in watch mode once for each run. */
'use strict';

const { ensureRun } = require('ephemeral-pipe-broker/adapter');
const { closeClient } = require('./worker_client.js');
const { ofJest, resolveFrom } = require('./packages.js');
const { registry } = require('./registry.js');

/** @param {any} globalConfig */
function shardOf({ shard }) {
  return shard ? { index: shard.shardIndex, total: shard.shardCount } : null;
}

/**
 * Runs a global hook of the user, as Jest does: it may need a transform, or be an ES module.
 * @param {string | undefined} file as it is written in the configuration
 * @param {string | undefined} rootDir of that configuration
 * @param {any} globalConfig
 * @param {any} projectConfig
 */
async function runHook(file, rootDir, globalConfig, projectConfig) {
  if (file === undefined || file === null) return;
  const { createScriptTransformer } = ofJest('@jest/transform');
  const transformer = await createScriptTransformer(projectConfig);
  const found = resolveFrom(file, rootDir ?? globalConfig.rootDir);
  await transformer.requireAndTranspileModule(found, async (/** @type {any} */ hook) => {
    const run = hook?.default ?? hook;
    if (typeof run !== 'function') throw new TypeError(`${file} must export a function`);
    await run(globalConfig, projectConfig);
  });
}

/** All runs end, also when the `cleanup` of one fails. */
async function end() {
  const { runs } = registry();
  const ending = runs.splice(0);
  registry().hasRun = true;
  closeClient();
  try {
    for (const run of ending) await run.endRun();
  } finally {
    await Promise.all(ending.map((run) => run.stop()));
  }
}

/**
 * @param {any} globalConfig
 * @param {any} projectConfig one of several projects, so it has no options of the run
 */
async function start(globalConfig, projectConfig) {
  const { options, hooks, runs } = registry();
  if (runs.length > 0) return;
  const all = options.length > 0 ? options : [{}];
  const shard = shardOf(globalConfig);
  try {
    for (const one of all) runs.push(ensureRun(one, { adapter: 'jest', shard }));
    await Promise.all(runs.map((run) => run.ready()));
    for (const { setup, rootDir } of hooks) {
      await runHook(setup, rootDir, globalConfig, projectConfig);
    }
    // The user's own set-up may have defined keys.
    for (const run of runs) await run.check();
  } catch (error) {
    await end().catch(() => {});
    throw error;
  }
}

/**
 * @param {any} globalConfig
 * @param {any} projectConfig
 */
async function stop(globalConfig, projectConfig) {
  const { hooks } = registry();
  try {
    for (const { teardown, rootDir } of hooks) {
      await runHook(teardown, rootDir, globalConfig, projectConfig);
    }
  } finally {
    await end();
  }
}

module.exports = { start, stop };

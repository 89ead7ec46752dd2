/** Vitest runs this file before each test file: its tokens, and the clients that it makes. */
import path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, inject } from 'vitest';
import adapter from 'ephemeral-pipe-broker/adapter';
import { newClient, setTokens, whileVitestRuns, workerId } from './worker.mjs';

/** The library adds the connections of this realm to a set of this name. */
const SCOPE = Symbol.for('ephemeral-pipe-broker.scope');
const NO_LIMIT = 0;

const { tokens, envVars, waitMs, noticeMs, known, hasRealms } = inject('ephemeralBroker');
/** @type {any} */
const realm = globalThis;
/** @type {any} */
let client;
/** @type {import('ephemeral-pipe-broker/adapter').Taken | undefined} */
let taken;
/** @type {(() => void)[]} */
const undo = [];

if (hasRealms) realm[SCOPE] = new Set();

/** @param {Record<string, string>} env inherited by the processes that tests start */
function exportAll(env) {
  for (const [name, value] of Object.entries(env)) {
    const before = process.env[name];
    process.env[name] = value;
    undo.push(() => {
      if (before === undefined) delete process.env[name];
      else process.env[name] = before;
    });
  }
}

beforeAll(async () => {
  client = newClient();
  taken = await whileVitestRuns((signal) =>
    adapter.takeTokens(client, tokens, { workerId: workerId(), waitMs, noticeMs, known, signal }),
  );
  setTokens(taken.values);
  exportAll(taken.env(envVars));
}, NO_LIMIT);

// A token that is lost fails the test that used it.
afterEach(({ task }) => taken?.check(JSON.stringify(task.name)));

afterAll(async () => {
  for (const restore of undo.splice(0)) restore();
  try {
    await taken?.release({ during: path.basename(expect.getState().testPath ?? 'its file') });
  } finally {
    await client?.close();
    if (hasRealms) for (const connection of [...realm[SCOPE]]) connection.end();
  }
}, NO_LIMIT);

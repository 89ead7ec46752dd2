/**
 * What the test files share through the broker: a token made once for the whole run, a counter
 * that all of them add to, and an object that each worker leaves for the others.
 */
'use strict';

const { createHash, randomUUID } = require('node:crypto');
const { setTimeout: pause } = require('node:timers/promises');
const { PipeClient } = require('ephemeral-pipe-broker');

const RUN_TTL = 10 * 60_000;

/** Stands for a slow log-in that must not happen once a worker. */
async function logIn(client) {
  await client.incr('log-ins', 1, RUN_TTL);
  return { user: 'ada', token: randomUUID() };
}

/** The session of this run. The first worker that says so logs in, the others wait for it. */
async function session(client) {
  try {
    await client.set('log-in-started', process.pid, RUN_TTL, { ifAbsent: true });
  } catch (error) {
    if (error.code !== 'conflict') throw error;
    return laterSession(client);
  }
  await client.set('session', await logIn(client), RUN_TTL);
  return client.get('session');
}

async function laterSession(client) {
  for (;;) {
    const found = await client.get('session', { default: null });
    if (found) return found;
    await pause(5);
  }
}

/** To compare secrets without showing them. */
function fingerprint(text) {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

/** Records that a test file ran in this worker, and what it saw. */
async function report(client, file, { token }) {
  const count = await client.incr('files', 1, RUN_TTL);
  const seen = { file, worker: process.env.JEST_WORKER_ID, pid: process.pid, count };
  await client.set(`report:${file}`, { ...seen, session: fingerprint(token) }, RUN_TTL);
  return count;
}

module.exports = { PipeClient, fingerprint, report, session };

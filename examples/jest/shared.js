/**
 * The state that the test files share through the broker: a token created once for the whole run, a counter
 * that all files increment, and a report of each file.
 */
'use strict';

const { createHash, randomUUID } = require('node:crypto');
const { PipeClient } = require('ephemeral-pipe-broker');

const RUN_TTL = 10 * 60_000;

/** Stands for a slow log-in that must not run in every worker. */
async function logIn(client) {
  await client.incr('log-ins', 1, RUN_TTL);
  return { user: 'ada', token: randomUUID() };
}

/** The session of this run. The first worker that needs it logs in; the others wait for the session. */
function session(client) {
  return client.getOrSet('session', RUN_TTL, () => logIn(client));
}

/** Compares secrets without showing them. */
function fingerprint(text) {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

/** Records that a test file ran in this worker, and the session that it used. */
async function report(client, file, { token }) {
  const count = await client.incr('files', 1, RUN_TTL);
  const seen = { file, worker: process.env.JEST_WORKER_ID, pid: process.pid, count };
  await client.set(`report:${file}`, { ...seen, session: fingerprint(token) }, RUN_TTL);
  return count;
}

module.exports = { PipeClient, fingerprint, report, session };

/**
 * A worker of main.js: node worker.js NUMBER [stays]
 *
 * With `stays` it keeps its first account until main.js kills it.
 */
'use strict';

const { createHash, randomUUID } = require('node:crypto');
const { setTimeout: pause } = require('node:timers/promises');
const { PipeClient } = require('ephemeral-pipe-broker');
const { WORKERS, now } = require('./shared.js');

const RUN_TTL = 10 * 60_000;
const TURNS = 3;

const [, , number, fate] = process.argv;
const client = new PipeClient(null, { workerId: number });

/** Expensive: done once in a run. */
async function logIn() {
  await client.incr('log-ins', 1, RUN_TTL);
  await pause(50);
  return { user: 'admin', token: randomUUID() };
}

/** Compares secrets without showing them. */
function fingerprint(text) {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

async function turn(session) {
  await client.withLease('accounts', async ({ user }) => {
    const from = now();
    if (fate === 'stays') {
      process.send({ session, user, from, stays: true });
      await pause(RUN_TTL);
    }
    await pause(5 + Math.random() * 10);
    process.send({ session, user, from, until: now() });
  });
}

async function main() {
  // The first worker logs in, the others wait for its session.
  const { token } = await client.getOrSet('session', RUN_TTL, logIn);
  // All workers wait here before the first request, so that a queue forms.
  await client.barrier('start', WORKERS);
  for (let i = 0; i < TURNS; i++) await turn(fingerprint(token));
  process.disconnect();
  await client.close();
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});

'use strict';

const { createHash, randomUUID } = require('node:crypto');
const { PipeClient } = require('ephemeral-pipe-broker');

const MINUTE = 60_000;
const STEPS = 100;

/** The token of this run: whoever comes first makes it, everybody else finds it. */
async function sharedToken(client) {
  try {
    await client.set('token', randomUUID(), MINUTE, { ifAbsent: true });
    await client.incr('tokens-made', 1, MINUTE);
  } catch (error) {
    if (error.code !== 'conflict') throw error;
  }
  return client.get('token');
}

async function main() {
  const client = new PipeClient();
  const token = await sharedToken(client);
  for (let step = 0; step < STEPS; step++) await client.incr('counter', 1, MINUTE);
  // A fingerprint is enough to compare; a token has no business in a message or a log.
  process.send({ pid: process.pid, token: createHash('sha256').update(token).digest('hex') });
  process.disconnect();
  await client.close();
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});

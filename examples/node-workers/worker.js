'use strict';

const { createHash, randomUUID } = require('node:crypto');
const { PipeClient } = require('ephemeral-pipe-broker');

const MINUTE = 60_000;
const STEPS = 100;

/** The token of this run: the first worker creates it, all others get it. */
function sharedToken(client) {
  return client.getOrSet('token', MINUTE, async () => {
    await client.incr('tokens-made', 1, MINUTE);
    return randomUUID();
  });
}

async function main() {
  const client = new PipeClient();
  const token = await sharedToken(client);
  for (let step = 0; step < STEPS; step++) await client.incr('counter', 1, MINUTE);
  // A fingerprint is enough to compare; a token must not appear in messages or logs.
  process.send({ pid: process.pid, token: createHash('sha256').update(token).digest('hex') });
  process.disconnect();
  await client.close();
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});

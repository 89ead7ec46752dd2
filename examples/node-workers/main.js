/**
 * Eight processes share a token and a counter:
 *
 *   npx ephemeral-pipe-broker start -- node examples/node-workers/main.js
 *
 * Only the first process that needs the token creates it. Each process increments the counter. The children
 * find the broker by the environment that they inherit.
 */
'use strict';

const { fork } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const { PipeClient } = require('ephemeral-pipe-broker');

const WORKERS = 8;

/** Resolves the report of a worker when it has ended with status 0. */
async function runWorker(number) {
  const worker = fork(path.join(__dirname, 'worker.js'), [String(number)]);
  const [[report], [status]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')]);
  if (status !== 0) throw new Error(`worker ${number} ended with status ${status}`);
  return report;
}

async function main() {
  const client = new PipeClient();
  const reports = await Promise.all(Array.from({ length: WORKERS }, (_, i) => runWorker(i + 1)));
  const tokens = new Set(reports.map(({ token }) => token));
  console.log(`${WORKERS} workers in ${new Set(reports.map(({ pid }) => pid)).size} processes`);
  console.log(`tokens seen: ${tokens.size}, made: ${await client.get('tokens-made')}`);
  console.log(`counter: ${await client.get('counter')}`);
  await client.close();
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});

/**
 * The main process of a fake test runner: argv[2] is JSON { options, who }. It makes the run, reports it, and
 * obeys messages: `end`, `stop`, `fork` (a worker that takes the tokens).
 */
'use strict';

const path = require('node:path');
const { fork } = require('node:child_process');
const { ensureRun } = require('../../lib/adapter/adapter.js');

const { options, who } = JSON.parse(process.argv[2]);

async function main() {
  const run = ensureRun(options, who);
  await run.ready();
  process.on('message', async ({ type, workerId }) => {
    if (type === 'end') await run.endRun();
    if (type === 'stop') await run.stop();
    if (type === 'fork') {
      const settings = { tokens: options.tokens, adapter: who.adapter, workerId };
      const child = fork(path.join(__dirname, 'runner_worker.js'), [JSON.stringify(settings)]);
      child.on('message', (message) => process.send({ ...message, worker: child.pid }));
      child.on('exit', (code, signal) => process.send({ type: 'exit', code, signal, workerId }));
      return;
    }
    process.send({ type: `${type} done`, env: process.env.EPHEMERAL_PIPE ?? null });
    if (type === 'stop') process.disconnect();
  });
  process.send({ type: 'ready', pipe: run.pipe, owned: run.owned });
}

main().catch((error) => {
  process.send({ type: 'failed', message: error.message });
  process.disconnect();
});

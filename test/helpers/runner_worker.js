/** A worker of the fake test runner (runner_main.js): takes the tokens and holds them until it is told. */
'use strict';

const { takeTokens, worker } = require('../../lib/adapter/adapter.js');

const { tokens, adapter, workerId } = JSON.parse(process.argv[2]);

async function main() {
  const client = worker({ adapter, workerId });
  const taken = await takeTokens(client, tokens, { workerId, noticeMs: 0 });
  process.send({ type: 'taken', workerId, values: taken.values });
}

main().catch((error) => {
  process.send({ type: 'failed', message: error.message });
  process.disconnect();
});

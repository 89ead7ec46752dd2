// Brokers on Windows: names of pipes, and refusals. Run by scripts/wine.
'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const test = require('node:test');

const { Broker } = require('../..');
const { ROOT, SECRET, startBroker, startClient, withCode } = require('../helpers/broker.js');

test('a name belongs to the broker that has it, until it stops', async (t) => {
  const options = { exportEnv: false, secret: null, pipeId: `test-${process.pid}` };
  const first = startBroker(t, options);
  assert.equal(first.pipe, `\\\\.\\pipe\\broker-test-${process.pid}`);
  const client = startClient(t, first);
  await client.set('k', 1, 60_000);
  assert.throws(() => new Broker(options).startSync(), withCode('conflict'));
  assert.equal(await client.get('k'), 1);
  await client.close();
  await first.stop();
  const second = startBroker(t, options);
  await assert.rejects(startClient(t, second).get('k'), withCode('not_found'));
});

test('a connection beyond maxConnections is refused, with the reason', async (t) => {
  const broker = startBroker(t, { maxConnections: 1, secret: SECRET });
  const client = startClient(t, broker);
  await client.ping();
  const script = `
    const { PipeClient } = require(${JSON.stringify(ROOT)});
    new PipeClient(undefined, { timeout: 60000 }).ping().catch((error) => {
      process.exitCode = error.code === 'max_connections' ? 7 : 1;
    });
  `;
  const env = { ...process.env, ...broker.env() };
  const child = spawn(process.execPath, ['-e', script], { env, stdio: 'inherit' });
  assert.deepEqual(await once(child, 'exit'), [7, null]);
  assert.equal(await client.ping(), true);
});

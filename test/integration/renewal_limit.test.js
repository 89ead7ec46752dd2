'use strict';

// A broker with as many connections as it may have, in a process of its own: leases are renewed all the
// same, since the connection that renews is one more (PROTOCOL.md, "Sessions of several connections").
const assert = require('node:assert/strict');
const { once } = require('node:events');
const { test } = require('node:test');
const { Worker } = require('node:worker_threads');
const { ROOT, SECRET, runNode, until } = require('../helpers/broker.js');
const { startBrokerProcess } = require('../helpers/broker_process.js');
const { stretched } = require('../helpers/time_limits.js');

const MOST = 3;

/** A thread has a connection to itself; what came of its ping. */
async function inThread(t, pipe, secret) {
  const script = `
    const { parentPort, workerData } = require('node:worker_threads');
    const { PipeClient } = require(workerData.root);
    const client = new PipeClient(workerData.pipe, { secret: workerData.secret });
    const say = (outcome) => parentPort.postMessage(outcome);
    client.ping().then(() => say('pong'), (error) => say(error.code));
    parentPort.on('message', () => {});
  `;
  const worker = new Worker(script, { eval: true, workerData: { root: ROOT, pipe, secret } });
  t.after(() => worker.terminate());
  const [outcome] = await once(worker, 'message');
  return outcome;
}

for (const secret of [null, SECRET]) {
  const how = secret === null ? 'without a secret' : 'with a secret';

  test(`a full broker loses no lease of a healthy client, ${how}`, async (t) => {
    const ttl = stretched(300);
    const { client, pipe } = await startBrokerProcess(t, { maxConnections: MOST, secret });
    await client.pool('p', ['one']);
    for (let i = 1; i < MOST; i++) assert.equal(await inThread(t, pipe, secret), 'pong');
    assert.equal((await client.stats()).connections, MOST);
    const lease = await client.acquire('p', { ttl });
    await until(async () => {
      const [held] = await client.leases('p');
      assert.equal(lease.signal.aborted, false, 'it was lost');
      return Date.now() - held.since > 2 * ttl;
    }, 'it has lasted longer than its TTL');
    assert.equal((await client.stats()).connections, MOST + 1);
    await lease.release();
  });
}

test('another process is refused by a full broker, and told', async (t) => {
  const { client, pipe } = await startBrokerProcess(t, { maxConnections: 1 });
  await client.ping();
  const script = `
    const { PipeClient } = require(ROOT);
    const client = new PipeClient(${JSON.stringify(pipe)}, { timeout: 20_000 });
    client.get('k').catch((error) => console.log(error.code));
  `;
  assert.equal((await runNode(script)).stdout, 'max_connections\n');
});

test('another thread of the same process is refused, too', async (t) => {
  const { client, pipe } = await startBrokerProcess(t, { maxConnections: 1 });
  await client.ping();
  assert.equal(await inThread(t, pipe, null), 'max_connections');
});

'use strict';

const assert = require('node:assert/strict');
const net = require('node:net');
const path = require('node:path');
const { once } = require('node:events');
const { test } = require('node:test');
const {
  PipeClient,
  SECRET,
  runNode,
  startBroker,
  startPair,
  temporaryDirectory,
  withCode,
} = require('../helpers/broker.js');

const TTL = 60_000;

for (const secret of [null, SECRET]) {
  const how = secret === null ? 'without a secret' : 'with a secret';

  test(`getSync as the first call of a process, ${how}`, async (t) => {
    const { broker, client } = startPair(t, { secret });
    await client.set('config', { workers: 4 }, TTL);
    const script = `
      const { PipeClient } = require(ROOT);
      console.log(JSON.stringify(new PipeClient().getSync('config')));
    `;
    const result = await runNode(script, { env: broker.env() });
    assert.deepEqual(result, { status: 0, signal: null, stdout: '{"workers":4}\n', stderr: '' });
  });

  test(`getSync sends what was asked before, and does not lose its answers, ${how}`, async (t) => {
    const { client } = startPair(t, { secret });
    await client.ping();
    const before = [
      client.set('k', 'v', TTL),
      client.incr('n', 1, TTL),
      client.get('no', { default: 0 }),
    ];
    assert.equal(client.getSync('k'), 'v');
    const after = client.incr('n', 1, TTL);
    assert.equal(client.getSync('n'), 2);
    assert.deepEqual(await Promise.all([...before, after]), [true, 1, 0, 2]);
  });
}

test('getSync throws what get rejects with, and takes a default', (t) => {
  const { client } = startPair(t);
  assert.throws(() => client.getSync('no'), withCode('not_found', /^getSync "no": /));
  assert.equal(client.getSync('no', { default: 5 }), 5);
  assert.equal(client.getSync('no', { default: undefined }), undefined);
  assert.throws(() => client.getSync(''), withCode('invalid_key'));
  assert.throws(() => client.getSync('k', { tiemout: 5 }), withCode('invalid_request', /timeout/));
});

test('getSync of a large value', async (t) => {
  const { client } = startPair(t);
  const value = 'x'.repeat(250_000);
  await client.set('k', value, TTL);
  assert.ok(client.getSync('k') === value);
});

test('getSync with a wrong secret throws auth_failed at once', (t) => {
  const broker = startBroker(t, { secret: SECRET });
  const client = new PipeClient(broker.pipe, { secret: 'not the secret', timeout: 60_000 });
  t.after(() => client.close());
  assert.throws(() => client.getSync('k'), withCode('auth_failed', /EPHEMERAL_SECRET/));
});

test('getSync ends with its timeout when nothing answers', async (t) => {
  const pipe = path.join(temporaryDirectory(t), 'mute.sock');
  const server = net.createServer().listen(pipe);
  server.on('connection', (socket) => t.after(() => socket.destroy()));
  t.after(() => server.close());
  await once(server, 'listening');
  const client = new PipeClient(pipe, { timeout: 60 });
  const start = performance.now();
  assert.throws(() => client.getSync('k'), withCode('timeout', /^getSync "k": .* 60 ms/));
  assert.ok(performance.now() - start >= 59);
});

test('getSync throws broker_gone soon where there is no pipe', (t) => {
  const pipe = path.join(temporaryDirectory(t), 'none.sock');
  const client = new PipeClient(pipe, { timeout: 600_000 });
  assert.throws(() => client.getSync('k'), withCode('broker_gone', /No broker at .*none\.sock/));
});

test('getSync waits for the next broker, once there was one', async () => {
  // Another thread starts it: this one is blocked meanwhile.
  const script = `
    const { Worker } = require('node:worker_threads');
    const { PipeClient, Broker } = require(ROOT);
    const options = { pipeId: 'sync-' + process.pid, secret: null, exportEnv: false };
    const isAsking = new Int32Array(new SharedArrayBuffer(4));
    new Worker(
      \`const { workerData: { ROOT, options, isAsking } } = require('node:worker_threads');
      Atomics.wait(isAsking, 0, 0);
      new (require(ROOT).Broker)(options).startSync();\`,
      { eval: true, workerData: { ROOT, options, isAsking } },
    ).once('online', async () => {
      const first = new Broker(options);
      const client = new PipeClient(first.startSync(), { timeout: 600000 });
      await client.ping();
      await first.stop();
      // A connection that was used a moment ago is trusted.
      await new Promise((resolve) => setTimeout(resolve, 60));
      Atomics.store(isAsking, 0, 1);
      Atomics.notify(isAsking, 0);
      console.log(client.getSync('k', { default: 'there' }));
      process.exit();
    });
  `;
  const result = await runNode(script);
  assert.deepEqual(result, { status: 0, signal: null, stdout: 'there\n', stderr: '' });
});

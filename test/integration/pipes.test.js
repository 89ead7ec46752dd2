/**
 * Clients on pipes: they are served as on sockets, and whatever ends there, be it the client, the broker or
 * the way itself, is noticed at once and harms nobody else. How both go over is tested in C.
 */
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
  startClient,
  startPair,
  startWorker,
  temporaryDirectory,
} = require('../helpers/broker.js');
const { startBrokerProcess } = require('../helpers/broker_process.js');
const { stretched } = require('../helpers/time_limits.js');
const { goOver, here, ownPipes } = require('../helpers/pipes.js');

const only = { skip: !here && 'Linux only' };
const TTL = 60_000;

for (const secret of [null, SECRET]) {
  test(`${secret ? 'with' : 'without'} a secret all is as on a socket`, only, async (t) => {
    const { client } = startPair(t, { secret });
    await client.ping();
    const started = ownPipes().length;
    await goOver(client);
    assert.equal(ownPipes().length, started + 4, 'two ends each');

    const watch = client.watch('value');
    await watch.ready;
    for (const size of [0, 1, 100, 5000, 65_536, 200_000]) {
      const value = 'v'.repeat(size);
      await client.set(`value ${size}`, value, TTL);
      assert.equal(await client.get(`value ${size}`), value);
      assert.equal(client.getSync(`value ${size}`), value);
      const { value: event } = await watch.next();
      assert.deepEqual([event.type, event.key], ['set', `value ${size}`]);
    }
    await watch.return();
    const many = Array.from({ length: 2000 }, (_, i) => i);
    await Promise.all(many.map((i) => client.set(`many ${i}`, i, TTL)));
    assert.deepEqual(await Promise.all(many.map((i) => client.get(`many ${i}`))), many);
    // For large ones in a row it goes back to the socket, and over again for small ones.
    for (let i = 0; i < 100; i++) {
      const value = 'v'.repeat(i % 50 < 25 ? 30_000 : 30) + i;
      await client.set('changing', value, TTL);
      assert.equal(await client.get('changing'), value);
      if (i % 50 > 25) await goOver(client);
    }
    assert.equal(ownPipes().length, started + 4, 'the same ends');
    const held = await client.acquireLock('lock', { ttl: stretched(500) });
    const waits = client.acquireLock('lock', { workerId: 'next', ttl: TTL });
    await held.release();
    await (await waits).release();
  });
}

test('what a worker held that is killed on pipes is the next one’s', only, async (t) => {
  const broker = startBroker(t, { secret: SECRET });
  const client = await goOver(startClient(t, broker));
  const script = `
    const { goOver, ownPipes } = require(ROOT + '/test/helpers/pipes');
    on.count = () => ownPipes().length;
    on.hold = async () => {
      await goOver(client);
      await client.acquireLock('lock', { ttl: 600000 });
      return ownPipes().length;
    };`;
  const worker = startWorker(t, broker, script, { workerId: 'worker' });
  const before = await worker.ask('count');
  assert.equal(await worker.ask('hold'), before + 2);
  const next = client.acquireLock('lock', { workerId: 'next', waitMs: Infinity });
  await worker.kill();
  await (await next).release();
});

test('a broker that is killed is missed at once, and takes nobody with it', only, async (t) => {
  const broker = await startBrokerProcess(t, { secret: SECRET });
  const script = `
    const { PipeClient } = require(ROOT);
    (async () => {
      // Listened to once and not any more, the signal is deadly.
      const ignore = () => {};
      process.on('SIGPIPE', ignore);
      process.off('SIGPIPE', ignore);
      const client = new PipeClient(${JSON.stringify(broker.pipe)}, { secret: ${JSON.stringify(SECRET)}, timeout: 1e6 });
      for (let i = 0; i < 80; i++) await client.ping();
      const waits = client.waitFor('never', { timeout: 1e6 });
      await client.ping();
      process.kill(${broker.pid}, 'SIGKILL');
      await waits.catch((error) => console.log(error.code));
      process.exit();
    })();`;
  assert.deepEqual(await runNode(script), {
    status: 0,
    signal: null,
    stdout: 'broker_gone\n',
    stderr: '',
  });
});

test('the children of either inherit no pipe', only, async (t) => {
  const { client } = startPair(t, { secret: SECRET });
  const started = new Set(ownPipes());
  await goOver(client);
  const added = ownPipes().filter((pipe) => !started.has(pipe));
  assert.equal(new Set(added).size, 2);
  const { stdout } = await runNode(
    `console.log(JSON.stringify(require(ROOT + '/test/helpers/pipes').ownPipes()))`,
  );
  const inherited = JSON.parse(stdout);
  assert.deepEqual(
    added.filter((pipe) => inherited.includes(pipe)),
    [],
  );
});

test('through a relay, which passes no descriptors, a client stays on its socket', async (t) => {
  const broker = startBroker(t, { secret: SECRET });
  const pipe = path.join(temporaryDirectory(t), 'relay.sock');
  const relay = net.createServer((socket) => {
    const on = net.connect(broker.pipe);
    socket.on('error', () => {}).pipe(on);
    on.on('error', () => {}).pipe(socket);
  });
  relay.listen(pipe);
  t.after(() => relay.close());
  await once(relay, 'listening');
  const client = new PipeClient(pipe, { secret: SECRET });
  t.after(() => client.close());
  await goOver(client);
  for (let i = 1; i <= 100; i++) assert.equal(await client.incr('count', 1, TTL), i);
});

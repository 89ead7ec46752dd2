/**
 * Reads, writes, accepts, connects and waits that are cut short, interrupted or put off at random, as a system
 * may do at any time: broker and clients in one process, frames with a secret and JSON lines, values of
 * all sizes, leases and waiting, on sockets and on pipes. Every answer must be right.
 */
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { SECRET } = require('../helpers/broker.js');
const { available, runAmongFaults } = require('../helpers/fault.js');

const only = { skip: !available && 'Linux with a C compiler only' };

/** What must have happened to each call. */
const WAYS = {
  read: ['EINTR', 'EAGAIN', 'byte', 'short'],
  write: ['EINTR', 'EAGAIN', 'byte', 'short'],
  send: ['EINTR', 'EAGAIN', 'byte', 'short'],
  recvmsg: ['EINTR', 'EAGAIN', 'byte', 'short'],
  sendmsg: ['EINTR', 'EAGAIN', 'byte', 'short'],
  accept: ['EINTR', 'EAGAIN'],
  connect: ['EINTR', 'EAGAIN', 'goes on', 'EALREADY'],
  poll: ['EINTR'],
  epoll: ['EINTR'],
};

const WORKLOAD = `
  const net = require('node:net');
  const crypto = require('node:crypto');
  const SECRET = ${JSON.stringify(SECRET)};
  fault('seed/' + process.env.SEED);
  fault('calls/' + process.env.PER_MILLE);
  const broker = new Broker({ exportEnv: false, secret: SECRET });
  const plain = new Broker({ exportEnv: false, secret: null });
  await broker.start();
  await plain.start();

  // Values of all sizes, one after the other, and many in flight.
  async function values(client, name) {
    for (const size of [0, 1, 100, 5000, 65536, 262144]) {
      const value = crypto.randomBytes(size);
      await client.set(name, value, 60000);
      assert.ok(value.equals(await client.get(name)), name + ' ' + size);
      assert.ok(value.equals(client.getSync(name)), name + ' ' + size);
    }
    const many = Array.from({ length: 200 }, (_, i) => i);
    await Promise.all(many.map((i) => client.set(name + i, { i, text: 'x'.repeat(i * 10) }, 60000)));
    const read = await Promise.all(many.map((i) => client.get(name + i)));
    read.forEach((value, i) => assert.deepEqual(value, { i, text: 'x'.repeat(i * 10) }));
  }

  // One after the other, until it has gone over to pipes, and beyond.
  async function small(client, key) {
    for (let i = 1; i <= 150; i++) assert.equal(await client.incr(key, 1, 60000), i);
  }

  // Large ones in a row, for which it goes back.
  async function large(client, key) {
    for (let i = 1; i <= 12; i++) {
      const value = crypto.randomBytes(30000);
      await client.set(key, value, 60000);
      assert.ok(value.equals(await client.get(key)));
    }
  }

  // Never two in the lock at once; each of the increments counts.
  let inside = 0;
  async function lock(client, worker) {
    for (let i = 0; i < 30; i++) {
      const held = await client.acquireLock('lock', { workerId: worker, waitMs: 60000, ttl: 60000 });
      assert.equal(++inside, 1);
      await client.incr('count', 1, { ttl: 60000 });
      inside--;
      await held.release();
    }
  }

  // Lines on a connection of their own.
  async function lines() {
    const socket = net.connect(plain.pipe);
    let text = '';
    let wake = () => {};
    socket.setEncoding('utf8').on('data', (part) => { text += part; wake(); });
    const next = async () => {
      while (!text.includes('\\n')) await new Promise((resolve) => { wake = resolve; });
      const end = text.indexOf('\\n');
      const line = text.slice(0, end);
      text = text.slice(end + 1);
      return JSON.parse(line);
    };
    for (let i = 0; i < 100; i++) {
      const value = 'v'.repeat(i * 50);
      socket.write(JSON.stringify({ action: 'set', key: 'line', value, ttl: 60000 }) + '\\n' +
        JSON.stringify({ action: 'get', key: 'line' }) + '\\n');
      assert.equal((await next()).ok, true);
      assert.equal((await next()).value, value);
    }
    socket.destroy();
  }

  const clients = [broker.pipe, broker.pipe.replace('/broker-', '//broker-')].map(
    (pipe) => new PipeClient(pipe, { secret: SECRET }));
  await Promise.all([
    values(clients[0], 'a'), values(clients[1], 'b'),
    lock(clients[0], 'w0'), lock(clients[1], 'w1'), lines(),
  ]);
  assert.equal(await clients[0].get('count'), 60);
  await small(clients[0], 'small');
  await values(clients[0], 'c');
  await large(clients[0], 'large');
  await small(clients[0], 'small again');
  assert.deepEqual(await clients[0].leases(), []);
  // Those who connect meet the same.
  for (let i = 0; i < 20; i++) {
    const client = new PipeClient(broker.pipe.replace('/broker-', '/'.repeat(3 + i) + 'broker-'),
      { secret: SECRET });
    assert.equal(await client.get('count'), 60);
    await small(client, 'small ' + i);
    if (i % 4 === 0) await large(client, 'large');
    await small(client, 'again ' + i);
    client.close();
  }
  for (const client of clients) client.close();
  await broker.stop();
  await plain.stop();
  fault('disturbed');
  for (const [call, ways] of Object.entries(${JSON.stringify(WAYS)})) {
    for (const way of ways) fault('disturbed/' + call + '/' + way);
  }
`;

for (const perMille of [50, 300, 700]) {
  test(`with ${perMille} of 1,000 calls disturbed, all answers are right`, only, async (t) => {
    const seed = process.env.EPB_FAULT_SEED ?? String(Math.floor(Math.random() * 2 ** 31));
    t.diagnostic(`EPB_FAULT_SEED=${seed}`);
    const env = { SEED: seed, PER_MILLE: String(perMille) };
    const ended = await runAmongFaults(WORKLOAD, { env });
    assert.deepEqual(
      ended,
      { status: 0, signal: null, stdout: 'done\n', stderr: '' },
      `seed ${seed}`,
    );
  });
}

'use strict';

// Lists that take the broker several slices: they show one moment, whatever changes meanwhile, and
// requests of the same connection keep their order.
const assert = require('node:assert/strict');
const net = require('node:net');
const { test } = require('node:test');

const { Broker, PipeClient } = require('../../lib');

const ITEMS = 6_000;
const TTL_MS = 600_000;
const names = Array.from({ length: ITEMS }, (_, i) => `long:${String(i).padStart(5, '0')}`);

async function start(t) {
  const broker = new Broker({ maxItems: 0, secret: null });
  const pipe = await broker.start();
  const client = new PipeClient(pipe);
  t.after(async () => {
    await client.close();
    await broker.stop();
  });
  await Promise.all(names.map((name, i) => client.set(name, i, TTL_MS)));
  return { pipe, client };
}

const keysOf = (list) => list.map(({ key }) => key);

test('a long list shows what was there before it, and later requests see it done', async (t) => {
  const { client } = await start(t);
  const listed = client.list('long:');
  const changed = [
    client.set('long:new', 1, TTL_MS),
    client.del(names[0]),
    client.set(names[1], 0, 5),
  ];
  assert.deepEqual(keysOf(await listed), names);
  await Promise.all(changed);
  assert.ok(keysOf(await client.list('long:n')).includes('long:new'));
});

test('changes by another connection while it is made leave it whole', async (t) => {
  const { pipe, client } = await start(t);
  const script = `
    const { PipeClient } = require(${JSON.stringify(require.resolve('../../lib'))});
    const client = new PipeClient(process.argv[1]);
    (async () => {
      for (let i = 0; ; i++) {
        const key = 'long:0' + String(i % 5000).padStart(4, '0');
        await Promise.all([client.set('other:' + i, 1, 1000), client.set(key, i, 600000)]);
        if (i === 0) process.stdout.write('begun');
      }
    })().catch(() => {});`;
  const { spawn } = require('node:child_process');
  const child = spawn(process.execPath, ['-e', script, pipe], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill());
  await new Promise((resolve, reject) => {
    child.stdout.once('data', resolve);
    child.once('exit', reject);
  });
  for (let round = 0; round < 10; round++)
    assert.deepEqual(keysOf(await client.list('long:')), names);
});

test('a long list and long leases of JSON lines are whole lines, in their places', async (t) => {
  const { pipe, client } = await start(t);
  await Promise.all(
    Array.from({ length: 2_000 }, (_, i) =>
      client.lease(`lease:${i}`, { workerId: 'w', ttl: TTL_MS }),
    ),
  );
  const socket = net.connect(pipe);
  t.after(() => socket.destroy());
  let text = '';
  const lines = new Promise((resolve) => {
    socket.on('data', (data) => {
      text += data;
      if (text.split('\n').length === 4)
        resolve(
          text
            .trim()
            .split('\n')
            .map((line) => JSON.parse(line)),
        );
    });
  });
  socket.write('{"action":"list","prefix":"long:"}\n{"action":"ping"}\n{"action":"leases"}\n');
  const [list, ping, leases] = await lines;
  assert.deepEqual(Object.keys(list.items), names);
  assert.equal(ping.ok, true);
  assert.equal(leases.leases.length, 2_000);
  assert.ok(leases.leases.every(({ state, workerId }) => state === 'held' && workerId === 'w'));
});

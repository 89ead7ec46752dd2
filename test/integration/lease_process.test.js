/**
 * Leases of worker processes that wait in line, are killed, block their event loop, or are paused. What
 * the tests know of a worker's end is that the broker let the next one have its lease.
 */
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { test } = require('node:test');
const {
  SECRET,
  startPair,
  startWorker,
  until,
  untilWaiting,
  withCode,
} = require('../helpers/broker.js');
const { stretched } = require('../helpers/time_limits.js');

const TTL = 60_000;

/** Acquires when it is asked to, and tells when it has something. */
const HOLDER = `
  let lease;
  on.acquire = (key, options) => {
    client.acquire(key, options).then((acquired) => {
      lease = acquired;
      lease.signal.addEventListener('abort', () => tell({ lost: lease.signal.reason.code }));
      tell({ value: lease.value, token: lease.token });
    });
  };
  on.release = () => lease.release();
  on.write = (key, value) =>
    client.set(key, value, 60000, { fence: lease.token }).catch((error) => error.code);
  on.block = (ms) => {
    const end = performance.now() + ms;
    while (performance.now() < end);
  };
  on.lost = () => lease.lost;
`;

async function startHolders(t, broker, count) {
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const worker = startWorker(t, broker, HOLDER, { workerId: `w${i}` });
      return worker;
    }),
  );
}

test('processes are served in the order in which they came, and none holds what another has', async (t) => {
  const { broker, client } = startPair(t, { secret: SECRET });
  await client.pool('accounts', ['x', 'y']);
  const held = [await client.acquire('accounts'), await client.acquire('accounts')];
  const workers = await startHolders(t, broker, 5);
  for (const [i, worker] of workers.entries()) {
    await worker.ask('acquire', 'accounts', {});
    await untilWaiting(client, 'accounts', i + 1);
  }
  await held[0].release();
  assert.equal((await workers[0].told()).value, 'x');
  await held[1].release();
  assert.equal((await workers[1].told()).value, 'y');
  await workers[1].ask('release');
  assert.equal((await workers[2].told()).value, 'y');
  await workers[0].ask('release');
  assert.equal((await workers[3].told()).value, 'x');
  await workers[3].ask('release');
  assert.equal((await workers[4].told()).value, 'x');
});

test('kill -9: the next in line has it at once', async (t) => {
  const { broker, client } = startPair(t);
  await client.pool('accounts', ['x']);
  const [holder, ...others] = await startHolders(t, broker, 4);
  await holder.ask('acquire', 'accounts', {});
  const { token } = await holder.told();
  const [next, dying, last] = others;
  for (const [i, worker] of others.entries()) {
    await worker.ask('acquire', 'accounts', {});
    await untilWaiting(client, 'accounts', i + 1);
  }
  const times = [];
  const passes = async (from, to) => {
    const start = performance.now();
    from.signal('SIGKILL');
    const got = await to.told();
    times.push(performance.now() - start);
    assert.equal(got.value, 'x');
    return got;
  };
  // One that dies while it waits leaves the queue.
  await dying.kill();
  await untilWaiting(client, 'accounts', 2);
  const second = await passes(holder, next);
  assert.ok(second.token > token);
  await passes(next, last);
  t.diagnostic(
    `killed, and the next has it after ${times.map((ms) => ms.toFixed(1)).join(', ')} ms`,
  );
  const lines = await client.leases('accounts');
  assert.deepEqual(
    lines.map(({ workerId, state }) => [workerId, state]),
    [['w3', 'held']],
  );
});

test('a process that ends in peace takes its leases with it, too', async (t) => {
  const { broker, client } = startPair(t);
  const worker = startWorker(
    t,
    broker,
    `on.leave = () => void setImmediate(() => process.disconnect());
     client.number('port').then(() => client.lease('slot')).then(() => tell('ready'));`,
  );
  await worker.told();
  assert.equal((await client.number('port')).value, 1, 'numbers have no end');
  worker.child.send(['leave']);
  await worker.exit;
  await until(async () => (await client.leases()).length === 1, 'its leases have ended');
});

test('a worker that blocks its event loop for many TTLs keeps its lease', async (t) => {
  const { broker, client } = startPair(t);
  await client.limit('one', 1);
  const [worker] = await startHolders(t, broker, 1);
  const ttl = stretched(1500);
  await worker.ask('acquire', 'one', { ttl });
  await worker.told();
  const controller = new AbortController();
  const next = client.acquire('one', { signal: controller.signal });
  const never = assert.rejects(next, { name: 'AbortError' });
  await worker.ask('block', 3 * ttl);
  controller.abort();
  await never;
  assert.equal(await worker.ask('lost'), false);
  assert.equal(await worker.ask('write', 'result', 'mine'), true);
  assert.equal(await worker.ask('release'), true);
});

test('a worker that was paused beyond its TTL: it is lost, it learns it, its late write is refused', async (t) => {
  const { broker, client } = startPair(t);
  await client.pool('accounts', ['x']);
  const [worker, other] = await startHolders(t, broker, 2);
  await worker.ask('acquire', 'accounts', { ttl: stretched(1000) });
  const first = await worker.told();
  await worker.ask('write', 'result', 'before');
  await other.ask('acquire', 'accounts', {});
  await untilWaiting(client, 'accounts', 1);
  worker.signal('SIGSTOP');
  const second = await other.told();
  assert.deepEqual([first.value, second.value], ['x', 'x']);
  assert.ok(second.token > first.token);
  assert.equal(await other.ask('write', 'result', 'after'), true);
  worker.signal('SIGCONT');
  assert.deepEqual(await worker.told(), { lost: 'lease_lost' });
  assert.equal(await worker.ask('lost'), true);
  assert.equal(await worker.ask('write', 'result', 'late'), 'fenced');
  assert.equal(await worker.ask('release'), false);
  assert.equal(await client.get('result'), 'after');
  assert.equal((await client.leases('accounts'))[0].workerId, 'w1');
});

test('twenty workers and five accounts: none is held twice, none is lost, deaths or not', async (t) => {
  const { broker, client } = startPair(t, { secret: SECRET });
  const accounts = Array.from({ length: 5 }, (_, i) => `account ${i}`);
  await client.pool('accounts', accounts);
  const script = `
    (async () => {
      for (let round = 0; round < 4; round++) {
        await client.withLease('accounts', async (account, lease) => {
          const users = 'users of ' + account;
          if ((await client.incr(users, 1, 60000)) !== 1) tell({ twice: account });
          await client.set('holder of ' + account, lease.token, 60000, { fence: lease.token });
          await client.incr(users, -1);
          if (process.env.FATE === 'dies' && round === 1) process.kill(process.pid, 'SIGKILL');
        });
      }
      tell('done');
      process.disconnect();
    })();
  `;
  const workers = Array.from({ length: 20 }, (_, i) =>
    startWorker(t, broker, script, {
      workerId: `w${i}`,
      env: { FATE: i % 4 === 0 ? 'dies' : 'lives' },
    }),
  );
  const ends = await Promise.all(workers.map(({ exit }) => exit));
  assert.deepEqual(
    ends.map(([, signal]) => signal),
    workers.map((_, i) => (i % 4 === 0 ? 'SIGKILL' : null)),
  );
  for (const [i, worker] of workers.entries()) {
    if (i % 4 !== 0) assert.equal(await worker.told(), 'done');
  }
  const all = await client.acquireAll(['accounts']);
  await all.release();
  const held = await Promise.all(accounts.map(() => client.acquire('accounts')));
  assert.deepEqual(held.map(({ value }) => value).sort(), accounts);
  await assert.rejects(client.acquire('accounts', { waitMs: 0 }), withCode('lease_held'));
});

test('leaseSync waits its turn', async (t) => {
  const { broker, client } = startPair(t);
  await client.set('config', { port: 5 }, TTL);
  const held = await client.acquire('config');
  const worker = startWorker(t, broker, `tell(client.leaseSync('config', { waitMs: Infinity }));`);
  await untilWaiting(client, 'config', 1);
  await held.release();
  assert.deepEqual(await worker.told(), { port: 5 });
  worker.child.disconnect();
  await once(worker.child, 'exit');
});

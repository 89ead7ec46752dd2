'use strict';

// Very many requests that wait, and what is left of them when they end.
const assert = require('node:assert/strict');
const { test } = require('node:test');
const { SECRET, startPair, until, withCode } = require('../helpers/broker.js');
const { startWorker } = require('../helpers/workers.js');

const PROCESSES = 8;
const WAITERS = 10_000;
const TTL_MS = 600_000;

/** What the broker holds, in bytes, and how many wait. */
async function load(client) {
  const { memory, waiting } = await client.stats();
  return { memory, waiting };
}

for (const secret of [null, SECRET]) {
  const how = secret === null ? 'without a secret' : 'with a secret';

  test(`10,000 waiters on one lock, all killed at once, ${how}`, async (t) => {
    const { broker, client } = startPair(t, { secret });
    await client.set('item', 'value', TTL_MS);
    const lease = await client.acquireLock('busy', { ttl: TTL_MS });
    const before = await load(client);
    assert.equal(before.waiting, 0);

    const settings = { lock: 'busy', count: WAITERS / PROCESSES };
    const workers = Array.from({ length: PROCESSES }, () =>
      startWorker(t, 'waiting_worker.js', broker, settings),
    );
    await Promise.all(workers.map((worker) => worker.next('queued')));
    assert.equal((await load(client)).waiting, WAITERS);
    await assert.rejects(client.acquireLock('busy'), withCode('max_waiters'));
    await assert.rejects(client.acquireLock('busy', { waitMs: 0 }), withCode('lease_held'));

    // PendingCalls of others are answered all the time.
    let gone = false;
    let answered = 0;
    const looking = (async () => {
      for (; !gone; answered++) assert.equal(await client.get('item'), 'value');
    })();
    await Promise.all(workers.map((worker) => worker.kill()));
    await until(async () => (await load(client)).waiting === 0, 'nobody waits any more');
    gone = true;
    await looking;
    assert.ok(answered > 0);

    assert.deepEqual(await load(client), before);
    await lease.release();
    const next = await client.acquireLock('busy', { waitMs: 0 });
    await next.release();
    assert.deepEqual(await client.leases(), []);
  });
}

test('waiters that give up leave nothing behind, and are given nothing', async (t) => {
  const { client } = startPair(t);
  const lease = await client.acquireLock('busy', { ttl: TTL_MS });
  const before = await load(client);
  const givingUp = new AbortController();
  const { signal } = givingUp;
  const early = Array.from({ length: 1000 }, (_, i) =>
    client.acquireLock('busy', { workerId: `early ${i}`, signal }),
  );
  const last = client.acquireLock('busy', { workerId: 'last' });
  assert.equal((await load(client)).waiting, 1001);

  givingUp.abort(new Error('no longer needed'));
  const outcomes = await Promise.allSettled(early);
  assert.ok(outcomes.every(({ reason }) => reason === signal.reason));
  await until(async () => (await load(client)).waiting === 1, 'one waits');
  await lease.release();
  const next = await last;
  assert.equal(next.workerId, 'last');
  await next.release();
  const after = await load(client);
  assert.equal(after.waiting, 0);
  assert.ok(after.memory <= before.memory, `${after.memory} bytes, ${before.memory} before`);
});

test('maxWaiters: one more is refused at once, and 0 is no limit', async (t) => {
  const { client } = startPair(t, { maxWaiters: 2 });
  const lease = await client.acquireLock('busy');
  const waiting = ['a', 'b'].map((workerId) => client.acquireLock('busy', { workerId }));
  await assert.rejects(
    client.acquireLock('busy', { workerId: 'c' }),
    withCode('max_waiters', /maxWaiters/),
  );
  // What does not have to wait is not refused.
  const other = await client.acquireLock('free');
  await Promise.all([lease.release(), other.release()]);
  for (const next of waiting) await (await next).release();

  const unlimited = startPair(t, { maxWaiters: 0 }).client;
  const holder = await unlimited.acquireLock('busy');
  const many = Array.from({ length: 100 }, (_, i) =>
    unlimited.acquireLock('busy', { workerId: String(i) }),
  );
  await holder.release();
  for (const next of many) await (await next).release();
});

/** Callbacks run in the async context of the code that gave them, and keep it no longer than they may run. */
'use strict';

const assert = require('node:assert/strict');
const { AsyncLocalStorage } = require('node:async_hooks');
const { describe, test } = require('node:test');
const {
  SECRET,
  runNode,
  startBroker,
  startClient,
  startPair,
  startStranger,
  untilWaiting,
  withCode,
} = require('../helpers/broker.js');
const { Broker } = require('../..');

const TTL = 60_000;
const context = new AsyncLocalStorage();

/** Of the next abort: where its listener ran, and why. A lease does not keep the process alive. */
function abortOf(signal) {
  const alive = setInterval(() => {}, TTL);
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => {
      clearInterval(alive);
      resolve([context.getStore(), signal.reason.code, signal.aborted]);
    });
  });
}

describe('the signal of a lease', () => {
  test('aborts where its listeners were added, whatever goes on meanwhile', async (t) => {
    const { broker, client } = startPair(t, { secret: SECRET });
    const stranger = startStranger(t, broker);
    const aborts = ['a', 'b', 'c'].map((name) =>
      context.run(name, async () => {
        const lease = await client.number(name, { ttl: TTL, workerId: 'w' });
        return { aborted: abortOf(lease.signal) };
      }),
    );
    const [a, b, c] = await Promise.all(aborts);
    for (const key of ['b', 'a']) await stranger.release('w', key, { force: true });
    // The losses are told with the replies of other calls, which are made elsewhere.
    await context.run('elsewhere', () => client.set('k', 1, TTL));
    assert.deepEqual(await a.aborted, ['a', 'lease_lost', true]);
    assert.deepEqual(await b.aborted, ['b', 'lease_lost', true]);
    context.run('stop', () => broker.stopSync());
    assert.deepEqual(await c.aborted, ['c', 'broker_gone', true]);
  });

  test('that of one of several, too', async (t) => {
    const { broker, client } = startPair(t, { secret: SECRET });
    await client.pool('pair', [1, 2]);
    const [one, other] = await client.acquireAll(['pair', 'pair']);
    const aborted = context.run('part', () => abortOf(other.signal));
    assert.equal(one.signal, other.signal);
    broker.stopSync();
    assert.deepEqual(await aborted, ['part', 'broker_gone', true]);
  });

  test('aborts after a release that was refused', async (t) => {
    // Whether anything listens afterwards must not depend on how the reply came: so several times.
    for (let round = 0; round < 20; round++) {
      const broker = startBroker(t, { secret: SECRET });
      const client = startClient(t, broker, { timeout: TTL * TTL });
      await client.pool('pair', [1, 2]);
      const lease = await client.acquire('pair', { count: 2 });
      const aborted = context.run('a', () => abortOf(lease.signal));
      await assert.rejects(lease.release({ discard: [3] }), withCode('not_found'));
      broker.stopSync();
      assert.deepEqual(await aborted, ['a', 'broker_gone', true]);
    }
  });

  test('is aborted when it is asked for after the loss, and is not after a release', async (t) => {
    const { broker, client } = startPair(t, { secret: SECRET });
    const released = await client.number('released');
    const lost = await client.number('lost');
    await released.release();
    broker.stopSync();
    await assert.rejects(client.get('k', { timeout: 50 }));
    assert.equal(lost.lost, true);
    assert.equal(lost.signal.reason.code, 'broker_gone');
    assert.equal(released.signal.aborted, false);
  });
});

test('consumers of a watch go on where they waited', async (t) => {
  const { client } = startPair(t, { secret: SECRET });
  const watch = client.watch('k');
  await watch.ready;
  const consumer = (name) =>
    context.run(name, async () => {
      const { value } = await watch.next();
      return [name, context.getStore(), value.key];
    });
  const consumers = ['a', 'b'].map(consumer);
  await context.run('writer', () =>
    Promise.all([client.set('k1', 1, TTL), client.set('k2', 1, TTL)]),
  );
  assert.deepEqual(await Promise.all(consumers), [
    ['a', 'a', 'k1'],
    ['b', 'b', 'k2'],
  ]);
  watch.close();
});

test('what computes a value runs where it was asked for', async (t) => {
  const { broker, client } = startPair(t, { secret: SECRET });
  const stranger = startStranger(t, broker);
  const given = new AbortController();
  let computing = () => {};
  const begun = new Promise((resolve) => {
    computing = resolve;
  });
  const first = stranger.getOrSet('k', TTL, () => new Promise(computing), { signal: given.signal });
  await begun;
  const store = async () => context.getStore();
  const second = context.run('second', () => client.getOrSet('k', TTL, store));
  await untilWaiting(client, 'k', 1);
  given.abort(new Error('given up'));
  await assert.rejects(first, /given up/);
  assert.equal(await second, 'second');
});

test('the log of a broker', async (t) => {
  const stores = [];
  let logged = () => {};
  const often = new Promise((resolve) => {
    logged = resolve;
  });
  const log = () => stores.push(context.getStore()) > 2 && logged();
  const broker = context.run('constructor', () => new Broker({ heartbeatInterval: 5, log }));
  t.after(() => broker.stop());
  context.run('start', () => broker.startSync());
  await often;
  assert.deepEqual([...new Set(stores)], ['constructor']);
});

test('a context is held no longer than the lease', async (t) => {
  const broker = startBroker(t, { secret: SECRET });
  const program = `
    const { AsyncLocalStorage } = require('node:async_hooks');
    const { PipeClient } = require(ROOT);
    const client = new PipeClient();
    const context = new AsyncLocalStorage();
    const references = [];
    async function take(name) {
      const store = { name };
      references.push(new WeakRef(store));
      return context.run(store, async () => {
        const lease = await client.number(name, { workerId: 'w' });
        lease.signal.addEventListener('abort', () => {});
        return lease;
      });
    }
    const gone = async () => {
      for (let i = 0; i < 20; i++) {
        await new Promise((resolve) => setImmediate(resolve));
        gc();
      }
      return references.map((reference) => reference.deref() === undefined);
    };
    (async () => {
      const leases = [await take('released'), await take('lost'), await take('held')];
      await leases[0].release();
      const lost = new Promise((resolve) => { leases[1].signal.onabort = () => resolve(); });
      await client.release('w', 'lost', { force: true });
      await lost;
      console.log(JSON.stringify(await gone()), leases.length);
      await client.close();
    })();
  `;
  const { stdout, stderr } = await runNode(program, { env: broker.env(), args: ['--expose-gc'] });
  assert.equal(stdout.trim(), '[true,true,false] 3', stderr);
});

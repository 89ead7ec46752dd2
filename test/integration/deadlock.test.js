/** Waits for oneself are refused, and nothing else is. */
'use strict';

const assert = require('node:assert/strict');
const { AsyncLocalStorage } = require('node:async_hooks');
const { once } = require('node:events');
const { connect } = require('node:net');
const { createInterface } = require('node:readline');
const { describe, test } = require('node:test');
const { setImmediate } = require('node:timers/promises');
const { Worker } = require('node:worker_threads');
const { startPair, startStranger, untilWaiting, withCode } = require('../helpers/broker.js');

const TTL = 60_000;

/** A promise and what settles it. */
function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => {
    Object.assign(parts, { resolve, reject });
  });
  return parts;
}

describe('a wait for oneself is refused at once', () => {
  test('two pools in opposite order by two workers', async (t) => {
    const { broker, client } = startPair(t);
    const one = startStranger(t, broker, { workerId: 'one' });
    const two = startStranger(t, broker, { workerId: 'two' });
    await client.pool('accounts', ['anna']);
    await client.pool('phones', ['p1']);
    const held = deferred();
    const first = one.withLease('accounts', async () => {
      await held.promise;
      return one.withLease('phones', () => 'both');
    });
    const second = two.withLease('phones', async () => {
      held.resolve();
      await untilWaiting(client, 'phones', 1);
      return two.withLease('accounts', () => 'never');
    });
    await assert.rejects(second, (error) => {
      assert.equal(error.code, 'deadlock');
      assert.match(error.message, /worker "two".* holds "phones" and waits for "accounts"/);
      assert.match(error.message, /worker "one".* holds "accounts" and waits for "phones"/);
      const shown = error.holders.map(({ workerId, key, kind }) => [workerId, key, kind]);
      assert.deepEqual(shown, [
        ['two', 'phones', 'pool'],
        ['one', 'accounts', 'pool'],
      ]);
      return true;
    });
    assert.equal(await first, 'both');
  });

  test('a lock, a lease and a computation inside itself, deep down', async (t) => {
    const { client } = startPair(t);
    const space = client.namespace('n');
    await client.pool('one', [1]);
    const later = async (fn) => {
      await setImmediate();
      return fn();
    };
    const inLock = client.lock('n:a', () => later(() => later(() => space.lock('a', () => 1))));
    await assert.rejects(inLock, withCode('deadlock', /its own code holds it/));
    const inLease = client.withLease('one', () => later(() => client.acquire('one')));
    await assert.rejects(inLease, withCode('deadlock'));
    const inValue = client.getOrSet('k', TTL, () =>
      later(() => client.getOrSet('k', TTL, () => 1)),
    );
    await assert.rejects(inValue, withCode('deadlock'));
    const mixed = client.getOrSet('k', TTL, () =>
      client.lock('a', () => client.getOrSet('k', TTL, () => 1)),
    );
    await assert.rejects(mixed, withCode('deadlock'));
    const all = client.withLease('one', () => client.acquireAll(['one']));
    await assert.rejects(all, withCode('deadlock'));
  });

  test('one of several that a function starts', async (t) => {
    const { client } = startPair(t);
    const ends = await client.lock('a', () =>
      Promise.allSettled([client.lock('b', () => 'b'), client.lock('a', () => 'a')]),
    );
    assert.equal(ends[0].value, 'b');
    assert.equal(ends[1].reason.code, 'deadlock');
  });
});

describe('what is no cycle waits', () => {
  test('two flows of one worker that take two locks in opposite order, one after the other', async (t) => {
    const { client } = startPair(t);
    const order = [];
    await Promise.all([
      client.lock('a', () => order.push('a1')),
      client.lock('b', () => client.lock('a', () => order.push('ba'))),
      client.lock('a', () => client.lock('c', () => order.push('ac'))),
      client.lock('c', () => order.push('c')),
    ]);
    assert.deepEqual(order.toSorted?.() ?? [...order].sort(), ['a1', 'ac', 'ba', 'c']);
  });

  test('two that hold something and wait for a third flow of the same worker', async (t) => {
    const { client } = startPair(t);
    const go = deferred();
    const holder = client.lock('a', () => go.promise);
    const waiters = ['x', 'y'].map((name) => client.lock(name, () => client.lock('a', () => name)));
    await untilWaiting(client, 'a', 2);
    const third = client.lock('x', () => 'third');
    await untilWaiting(client, 'x', 1);
    go.resolve();
    await holder;
    assert.deepEqual(await Promise.all([...waiters, third]), ['x', 'y', 'third']);
  });

  test('computations of one process that wait for each other’s keys in one direction', async (t) => {
    const { client } = startPair(t);
    const values = await Promise.all([
      client.getOrSet('p', TTL, () => client.getOrSet('q', TTL, () => 'q')),
      client.getOrSet('q', TTL, () => 'q'),
      client.getOrSet('p', TTL, () => 'never'),
    ]);
    assert.deepEqual(values, ['q', 'q', 'q']);
  });

  test('work that a function began and did not await, after the lock', async (t) => {
    const { client } = startPair(t);
    const go = deferred();
    let late;
    await client.lock('a', () => {
      late = go.promise.then(() => client.lock('a', () => 'late'));
    });
    const holder = deferred();
    const second = client.lock('a', () => holder.promise);
    go.resolve();
    await untilWaiting(client, 'a', 1);
    holder.resolve();
    assert.equal(await late, 'late');
    await second;
  });

  test('what a plain acquire holds is of no flow', async (t) => {
    const { client } = startPair(t);
    const held = await client.acquireLock('a');
    const again = client.lock('a', () => 'then');
    await untilWaiting(client, 'a', 1);
    await held.release();
    assert.equal(await again, 'then');
  });

  test('work that leaves the flow: a context that was kept from outside', async (t) => {
    if (AsyncLocalStorage.snapshot === undefined) return t.skip('needs snapshot()');
    const { client } = startPair(t);
    const outside = AsyncLocalStorage.snapshot();
    let queued;
    await client.lock('a', async () => {
      queued = outside(() => client.lock('a', () => 'queued'));
      await untilWaiting(client, 'a', 1);
    });
    assert.equal(await queued, 'queued');
  });

  test('a free element, a shared lock, and another broker', async (t) => {
    const { client } = startPair(t);
    const other = startPair(t).client;
    await client.pool('two', [1, 2]);
    assert.equal(await client.withLease('two', () => client.withLease('two', (v) => v)), 2);
    const shared = { mode: 'shared' };
    assert.equal(await client.lock('s', shared, () => client.lock('s', shared, () => 's')), 's');
    const go = deferred();
    const holder = other.lock('a', () => go.promise);
    const nested = client.lock('a', () => other.lock('a', () => 'other'));
    await untilWaiting(other, 'a', 1);
    go.resolve();
    assert.equal(await nested, 'other');
    await holder;
  });
});

test('copies of the module share the flows of their thread', async (t) => {
  const { broker, client } = startPair(t);
  const paths = Object.keys(require.cache).filter((path) =>
    /[\\/]lib[\\/](?:client[\\/])?[^\\/]+\.js$/.test(path),
  );
  const kept = paths.map((path) => [path, require.cache[path]]);
  for (const path of paths) delete require.cache[path];
  const copy = require('../../lib/index.js');
  for (const [path, module] of kept) require.cache[path] = module;
  assert.notEqual(copy.PipeClient, client.constructor);
  const second = new copy.PipeClient(client.pipe, { secret: null });
  t.after(() => second.close());
  void broker;
  const nested = client.lock('a', () => second.lock('a', () => 'never'));
  await assert.rejects(nested, (error) => error.code === 'deadlock');
});

test('another thread is another flow', async (t) => {
  const { client } = startPair(t);
  const code = `
    const { PipeClient } = require(${JSON.stringify(require.resolve('../../lib/index.js'))});
    const client = new PipeClient(${JSON.stringify(client.pipe)}, { secret: null });
    client.lock('a', () => client.lock('a', () => 1).catch(({ code }) => code))
      .then((code) => require('node:worker_threads').parentPort.postMessage(code))
      .then(() => client.close());`;
  const said = await client.lock('b', async () => {
    const worker = new Worker(code, { eval: true });
    const [[message]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')]);
    return message;
  });
  assert.equal(said, 'deadlock');
});

test('hooks of promises are set while a function runs, and no longer', async (t) => {
  const { client } = startPair(t);
  const storage = () => {
    const binding = require('../../lib/binding.js').load();
    return binding[Symbol.for('ephemeral-pipe-broker.flows')].storage;
  };
  await client.lock('a', () => assert.notEqual(storage().getStore(), undefined));
  assert.equal(storage().getStore(), undefined);
  assert.notEqual(storage().enabled, true);
});

test('in JSON lines a request says itself what it holds', async (t) => {
  const { client } = startPair(t);
  const socket = connect(client.pipe);
  t.after(() => socket.destroy());
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  const ask = async (request) => {
    socket.write(`${JSON.stringify({ action: 'lock', workerId: 'w', ...request })}\n`);
    return JSON.parse((await lines.next()).value);
  };
  const { token } = await ask({ key: 'a' });
  const again = { key: 'a', fresh: true, waitMs: 60_000 };
  const refused = await ask({ ...again, holding: [token] });
  assert.equal(refused.error, 'deadlock');
  assert.deepEqual(
    refused.cycle.map(({ key, workerId, token: held }) => [key, workerId, held]),
    [['a', 'w', token]],
  );
  const full = [...Array(63).fill(1), token];
  assert.equal((await ask({ ...again, holding: full })).error, 'deadlock', 'the 64th counts');
  assert.equal((await ask({ ...again, holding: ['x'] })).error, 'invalid_request');
  assert.equal((await ask({ ...again, holding: Array(65).fill(1) })).error, 'too_large');
  assert.equal((await ask({ ...again, value: 1 })).error, 'invalid_request');
});

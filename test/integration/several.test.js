/** Several things of one key in one lease; definitions that come a second time; what a key is. */
'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const {
  reasonOf,
  startPair,
  startStranger,
  untilWaiting,
  withCode,
} = require('../helpers/broker.js');
const { rawConnection } = require('../helpers/wire.js');

const TTL = 60_000;
const ACCOUNTS = [{ user: 'ann' }, { user: 'bob' }, { user: 'cid' }];
const valuesOf = (leases) => leases.map(({ value }) => value);

function startThree(t, options) {
  const { broker, client } = startPair(t, options);
  return { broker, client, stranger: startStranger(t, broker) };
}

describe('acquire with a count', () => {
  test('all in one lease with one token; the value is an array', async (t) => {
    const { client } = startThree(t);
    await client.pool('accounts', ACCOUNTS);
    const two = await client.acquire('accounts', { count: 2, workerId: 'w' });
    assert.deepEqual(two.value, ACCOUNTS.slice(0, 2));
    const [line] = await client.leases('accounts');
    assert.deepEqual([line.count, line.token, line.workerId], [2, two.token, 'w']);
    await two.renew();
    const one = await client.acquire('accounts', { count: 1 });
    assert.deepEqual(one.value, ACCOUNTS.slice(2), 'an array, be it of one');
    assert.deepEqual(await client.describe('accounts'), {
      kind: 'pool',
      size: 3,
      free: 0,
      waiting: 0,
    });
    assert.equal(await two.release(), true);
    assert.equal((await client.describe('accounts')).free, 2);
    await one.release();
    const sum = await client.withLease('accounts', { count: 3 }, (accounts) => accounts.length);
    assert.equal(sum, 3);
  });

  test('of bytes, of permits, of numbers, of a value', async (t) => {
    const { client } = startThree(t);
    await client.pool('mixed', [Buffer.from([0, 255]), 'text']);
    const mixed = await client.acquire('mixed', { count: 2 });
    assert.deepEqual(mixed.value, [Buffer.from([0, 255]), 'text']);
    await client.limit('browsers', 3);
    assert.deepEqual((await client.acquire('browsers', { count: 3 })).value, [0, 1, 2]);
    assert.deepEqual((await client.number('port', { count: 2 })).value, [0, 1]);
    const third = await client.acquire('port', { kind: 'number', count: 1 });
    assert.deepEqual(third.value, [2]);
    await client.set('config', { a: 1 }, TTL);
    const config = await client.acquire('config', { count: 1 });
    assert.deepEqual(config.value, [{ a: 1 }]);
  });

  test('one that waits for many is not overtaken', async (t) => {
    const { client, stranger } = startThree(t);
    await client.pool('accounts', ACCOUNTS);
    const held = await client.acquire('accounts');
    const many = stranger.acquire('accounts', { count: 3 });
    await untilWaiting(client, 'accounts', 1);
    assert.equal((await client.leases()).find(({ state }) => state === 'waiting').count, 3);
    await assert.rejects(client.acquire('accounts', { waitMs: 0 }), withCode('lease_held'));
    const single = client.acquire('accounts');
    await untilWaiting(client, 'accounts', 2);
    await held.release();
    const all = await many;
    assert.equal(all.value.length, 3);
    await all.release();
    await (await single).release();
    assert.deepEqual(await client.leases(), []);
  });

  test('conflict when it could never be granted, with both numbers', async (t) => {
    const { client, stranger } = startThree(t);
    await client.pool('accounts', ACCOUNTS);
    await client.limit('browsers', 1);
    await assert.rejects(
      client.acquire('accounts', { count: 4 }),
      withCode('conflict', /^acquire "accounts": It has 3, and worker .* asks for 4 at once/),
    );
    await assert.rejects(
      client.acquireAll(['browsers', 'accounts', 'browsers']),
      withCode('conflict', /^acquireAll "browsers": It has 1, .* 2 at once/),
    );
    assert.deepEqual(await client.leases(), [], 'the others were given back');
    const held = await client.acquire('accounts');
    const waiting = stranger.acquire('accounts', { count: 3 });
    const refused = assert.rejects(waiting, withCode('conflict', /It has 2, .* asks for 3/));
    await untilWaiting(client, 'accounts', 1);
    await held.release({ discard: true });
    await refused;
    for (const count of [0, -1, 1.5, '2', 10_001]) {
      await assert.rejects(client.acquire('accounts', { count }), withCode('invalid_request'));
    }
  });

  test('single elements are discarded; a list with another one changes nothing', async (t) => {
    const { client } = startThree(t);
    await client.pool('accounts', ACCOUNTS);
    const all = await client.acquire('accounts', { count: 3 });
    const [ann, bob, cid] = all.value;
    assert.equal(await all.release({ discard: [bob] }), true);
    const left = await client.acquire('accounts', { count: 2 });
    assert.deepEqual(left.value, [ann, cid]);
    await left.release({ discard: [] });
    assert.equal((await client.describe('accounts')).size, 2);
    const again = await client.acquire('accounts');
    const wrong = cid.user === again.value.user ? ann : cid;
    await assert.rejects(again.release({ discard: [wrong] }), withCode('not_found', /discard/));
    assert.ok(again.expiresAt > Date.now(), 'it is held, and renewed as before');
    await again.renew();
    assert.equal((await client.leases()).length, 1);
  });

  test('an element that was given is discarded, however it was written or changed since', async (t) => {
    const { broker, client } = startThree(t);
    const lines = await rawConnection(t, broker.pipe);
    const written =
      '[1.0, -0, "\\u0061", {"b":1e2,"a":[ 2 ]}, {"c":null}, 12345678901234567890, 7]';
    lines.write(`{"action":"pool","key":"p","values":${written}}\n`);
    assert.equal((await lines.line()).ok, true);
    const all = await client.acquire('p', { count: 7 });
    assert.deepEqual(all.value.slice(0, 4), [1, -0, 'a', { b: 100, a: [2] }]);
    const changed = all.value[4];
    changed.session = new Map();
    const given = [1, -0, 'a', { a: [2], b: 100 }, changed, Number('12345678901234567890')];
    await assert.rejects(all.release({ discard: [1, 1] }), withCode('not_found'), 'there is one 1');
    assert.equal(await all.release({ discard: given }), true);
    assert.deepEqual(await client.describe('p'), { kind: 'pool', size: 1, free: 1, waiting: 0 });
    const seven = await client.acquire('p');
    assert.equal(await seven.release({ discard: [7] }), true);
    assert.equal((await client.describe('p')).size, 0);
    const lock = await client.acquireLock('l');
    await assert.rejects(lock.release({ discard: [7] }), withCode('not_found'));
    await lock.release();
  });

  test('lost by force: all of it is free, and its signal aborts once', async (t) => {
    const { client, stranger } = startThree(t);
    await client.pool('accounts', ACCOUNTS);
    const all = await client.acquire('accounts', { count: 3 });
    assert.equal(await stranger.release(null, 'accounts', { force: true }), true);
    assert.equal((await reasonOf(all.signal)).code, 'lease_lost');
    assert.equal((await client.describe('accounts')).free, 3);
  });
});

describe('acquireAll of a key several times', () => {
  test('each handle has the value of its place; they are one lease', async (t) => {
    const { client, stranger } = startThree(t);
    await client.pool('accounts', ACCOUNTS);
    await client.limit('browsers', 1);
    const leases = await client.acquireAll(['accounts', 'browsers', 'accounts'], { workerId: 'w' });
    assert.deepEqual(valuesOf(leases), [ACCOUNTS[0], 0, ACCOUNTS[1]]);
    const [buyer, , seller] = leases;
    assert.equal(buyer.token, seller.token);
    assert.deepEqual([seller.key, seller.workerId, seller.lost], ['accounts', 'w', false]);
    assert.ok(seller.expiresAt > Date.now());
    assert.equal(seller.signal, buyer.signal);
    await seller.renew();
    assert.equal(await leases.release(), 3);
    assert.equal((await client.describe('accounts')).free, 3);
    const pair = await stranger.acquireAll(['accounts', 'accounts']);
    assert.equal(await pair[1].release({ discard: true }), true);
    assert.deepEqual(await client.describe('accounts'), {
      kind: 'pool',
      size: 2,
      free: 2,
      waiting: 0,
    });
  });

  test('two workers that want two of two: one after the other, not half each', async (t) => {
    const { client, stranger } = startThree(t);
    await client.pool('accounts', ACCOUNTS.slice(0, 2));
    const keys = ['accounts', 'accounts'];
    const first = await client.acquireAll(keys);
    const second = stranger.acquireAll(keys);
    await untilWaiting(client, 'accounts', 1);
    await first.release();
    assert.equal(await (await second).release(), 2);
  });
});

describe('a second definition', () => {
  test('another list is a conflict, the same one resolves false, in any order', async (t) => {
    const { client } = startThree(t);
    assert.equal(await client.pool('accounts', ACCOUNTS), true);
    assert.equal(await client.pool('accounts', [...ACCOUNTS].reverse()), false);
    await assert.rejects(
      client.pool('accounts', ACCOUNTS.slice(1)),
      withCode('conflict', /^pool "accounts": .*replace: true.*ifAbsent: true.*poolAdd/),
    );
    await client.discard('accounts', ACCOUNTS[0]);
    assert.equal(await client.pool('accounts', ACCOUNTS), false, 'what it was defined by');
    assert.equal(await client.pool('accounts', ACCOUNTS.slice(1)), false, 'what it has now');
    assert.equal((await client.describe('accounts')).size, 2);
  });

  test('ifAbsent leaves it; replace puts the list in its place', async (t) => {
    const { client } = startThree(t);
    assert.equal(await client.pool('accounts', ['x', 'y'], { ifAbsent: true }), true);
    assert.equal(await client.pool('accounts', ['z'], { ifAbsent: true }), false);
    const x = await client.acquire('accounts');
    assert.equal(await client.pool('accounts', ['y', 'z'], { replace: true }), true);
    assert.deepEqual(await client.describe('accounts'), {
      kind: 'pool',
      size: 2,
      free: 2,
      waiting: 0,
    });
    await x.release();
    const both = await client.acquire('accounts', { count: 2 });
    assert.deepEqual(both.value, ['y', 'z'], 'x has left');
    await assert.rejects(
      client.pool('accounts', ['a'], { replace: true, ifAbsent: true }),
      withCode('invalid_request'),
    );
    await client.set('config', 1, TTL);
    await assert.rejects(
      client.pool('config', ['a'], { replace: true }),
      withCode('kind_mismatch'),
    );
  });

  test('of a semaphore: the same', async (t) => {
    const { client } = startThree(t);
    assert.equal(await client.limit('browsers', 3), true);
    assert.equal(await client.limit('browsers', 3), false);
    await assert.rejects(client.limit('browsers', 2), withCode('conflict', /replace: true/));
    assert.equal(await client.limit('browsers', 2, { ifAbsent: true }), false);
    const three = await client.acquire('browsers', { count: 3 });
    assert.equal(await client.limit('browsers', 1, { replace: true }), true);
    assert.deepEqual(await client.describe('browsers'), {
      kind: 'semaphore',
      size: 1,
      free: 0,
      waiting: 0,
    });
    await three.release();
    assert.equal((await client.describe('browsers')).free, 1);
  });
});

test('describe tells what a key is', async (t) => {
  const { client, stranger } = startThree(t);
  assert.equal(await client.describe('nothing'), null);
  await client.set('config', 1, TTL);
  assert.deepEqual(await client.describe('config'), { kind: 'value', free: 1, waiting: 0 });
  const held = await client.acquire('config');
  const waiting = stranger.acquire('config');
  await untilWaiting(client, 'config', 1);
  assert.deepEqual(await client.describe('config'), { kind: 'value', free: 0, waiting: 1 });
  await held.release();
  await waiting;
  await client.number('port');
  assert.deepEqual(await client.describe('port'), { kind: 'numbers' });
  await client.namespace('team').limit('browsers', 2);
  const permits = { kind: 'semaphore', size: 2, free: 2, waiting: 0 };
  assert.deepEqual(await client.describe('team:browsers'), permits);
  assert.deepEqual(await client.namespace('team').describe('browsers'), permits);
});

test('clear deletes values, pools, semaphores and rate limits; what is held stays, and is counted', async (t) => {
  const { client } = startThree(t);
  const run = client.namespace('run');
  for (let i = 0; i < 3000; i++) run.set(`value ${i}`, i, TTL);
  await run.set('leased', 1, TTL);
  await run.pool('accounts', ACCOUNTS);
  await run.pool('busy', ACCOUNTS);
  await run.limit('browsers', 2);
  await run.throttle('login', { limit: 1, periodMs: TTL });
  await client.set('other', 1, TTL);
  const held = [await run.acquire('busy'), await run.acquire('leased')];
  assert.deepEqual(await run.clear(), { cleared: 3003, held: 2 });
  assert.deepEqual(
    (await client.list()).map(({ key }) => key),
    ['other', 'run:leased'],
  );
  assert.equal(await run.describe('accounts'), null);
  assert.equal((await run.describe('busy')).size, 3);
  assert.equal((await run.throttle('login', { limit: 1, periodMs: TTL })).allowed, true);
  for (const lease of held) await lease.release();
  assert.deepEqual(await client.clear(), { cleared: 4, held: 0 });
  assert.deepEqual(await client.clear('nothing'), { cleared: 0, held: 0 });
});

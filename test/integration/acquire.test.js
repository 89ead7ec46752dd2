/** What `acquire` is for, and what it refuses: names that nobody defined, numbers that are asked for. */
'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const { startPair, startStranger, withCode } = require('../helpers/broker.js');

const TTL = 60_000;

describe('a key that nobody defined', () => {
  test('acquire, withLease and acquireAll reject not_found, and hand out nothing', async (t) => {
    const { client } = startPair(t);
    const calls = {
      acquire: () => client.acquire('acounts', { workerId: 'w' }),
      withLease: () => client.withLease('acounts', () => assert.fail('ran')),
      acquireAll: () => client.acquireAll(['acounts']),
    };
    for (const [operation, call] of Object.entries(calls)) {
      const message = new RegExp(`^${operation} "acounts": No pool, .*number\\(key\\)`);
      await assert.rejects(call(), withCode('not_found', message));
    }
    assert.deepEqual(await client.leases(), []);
  });

  test('the message names keys near it, with what they are, and never a value', async (t) => {
    const { client } = startPair(t);
    await client.pool('accounts', ['secret of ann']);
    await client.limit('Browsers', 2);
    await client.set('token:buyer', 'secret of the token', TTL);
    const near = {
      acounts: /Did you mean "accounts" \(a pool\)\?/,
      ACCOUNTS: /Did you mean "accounts" \(a pool\)\?/,
      browsers: /Did you mean "Browsers" \(a semaphore\)\?/,
      'token:buyre': /Did you mean "token:buyer" \(a value\)\?/,
      token: /Did you mean "token:buyer" \(a value\)\?/,
    };
    for (const [key, message] of Object.entries(near)) {
      const error = await client.acquire(key).catch((caught) => caught);
      assert.ok(withCode('not_found', message)(error));
      assert.doesNotMatch(error.message, /secret/);
    }
    await assert.rejects(client.acquire('elsewhere'), (error) => !/mean/.test(error.message));
  });

  test('numbers of it in use are told, and are not what acquire gives', async (t) => {
    const { client } = startPair(t);
    await client.lease('port', 'a');
    await assert.rejects(
      client.acquire('port'),
      withCode('not_found', /Nothing is defined for it: it only has numbers that are held\./),
    );
    assert.equal((await client.leases('port')).length, 1);
  });

  test('a value that has expired while others hold it is none', async (t) => {
    const { client } = startPair(t);
    await client.set('config', 1, TTL);
    await client.lease('config', 'a');
    await client.del('config');
    await assert.rejects(client.acquire('config', { waitMs: 0 }), withCode('not_found'));
  });
});

describe('numbers', () => {
  test('are asked for by number(), or by the kind; each is a lease of its own', async (t) => {
    const { client, broker } = startPair(t);
    const stranger = startStranger(t, broker);
    const first = await client.number('port', { workerId: 'w' });
    const second = await stranger.acquire('port', { kind: 'number', workerId: 'w' });
    const third = await client.acquire('port', { kind: 'number', workerId: 'w', waitMs: 0 });
    assert.deepEqual([first.value, second.value, third.value], [0, 1, 2]);
    assert.ok(second.token > first.token);
    await first.release();
    assert.equal(await client.withLease('port', { kind: 'number' }, (number) => number), 0);
    const all = await client.acquireAll(['port', 'shard'], { kind: 'number' });
    assert.deepEqual(
      all.map(({ value }) => value),
      [0, 0],
    );
    assert.equal(await client.lease('port', 'x'), 3, 'lease() needs no definition');
  });

  test('there are none of a pool, a semaphore or a value', async (t) => {
    const { client } = startPair(t);
    await client.pool('accounts', ['x']);
    await client.limit('browsers', 1);
    await client.set('config', 1, TTL);
    for (const key of ['accounts', 'browsers', 'config']) {
      await assert.rejects(client.number(key), withCode('kind_mismatch', /^number ".*else/));
      await assert.rejects(client.acquire(key, { kind: 'number' }), withCode('kind_mismatch'));
    }
    await client.number('port');
    await assert.rejects(client.pool('port', ['x']), withCode('kind_mismatch'));
    await assert.rejects(client.set('port', 1, TTL), withCode('kind_mismatch'));
  });

  test('wrong options reject', async (t) => {
    const { client } = startPair(t);
    for (const call of [
      () => client.acquire('port', { kind: 'numbers' }),
      () => client.acquire('port', { kind: null }),
      () => client.number('port', { kind: 'number' }),
      () => client.number('port', { waitMs: 5 }),
      () => client.lock('port', { kind: 'number' }, () => 1),
    ]) {
      await assert.rejects(call(), withCode('invalid_request'), String(call));
    }
    assert.deepEqual(await client.leases(), []);
  });
});

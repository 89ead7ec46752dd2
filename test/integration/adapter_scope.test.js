'use strict';

/* What one test takes, and the client that adapters export. */

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');
const {
  PipeClient,
  startPair,
  startStranger,
  untilWaiting,
  ROOT,
} = require('../helpers/broker.js');

const { until } = require('../helpers/cli.js');
const { TestScope, lazyWorker, takeTokens } = require(path.join(ROOT, 'lib/adapter/adapter.js'));
const ME = { workerId: 'mocha:1' };

test('the end of a test releases its tokens and its leases', async (t) => {
  const { client } = startPair(t);
  await client.pool('accounts', ['a', 'b']);
  const scope = new TestScope(client, ME);
  assert.deepEqual(await scope.take({ admin: 'accounts' }), { admin: 'a' });
  assert.deepEqual(scope.env(true), { BROKER_TOKEN_ADMIN: 'a' });
  assert.equal(await scope.lease('accounts'), 'b');
  const rows = await client.leases();
  assert.deepEqual(
    rows.map(({ workerId }) => workerId),
    ['mocha:1', 'mocha:1'],
  );
  await scope.end();
  await scope.end();
  assert.deepEqual(await client.leases(), []);
});

test('a scope that outlives a test names the test that lost a lease', async (t) => {
  const { broker, client } = startPair(t);
  const other = startStranger(t, broker);
  await client.pool('accounts', ['a']);
  const scope = new TestScope(client, ME);
  await scope.lease('accounts');
  scope.check('"one"');
  await other.release('mocha:1', 'accounts', { force: true });
  const during = /during "two": it stood still for longer than 60000 ms/;
  await until(() => {
    try {
      return scope.check('"two"');
    } catch (error) {
      assert.equal(error.code, 'lease_lost');
      assert.match(error.message, during);
      return true;
    }
  }, 'the loss');
  await assert.rejects(scope.end(), { code: 'lease_lost' });
});

test('a test that is over while it waits gets nothing', async (t) => {
  const { broker, client } = startPair(t);
  const other = startStranger(t, broker);
  await client.pool('accounts', ['a']);
  const held = await takeTokens(other, { admin: 'accounts' }, { workerId: 'mocha:2' });
  const scope = new TestScope(client, ME);
  const refused = assert.rejects(scope.take({ admin: 'accounts' }), {
    message: 'timeout: The test is over, so nothing is leased to it.',
  });
  await untilWaiting(other, 'accounts', 1);
  await scope.end();
  await refused;
  await assert.rejects(scope.lease('accounts'), { code: 'timeout' });
  await held.release();
  assert.deepEqual(await client.leases(), []);
});

test('a grant that meets the end of the test is released', async (t) => {
  const { client } = startPair(t);
  await client.pool('accounts', ['a']);
  for (let i = 0; i < 50; i++) {
    const scope = new TestScope(client, ME);
    const leasing = scope.lease('accounts').catch(() => null);
    for (let turn = 0; turn < i % 5; turn++) await client.has('x');
    await scope.end();
    await leasing;
    assert.deepEqual(await client.leases(), [], `after ${i % 5} requests`);
  }
});

test('a lease that was lost fails its test at the end', async (t) => {
  const { broker, client } = startPair(t);
  const other = startStranger(t, broker);
  await client.pool('accounts', ['a', 'b']);
  const scope = new TestScope(client, ME);
  await scope.take({ admin: 'accounts' });
  await scope.lease('accounts', { ttl: '30s' });
  await other.release('mocha:1', 'accounts', { force: true });
  await assert.rejects(scope.end({ during: 'logs in' }), {
    code: 'lease_lost',
    message: /logs in/,
  });
  assert.deepEqual(await client.leases(), []);
});

test('an exported client needs no broker before it is used', async (t) => {
  const lazy = lazyWorker(() => ({ adapter: 'mocha', workerId: 'mocha:3' }));
  assert.ok(lazy.client instanceof PipeClient);
  assert.equal(lazy.client.then, undefined);
  assert.throws(() => lazy.client.get('x'), { code: 'broker_gone' });
  const first = startPair(t);
  const second = startPair(t);
  t.after(() => delete process.env.EPHEMERAL_PIPE);
  for (const { broker, client } of [first, second]) {
    process.env.EPHEMERAL_PIPE = broker.pipe;
    await lazy.client.set('x', 1, '1m');
    assert.equal(await client.get('x'), 1);
    const lease = await lazy.client.number('port');
    assert.equal(lease.workerId, 'mocha:3');
    await lazy.close();
  }
});

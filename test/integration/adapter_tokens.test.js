'use strict';

/* The tokens that adapters of test runners take for a worker, a file or a test. */

const assert = require('node:assert/strict');
const path = require('node:path');
const { once } = require('node:events');
const { test } = require('node:test');
const { startPair, startStranger, untilWaiting, ROOT } = require('../helpers/broker.js');

const { acquireNoticed, getToken, takeTokens, worker } = require(
  path.join(ROOT, 'lib/adapter/adapter.js'),
);
const ME = { workerId: 'jest:1' };

test('an alias is an element, a permit, a value or a number, by what its key is', async (t) => {
  const { client } = startPair(t);
  await client.pool('accounts', [{ user: 'ann' }]);
  await client.limit('browsers', 2);
  await client.set('token', 't', Infinity);
  const specs = {
    admin: 'accounts',
    browser: { key: 'browsers' },
    apiToken: 'token',
    port: { key: 'ports', slot: true },
  };
  const taken = await takeTokens(client, specs, ME);
  assert.deepEqual(taken.values, {
    admin: { user: 'ann' },
    apiToken: 't',
    browser: 0,
    port: 0,
  });
  const rows = await client.leases();
  assert.deepEqual(
    rows.map(({ key, workerId }) => [key, workerId]),
    [
      ['accounts', 'jest:1'],
      ['browsers', 'jest:1'],
      ['ports', 'jest:1'],
    ],
    'the value is read, not leased',
  );
  await taken.release();
  await taken.release();
  assert.deepEqual(await client.leases(), []);
});

test('a value that is not shared is leased', async (t) => {
  const { client } = startPair(t);
  await client.set('device', 'd', Infinity);
  const specs = { device: { key: 'device', shared: false } };
  const taken = await takeTokens(client, specs, ME);
  assert.equal(taken.values.device, 'd');
  await assert.rejects(takeTokens(client, specs, { ...ME, waitMs: 0 }), { code: 'lease_held' });
  await taken.release();
});

test('an unknown key is an error that names what there is', async (t) => {
  const { client } = startPair(t);
  await client.set('token', 't', Infinity);
  await client.number('ports');
  const known = ['accounts'];
  await assert.rejects(takeTokens(client, { admin: 'acounts' }, { ...ME, known }), {
    code: 'not_found',
    message:
      'not_found: The token "admin" names the key "acounts", and nothing has that name. ' +
      'Known: "accounts", "token". Define it in pools or values, or say ' +
      "{ key: 'acounts', slot: true } for a number. A global setup, or the broker of `start`, " +
      'may also have it before the workers start.',
  });
  await assert.rejects(
    takeTokens(client, { port: 'ports' }, ME),
    { code: 'not_found' },
    'numbers that others hold are no definition',
  );
});

test('a shared element is refused', async (t) => {
  const { client } = startPair(t);
  await client.pool('accounts', ['a']);
  const specs = { admin: { key: 'accounts', shared: true } };
  await assert.rejects(takeTokens(client, specs, ME), { code: 'invalid_request' });
});

test('two aliases of one pool get two elements, and two workers never deadlock', async (t) => {
  const { broker, client } = startPair(t);
  const other = startStranger(t, broker);
  await client.pool('accounts', ['a', 'b']);
  const specs = { buyer: 'accounts', seller: 'accounts' };
  const rounds = async (one, workerId) => {
    for (let i = 0; i < 10; i++) {
      const taken = await takeTokens(one, specs, { workerId });
      assert.deepEqual(Object.values(taken.values).sort(), ['a', 'b']);
      await taken.release();
    }
  };
  await Promise.all([rounds(client, 'jest:1'), rounds(other, 'jest:2')]);
});

test('more aliases than elements are a conflict', async (t) => {
  const { client } = startPair(t);
  await client.pool('accounts', ['a']);
  await assert.rejects(takeTokens(client, { buyer: 'accounts', seller: 'accounts' }, ME), {
    code: 'conflict',
    message: 'conflict: 2 aliases need elements of "accounts" at once, and it has 1.',
  });
});

test('a wait that is too long says who holds the element', async (t) => {
  const { broker, client } = startPair(t);
  const other = startStranger(t, broker);
  await client.pool('accounts', ['a']);
  const held = await takeTokens(other, { admin: 'accounts' }, { workerId: 'wdio:0-1' });
  const told = (token) =>
    new RegExp(
      `^wait_timeout: Waited \\d+ s for "accounts"${token}: held by wdio:0-1 for \\d+ s\\. ` +
        'The pool has 1 elements for 2 workers: add elements, lower the number of workers, ' +
        'or raise waitMs\\.$',
    );
  const spec = { admin: { key: 'accounts', waitMs: 20 }, port: { key: 'ports', slot: true } };
  await assert.rejects(takeTokens(client, spec, ME), {
    code: 'wait_timeout',
    message: told(' \\(token "admin"\\)'),
  });
  await assert.rejects(acquireNoticed(client, 'accounts', { ...ME, waitMs: 20 }), {
    code: 'wait_timeout',
    message: told(''),
  });
  assert.equal((await client.leases()).length, 1, 'the number was given back');
  await held.release();
  const lease = await acquireNoticed(client, 'accounts', ME);
  assert.equal(lease.value, 'a');
});

test('a long wait warns and names the holder', async (t) => {
  const { broker, client } = startPair(t);
  const other = startStranger(t, broker);
  await client.pool('accounts', ['a']);
  const held = await takeTokens(other, { admin: 'accounts' }, { workerId: 'wdio:0-1' });
  const warned = once(process, 'warning');
  const taking = takeTokens(client, { admin: 'accounts' }, { ...ME, noticeMs: 10 });
  const [warning] = await warned;
  assert.equal(warning.code, 'EPB_WAIT');
  assert.match(warning.message, /"accounts" by worker "jest:1".*held by worker "wdio:0-1"/);
  await held.release();
  await (await taking).release();
});

test('a wait ends with the signal', async (t) => {
  const { broker, client } = startPair(t);
  const other = startStranger(t, broker);
  await client.pool('accounts', ['a']);
  const held = await takeTokens(other, { admin: 'accounts' }, { workerId: 'jest:2' });
  const abort = new AbortController();
  const taking = takeTokens(client, { admin: 'accounts' }, { ...ME, signal: abort.signal });
  await untilWaiting(other, 'accounts', 1);
  abort.abort(new Error('the run was ended'));
  await assert.rejects(taking, /the run was ended/);
  await held.release();
});

test('a lease that was lost fails its test', async (t) => {
  const { broker, client } = startPair(t);
  const other = startStranger(t, broker);
  await client.pool('accounts', ['a', 'b']);
  const taken = await takeTokens(client, { admin: 'accounts' }, ME);
  taken.check('a test before');
  const aborted = once(taken.signal, 'abort');
  await other.release('jest:1', 'accounts', { force: true });
  await aborted;
  assert.equal(taken.signal.reason.code, 'lease_lost');
  const text = (during) => ({
    code: 'lease_lost',
    message:
      `lease_lost: The token "admin" was taken from this worker during ${during}: it stood still ` +
      'for longer than 60000 ms, or somebody used --force. Another worker may have used it meanwhile.',
  });
  assert.throws(() => taken.check('logs in'), text('logs in'));
  await assert.rejects(taken.release(), text('its use'));
});

test('a broker that ends fails the test that holds tokens', async (t) => {
  const { broker, client } = startPair(t);
  await client.pool('accounts', ['a']);
  const taken = await takeTokens(client, { admin: 'accounts' }, ME);
  const aborted = once(taken.signal, 'abort');
  broker.stopSync();
  await aborted;
  await assert.rejects(taken.release(), { code: 'broker_gone' });
});

test('discard removes all elements of the tokens', async (t) => {
  const { client } = startPair(t);
  await client.pool('accounts', ['a', 'b', 'c']);
  const taken = await takeTokens(client, { buyer: 'accounts', seller: 'accounts' }, ME);
  await taken.release({ discard: true });
  assert.equal((await client.describe('accounts')).size, 1);
});

test('tokens become variables by their alias, a prefix, a map or a name of their own', async (t) => {
  const { client } = startPair(t);
  await client.set('text', 'as it is', Infinity);
  await client.set('object', { user: 'ann' }, Infinity);
  const specs = {
    apiToken: 'text',
    'log-in': 'object',
    APIKey: 'text',
    own: { key: 'text', env: 'OWN_NAME' },
  };
  const taken = await takeTokens(client, specs, ME);
  const own = { OWN_NAME: 'as it is' };
  assert.deepEqual(taken.env(), own);
  assert.deepEqual(taken.env(false), own);
  assert.deepEqual(taken.env(true), {
    ...own,
    BROKER_TOKEN_API_TOKEN: 'as it is',
    BROKER_TOKEN_LOG_IN: '{"user":"ann"}',
    BROKER_TOKEN_API_KEY: 'as it is',
  });
  assert.equal(taken.env('X_').X_API_TOKEN, 'as it is');
  assert.deepEqual(taken.env({ apiToken: 'TOKEN' }), { ...own, TOKEN: 'as it is' });
  const twice = await takeTokens(client, { 'a-b': 'text', aB: 'text' }, ME);
  assert.throws(() => twice.env(true), { code: 'invalid_request', message: /BROKER_TOKEN_A_B/ });
});

test('a worker without a pipe is told what to configure', () => {
  assert.equal(process.env.EPHEMERAL_PIPE, undefined);
  const below = 'Or run it below `ephemeral-pipe-broker start --`.';
  const start = 'broker_gone: EPHEMERAL_PIPE is not set in this worker.';
  for (const [adapter, fix] of [
    [
      'jest',
      " Your jest.config has a globalSetup of its own, which replaces the preset's: export withBroker(config).",
    ],
    ['playwright', ' Wrap the config: export default withBroker(defineConfig({ … })).'],
    ['mocha', ' Add --require @ephemeral-broker/mocha.'],
    ['other', ''],
  ]) {
    assert.throws(() => worker({ adapter, workerId: 'x' }), {
      code: 'broker_gone',
      message: `${start}${fix} ${below}`,
    });
  }
});

test('getToken names the aliases, and the hook from which on there are tokens', () => {
  const taken = { values: { admin: 'a', seller: 'b' } };
  assert.equal(getToken(taken, 'admin'), 'a');
  assert.throws(() => getToken(taken, 'amdin'), {
    message: 'invalid_request: getToken("amdin"): no such alias. There are: admin, seller.',
  });
  assert.throws(() => getToken(taken, 'toString'), { code: 'invalid_request' });
  assert.throws(() => getToken(undefined, 'admin'), {
    message: 'invalid_request: getToken() works from beforeSession on.',
  });
});

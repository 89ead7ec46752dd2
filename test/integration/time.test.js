/** Durations as they are given, TTLs without an end, and what is said of values that are gone. */
'use strict';

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { promisify } = require('node:util');
const { test } = require('node:test');
const { startBroker, startClient, startPair, until, withCode } = require('../helpers/broker.js');
const { rawConnection } = require('../helpers/wire.js');
const { Broker, PipeClient } = require('../..');
const { describeMs, milliseconds } = require('../../lib/duration.js');

const TTL = 60_000;

test('a text with a unit is milliseconds; without one, or with another, it is none', () => {
  const texts = {
    '250ms': 250,
    '60s': 60_000,
    '1.5m': 90_000,
    '1.1h': 3_960_000,
    '7d': 604_800_000,
    '0s': 0,
    [`${Number.MAX_SAFE_INTEGER}ms`]: Number.MAX_SAFE_INTEGER,
  };
  for (const [text, ms] of Object.entries(texts)) assert.equal(milliseconds(text), ms, text);
  for (const text of [
    '60',
    '',
    's',
    '60 s',
    '60S',
    '-1s',
    '1e3ms',
    '1.ms',
    '0x10s',
    'forever',
    '5w',
  ]) {
    assert.ok(Number.isNaN(milliseconds(text)), text);
  }
  const shown = {
    0: '0 ms',
    999: '999 ms',
    1500: '1.5 s',
    60_000: '60 s',
    300_000: '5 min',
    7_200_000: '2 h',
  };
  for (const [ms, text] of Object.entries(shown)) assert.equal(describeMs(Number(ms)), text);
});

test('wherever a duration is taken, it may have a unit', async (t) => {
  const broker = startBroker(t, { defaultTTL: '30m', idleTimeout: '1h', sweeperInterval: '10s' });
  const client = new PipeClient(broker.pipe, { timeout: '5s', defaultTtl: '90s' });
  t.after(() => client.close());
  const ttlOf = async (key) => Math.ceil((await client.ttl(key)) / 1000);
  await client.set('default', 1);
  await client.set('positional', 1, '2m');
  await client.set('option', 1, { ttl: '1h', timeout: '1s' });
  await client.incr('counter', 1, '3m');
  await client.getOrSet('computed', '4m', () => 1, {
    computeTtlMs: '1m',
    waitMs: '1s',
    refreshAheadMs: '1s',
  });
  const keys = { default: 90, positional: 120, option: 3600, counter: 180, computed: 240 };
  for (const [key, seconds] of Object.entries(keys)) assert.equal(await ttlOf(key), seconds, key);

  await client.lease('n', 'w', '5m', { waitMs: '1s' });
  const held = await client.acquireLock('lock', { ttl: '6m', waitMs: '2s' });
  const leases = await client.leases();
  assert.deepEqual(leases.map(({ ttl }) => Math.ceil(ttl / 60_000)).sort(), [5, 6]);
  await held.renew({ timeout: '1s' });
  await held.release({ timeout: '1s' });
  await client.renew('w', { ttl: '10m' });
  await assert.rejects(client.waitFor('none', { timeoutMs: '1ms' }), withCode('wait_timeout'));
  await assert.rejects(client.barrier('none', 2, { timeoutMs: '1ms' }), withCode('wait_timeout'));
  const limit = { limit: 60, periodMs: '1m' };
  assert.equal((await client.throttle('limit', limit)).resetAfterMs, 1000);
  await client.release('w');
  await broker.stop({ drainMs: '1s' });
});

test('a number in a text has no unit, and is refused', async (t) => {
  const { client, broker } = startPair(t);
  await assert.rejects(client.set('k', 1, '60000'), withCode('invalid_ttl', /'60s' or '5m'/));
  const units = /in lower case \(ms, s, m, h, d\).*, not this string\.$/;
  await assert.rejects(client.set('k', 1, '5M'), withCode('invalid_ttl', units));
  const swapped = (error) => !error.message.includes('hunter2');
  await assert.rejects(client.set('k', 60_000, 'hunter2'), swapped);
  await assert.rejects(client.get('k', { timeout: '60' }), withCode('invalid_request', /timeout/));
  await assert.rejects(
    client.acquireLock('k', { waitMs: '60' }),
    withCode('invalid_request', /waitMs/),
  );
  const refused = withCode('invalid_request', /timeout takes milliseconds, or text with a unit/);
  assert.throws(() => new PipeClient(broker.pipe, { timeout: '500' }), refused);
  assert.throws(() => new Broker({ idleTimeout: '10 minutes' }), withCode('invalid_request'));
  await assert.rejects(
    broker.stop({ drainMs: '5' }),
    withCode('invalid_request', /^stop: drainMs/),
  );
});

test('a TTL of Infinity is as long as the broker, and said to be', async (t) => {
  const { client } = startPair(t);
  const endless = new PipeClient(client.pipe, { defaultTtl: Infinity });
  t.after(() => endless.close());
  await client.set('a', 1, Infinity);
  await client.set('b', { b: 1 }, { ttl: Infinity });
  await client.incr('c', 1, Infinity);
  await client.getOrSet('d', Infinity, () => 1);
  await endless.set('e', 'default');
  await client.set('f', 1, 1e15);
  await client.set('g', 1, 1e300);
  await client.set('h', 1, '36500d');
  for (const { key, ttl } of await client.list()) {
    const isEndless = key !== 'h';
    assert.equal(ttl === Infinity, isEndless, `${key} ${ttl}`);
    assert.equal((await client.ttl(key)) === Infinity, isEndless, key);
    assert.equal((await client.getEntry(key)).ttl === Infinity, isEndless, key);
  }
  await client.lease('n', 'w', Infinity);
  assert.equal((await client.leases('n'))[0].ttl, Infinity);
});

test('over JSON lines 2^53 - 1 is as long as the broker', async (t) => {
  const broker = startBroker(t);
  const raw = await rawConnection(t, broker.pipe);
  const write = (line) => raw.write(`${line}\n`);
  const line = () => raw.line();
  write('{"action":"set","key":"k","value":1,"ttl":9007199254740991}');
  assert.equal((await line()).ok, true);
  write('{"action":"ttl","key":"k"}');
  assert.equal((await line()).ttl, Number.MAX_SAFE_INTEGER);
  write('{"action":"set","key":"short","value":1,"ttl":1}');
  await line();
  await until(async () => {
    write('{"action":"get","key":"short"}');
    const { error, message, ttl, expiredMsAgo } = await line();
    if (error !== 'not_found') return false;
    assert.equal(message, 'The key has expired.');
    return ttl === 1 && Number.isInteger(expiredMsAgo);
  });
  write('{"action":"get","key":"never"}');
  assert.equal((await line()).message, 'The key does not exist or has expired.');
  for (const ttl of ['"x"', '"60s"', '0', '-1', '[]']) {
    write(`{"action":"set","key":"k","value":1,"ttl":${ttl}}`);
    const refused = await line();
    assert.equal(refused.error, 'invalid_ttl', ttl);
    assert.match(refused.message, /^A TTL is a number of milliseconds greater than 0/);
  }
  write(`{"action":"set","key":"k","value":"${'x'.repeat(300_000)}","ttl":1000}`);
  const { error, size, limit, option } = await line();
  assert.deepEqual(
    { error, size, limit, option },
    {
      error: 'too_large',
      size: 300_002,
      limit: 262_144,
      option: 'maxValueSize',
    },
  );
});

test('who asks too late is told when it expired, and what its TTL was', async (t) => {
  const { client } = startPair(t);
  await client.set('token', 1, '25ms');
  await until(async () => !(await client.has('token')));
  const told = /: It expired \d+ ms ago; its TTL was 25 ms\.$/;
  for (const method of ['get', 'getEntry', 'ttl', 'acquire']) {
    await assert.rejects(client[method]('token'), withCode('not_found', told), method);
  }
  assert.throws(() => client.getSync('token'), withCode('not_found', told));
  assert.equal(await client.get('token', { default: 7 }), 7);
  await client.set('token', 2, TTL);
  await client.del('token');
  const bare = /: The key does not exist, and is none of the last 1,000 that expired\.$/;
  await assert.rejects(client.get('token'), withCode('not_found', bare));
});

test('who mistypes a key is told which one there is', async (t) => {
  const { client } = startPair(t);
  await client.set('api-token', 1, TTL);
  const told = /Did you mean "api-token" \(a value\)\?$/;
  await assert.rejects(client.get('api-tokn'), withCode('not_found', told));
  await assert.rejects(client.ttl('API-token'), withCode('not_found', told));
});

test('get of a pool or a semaphore says that it is to be leased', async (t) => {
  const { client } = startPair(t);
  await client.pool('accounts', ['a', 'b']);
  await client.limit('slots', 2);
  for (const key of ['accounts', 'slots']) {
    for (const method of ['get', 'getEntry', 'ttl']) {
      const told = /It is a pool or a semaphore, not a value: lease something of it/;
      await assert.rejects(client[method](key), withCode('kind_mismatch', told));
    }
    assert.equal(await client.get(key, { default: null }), null);
    assert.equal(await client.has(key), false);
  }
});

test('over JSON lines, too, a key that is not there names keys near it', async (t) => {
  const broker = startBroker(t);
  const client = startClient(t, broker);
  await client.pool('accounts', ['a', 'b']);
  await client.set('account', 1, TTL);
  const raw = await rawConnection(t, broker.pipe);
  for (const request of [{ action: 'get' }, { action: 'acquire', workerId: 'w' }]) {
    raw.write(`${JSON.stringify({ ...request, key: 'acount' })}\n`);
    const { error, near } = await raw.line();
    assert.equal(error, 'not_found');
    assert.deepEqual(near, [
      { key: 'account', kind: 'value' },
      { key: 'accounts', kind: 'pool' },
    ]);
  }
  raw.write('{"action":"get","key":"nothing like it"}\n');
  assert.equal((await raw.line()).near, undefined);
});

test('too_large has both numbers, and the option', async (t) => {
  const broker = startBroker(t, { maxValueSize: 1000, maxRequestSize: 4096 });
  for (const compression of [false, true]) {
    const client = startClient(t, broker, { compression });
    const value = /The value has 2002 bytes, and the broker takes 1000 \(maxValueSize\)\.$/;
    await assert.rejects(client.set('k', 'x'.repeat(2000), TTL), withCode('too_large', value));
  }
  const client = startClient(t, broker);
  const request = /The request has 50\d\d bytes, and the broker takes 4096 \(maxRequestSize\)\.$/;
  await assert.rejects(client.set('k', 'x'.repeat(5000), TTL), withCode('too_large', request));
  const element = /An element has 2002 bytes, and the broker takes 1000 \(maxValueSize\)\.$/;
  const elements = ['a', 'x'.repeat(2000)];
  await assert.rejects(client.pool('p', elements), withCode('too_large', element));
  await assert.rejects(client.poolAdd('p', elements), withCode('too_large', element));
});

const SHORT = `
  const { Broker } = require(${JSON.stringify(require.resolve('../..'))});
  // That memory can't be locked has no code.
  process.on('warning', ({ code, message }) => code && console.log(code, message));
  (async () => {
    const broker = new Broker();
    await broker.start();
    const client = broker.client();
    await client.set('ping', 1, '60ms');
    await client.set('ping', 1, 1000);
    await CALL(client);
    await client.set('k', 'a', 60);
    await client.set('k', 'a', { ttl: 60 });
    await broker.stop();
  })();`;

test('a TTL that was meant in seconds is warned of, once', async () => {
  const calls = {
    "(client) => client.set('k', 'text', 60)": 'set with a TTL of 60:',
    "(client) => client.set('k', { a: 1 }, 60, {})": 'set with a TTL of 60:',
    "(client) => client.set('k', 1, { ttl: 300 })": 'set with a TTL of 300:',
    "(client) => client.incr('k', 1, 60)": 'incr with a TTL of 60:',
    "(client) => client.getOrSet('k', 60, () => 1)": 'getOrSet with a TTL of 60:',
  };
  for (const [call, told] of Object.entries(calls)) {
    const { stdout } = await promisify(execFile)(process.execPath, [
      '-e',
      SHORT.replace('CALL', `(${call})`),
    ]);
    const warnings = stdout.trim().split('\n');
    assert.equal(warnings.length, 1, stdout);
    assert.ok(warnings[0].startsWith(`EPB_SHORT_TTL ${told}`), stdout);
  }
});

'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { withCode } = require('../helpers/broker.js');
const options = require('../../lib/options.js');

const refused = (pattern) => withCode('invalid_request', pattern);

test('explicit wins over the environment, the environment over the default', () => {
  const env = { BROKER_MAX_ITEMS: '7', BROKER_EVICTION: 'lru', BROKER_REQUIRE_TTL: 'false' };
  const resolved = options.resolve('broker', { maxItems: 3 }, env);
  assert.equal(resolved.maxItems, 3);
  assert.equal(resolved.eviction, 'lru');
  assert.equal(resolved.requireTTL, false);
  assert.equal(resolved.maxValueSize, 256 * 1024);
});

test('null and undefined count as not given', () => {
  const resolved = options.resolve('client', { timeout: null, compression: undefined }, {});
  assert.equal(resolved.timeout, 5000);
  assert.equal(resolved.compression, false);
});

test('the environment takes times and sizes with units', () => {
  const env = {
    BROKER_DEFAULT_TTL: '1.5m',
    BROKER_MAX_VALUE_SIZE: '64k',
    BROKER_MAX_MEMORY: '1MiB',
  };
  const resolved = options.resolve('broker', {}, env);
  assert.equal(resolved.defaultTTL, 90_000);
  assert.equal(resolved.maxValueSize, 65_536);
  assert.equal(resolved.maxMemory, 1_048_576);
});

for (const value of ['12abc', '12', NaN, Infinity, -1, 1.5, 2 ** 53, true, {}, [1], () => 1]) {
  test(`a number option refuses ${typeof value} ${String(value)}`, () => {
    assert.throws(
      () => options.resolve('broker', { maxItems: value }, {}),
      refused(/^Broker option maxItems takes a whole number \(0: no limit\), not /),
    );
  });
}

for (const text of ['12abc', '', ' ', '-1', 'NaN', '1e400', '5 parsecs', '0x10', '1.5']) {
  test(`an environment variable refuses ${JSON.stringify(text)}`, () => {
    assert.throws(
      () => options.resolve('broker', {}, { BROKER_MAX_ITEMS: text }),
      refused(/^BROKER_MAX_ITEMS takes a whole number/),
    );
  });
}

test('minimum, enum, boolean, function and pattern are checked', () => {
  const cases = [
    ['broker', { defaultTTL: 0 }, /defaultTTL takes .* of at least 1/],
    ['broker', { eviction: 'random' }, /eviction takes one of none, lru, not "random"/],
    ['broker', { requireTTL: 'yes' }, /requireTTL takes a boolean, not "yes"/],
    ['broker', { requireTTL: 1 }, /requireTTL takes a boolean, not 1/],
    ['broker', { log: 'stderr' }, /log takes a function, not a string/],
    ['broker', { pipeId: '../x' }, /pipeId takes 1 to 64 letters/],
    ['broker', { pipeId: '' }, /pipeId takes 1 to 64 letters/],
    ['client', { timeout: 0 }, /PipeClient option timeout takes .* of at least 1/],
    ['client', [], /options of PipeClient are an object, not an array/],
    ['client', 'x', /options of PipeClient are an object, not a string/],
  ];
  for (const [kind, given, pattern] of cases) {
    assert.throws(() => options.resolve(kind, given, {}), refused(pattern));
  }
});

test('an unknown option is refused, with the name it was probably meant to be', () => {
  assert.throws(
    () => options.resolve('broker', { maxitem: 3 }, {}),
    refused(/no option "maxitem"\. Did you mean maxItems\?$/),
  );
  assert.throws(
    () => options.resolve('client', { entirelyDifferent: 3 }, {}),
    refused(/no option "entirelyDifferent"\.$/),
  );
  assert.throws(
    () => options.resolve('client', { __proto__: null, constructor: 1 }, {}),
    refused(),
  );
});

test('the secret: option, alias, environment, none', () => {
  const secret = (kind, given, env) => options.resolveSecret(kind, given, env);
  assert.equal(secret('client', {}, {}), null);
  assert.equal(secret('client', { secret: 'x' }, {}), 'x');
  assert.equal(secret('client', { auth: 'x' }, {}), 'x');
  assert.equal(secret('client', { auth: Buffer.from('x'), secret: 'x' }, {}), 'x');
  assert.equal(secret('client', {}, { EPHEMERAL_SECRET: 'e' }), 'e');
  assert.equal(secret('client', {}, { CLIENT_SECRET: 'c', BROKER_SECRET: 'b' }), 'c');
  assert.equal(secret('broker', {}, { CLIENT_SECRET: 'c', BROKER_SECRET: 'b' }), 'b');
  assert.equal(secret('broker', {}, { EPHEMERAL_SECRET: 'b', BROKER_SECRET: 'b' }), 'b');
  assert.equal(secret('broker', { secret: 'own' }, { EPHEMERAL_SECRET: 'outer' }), 'own');
  assert.equal(secret('broker', { secret: null }, { EPHEMERAL_SECRET: 'outer' }), null);
});

test('two secrets that differ are refused, naming the sources and not the secrets', () => {
  const cases = [
    [{ secret: 'first-one', auth: 'second-one' }, {}, /option secret and option auth/],
    [{ secret: null, auth: 'second-one' }, {}, /option secret and option auth/],
    [
      {},
      { EPHEMERAL_SECRET: 'first-one', CLIENT_SECRET: 'second-one' },
      /EPHEMERAL_SECRET and CLIENT_SECRET/,
    ],
  ];
  for (const [given, env, pattern] of cases) {
    assert.throws(
      () => options.resolveSecret('client', given, env),
      (error) => refused(pattern)(error) && !/-one/.test(error.message),
    );
  }
});

test('a secret that is empty or no text is refused', () => {
  for (const given of [{ secret: '' }, { secret: Buffer.alloc(0) }, { secret: 5 }, { auth: {} }]) {
    assert.throws(() => options.resolveSecret('client', given, {}), refused());
  }
  assert.throws(
    () => options.resolveSecret('client', {}, { EPHEMERAL_SECRET: '' }),
    refused(/EPHEMERAL_SECRET is empty/),
  );
});

test('every option has its variable, none twice', () => {
  for (const kind of ['broker', 'client']) {
    const rows = options.rowsOf(kind);
    for (const member of ['name', 'env']) {
      const given = rows.map((row) => row[member]).filter((value) => value !== null);
      assert.equal(new Set(given).size, given.length, `${member}s of ${kind}`);
    }
  }
  const names = options.rowsOf('broker').map((row) => row.env);
  for (const name of ['BROKER_REFRESH_TTL_ON_GET', 'BROKER_REQUIRE_TTL', 'BROKER_MAX_VALUE_SIZE']) {
    assert.ok(names.includes(name));
  }
});

'use strict';

/* The run that adapters of test runners share: which broker, what is stored, when it ends. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { startBroker, startClient, runNode, ROOT } = require('../helpers/broker.js');

const ADAPTER = path.join(ROOT, 'lib/adapter/adapter.js');
const { ensureRun } = require(ADAPTER);
const NAMES = ['EPHEMERAL_PIPE', 'EPHEMERAL_SECRET', 'EPHEMERAL_BROKER_PID'];
const WHO = { adapter: 'fake' };

/** A run that ends with the test, and with it the environment of before. */
function startRun(t, options = {}, who = WHO) {
  const run = ensureRun(options, who);
  t.after(() => run.stop());
  return run;
}

/** Sets variables for the time of the test. */
function setEnvironment(t, variables) {
  const names = [...NAMES, ...Object.keys(variables)];
  const before = Object.fromEntries(names.map((name) => [name, process.env[name]]));
  Object.assign(process.env, variables);
  t.after(() => {
    for (const name of names) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  });
}

/** What a function writes to standard error. */
function standardError(t, run) {
  const write = t.mock.method(process.stderr, 'write', () => true);
  const result = run();
  write.mock.restore();
  return { result, text: write.mock.calls.map(({ arguments: [chunk] }) => chunk).join('') };
}

test('without a broker the run starts one with a secret, and stop() puts the environment back', async (t) => {
  setEnvironment(t, {});
  const run = ensureRun({}, WHO);
  assert.equal(run.owned, true);
  assert.equal(process.env.EPHEMERAL_PIPE, run.pipe);
  assert.match(process.env.EPHEMERAL_SECRET, /^[0-9a-f]{64}$/);
  assert.equal(process.env.EPHEMERAL_BROKER_PID, String(process.pid));
  await run.stop();
  assert.deepEqual(
    NAMES.map((name) => process.env[name]),
    [undefined, undefined, undefined],
  );
  assert.equal(fs.existsSync(run.pipe), false);
  await run.stop();
});

test('EPHEMERAL_SECRET is the secret of an own broker', (t) => {
  setEnvironment(t, { EPHEMERAL_SECRET: 'a secret that the user chose' });
  startRun(t);
  assert.equal(process.env.EPHEMERAL_SECRET, 'a secret that the user chose');
});

test('the broker around the run is used, seeded and left running', async (t) => {
  const broker = startBroker(t, { secret: 'auto' });
  const client = startClient(t, broker);
  setEnvironment(t, broker.env());
  const run = ensureRun({ pools: { accounts: ['ann', 'bob'] } }, WHO);
  assert.equal(run.owned, false);
  assert.equal(run.pipe, broker.pipe);
  await run.ready();
  await client.set('of the command', 1, Infinity);
  await run.endRun();
  await run.stop();
  assert.equal(process.env.EPHEMERAL_PIPE, broker.pipe);
  assert.equal((await client.describe('accounts')).size, 2);
  assert.equal(await client.get('of the command'), 1);
});

test('a broker that has ended is named, and a new one started', async (t) => {
  const dead = startBroker(t);
  setEnvironment(t, dead.env());
  const pipe = dead.pipe;
  await dead.stop();
  const { result: run, text } = standardError(t, () => startRun(t));
  assert.equal(
    text,
    `ephemeral-broker: EPHEMERAL_PIPE names a broker that has ended (${pipe}); started a new one.\n`,
  );
  assert.equal(run.owned, true);
  assert.notEqual(run.pipe, pipe);
});

for (const [code, secret] of [
  ['auth_required', undefined],
  ['auth_failed', 'another secret than the one'],
]) {
  test(`a broker that refuses the secret is an error: ${code}`, (t) => {
    const broker = startBroker(t, { secret: 'auto' });
    const env = { EPHEMERAL_PIPE: broker.pipe };
    setEnvironment(t, secret === undefined ? env : { ...env, EPHEMERAL_SECRET: secret });
    assert.throws(() => ensureRun({}, WHO), { code });
  });
}

test('functions run once, and all callers of ready() share them', async (t) => {
  setEnvironment(t, {});
  const calls = [];
  const options = {
    pools: { accounts: async () => (calls.push('pool'), ['ann']) },
    values: { token: async () => (calls.push('value'), 't') },
    limits: { browsers: 3 },
  };
  const [one, two] = [startRun(t, options), startRun(t, options, { adapter: 'other' })];
  await Promise.all([one.ready(), one.ready(), two.ready()]);
  await one.endRun();
  assert.deepEqual(calls.sort(), ['pool', 'value']);
  assert.equal((await one.client.describe('accounts')).size, 1);
  assert.equal((await one.client.describe('browsers')).size, 3);
  assert.equal(await one.client.get('token'), 't');
  assert.equal(await one.client.ttl('token'), Infinity);
});

test('a value that the broker has stays, and its function is not called', async (t) => {
  const broker = startBroker(t);
  const client = startClient(t, broker);
  setEnvironment(t, broker.env());
  await client.set('token', 'first', Infinity);
  const values = { token: () => assert.fail('called'), other: 'set' };
  await startRun(t, { values, ttl: '1h' }).ready();
  assert.equal(await client.get('token'), 'first');
  assert.ok((await client.ttl('other')) <= 3_600_000);
});

test('a function that fails is the error of ready(), which can be tried again', async (t) => {
  setEnvironment(t, {});
  let fails = true;
  const accounts = () => {
    if (fails) throw new Error('no directory');
    return ['ann'];
  };
  const run = startRun(t, { pools: { accounts } });
  await assert.rejects(run.ready(), /no directory/);
  fails = false;
  await run.ready();
  assert.equal((await run.client.describe('accounts')).size, 1);
});

test('another definition of the same pool is a conflict', async (t) => {
  setEnvironment(t, {});
  await startRun(t, { pools: { accounts: ['ann'] } }).ready();
  const other = startRun(t, { pools: { accounts: ['bob'] } });
  await assert.rejects(other.ready(), { code: 'conflict' });
});

test('the last of several users stops the broker', async (t) => {
  setEnvironment(t, {});
  const one = ensureRun({}, WHO);
  const two = ensureRun({}, { adapter: 'other' });
  assert.equal(one.pipe, two.pipe);
  await one.stop();
  await one.stop();
  assert.equal(await two.client.ping(), true);
  two.stopSync();
  assert.equal(fs.existsSync(two.pipe), false);
  assert.equal(process.env.EPHEMERAL_PIPE, undefined);
  const next = startRun(t);
  assert.notEqual(next.pipe, one.pipe);
});

test('copies of the module share one run', async (t) => {
  setEnvironment(t, {});
  const run = startRun(t);
  const script = Object.keys(require.cache).filter((file) =>
    file.startsWith(path.join(ROOT, 'lib')),
  );
  const kept = script.map((file) => [file, require.cache[file]]);
  for (const file of script) delete require.cache[file];
  const copy = require(ADAPTER);
  for (const [file, entry] of kept) require.cache[file] = entry;
  assert.notEqual(copy.ensureRun, ensureRun);
  const other = copy.ensureRun({ values: { seeded: 'by the copy' } }, { adapter: 'copy' });
  t.after(() => other.stop());
  assert.equal(other.pipe, run.pipe);
  await other.ready();
  assert.equal(await run.client.get('seeded'), 'by the copy');
});

test('pools are split between shards', async (t) => {
  const elements = ['a', 'b', 'c', 'd', 'e'];
  const seen = [];
  for (const index of [1, 2]) {
    setEnvironment(t, {});
    const run = ensureRun({ pools: { accounts: elements }, shard: true }, WHO);
    await run.ready({ shard: { index, total: 2 } });
    const { size } = await run.client.describe('accounts');
    const leases = await run.client.acquireAll(Array(size).fill('accounts'));
    seen.push(leases.map(({ value }) => value).sort());
    await run.stop();
  }
  assert.deepEqual(seen, [
    ['a', 'c', 'e'],
    ['b', 'd'],
  ]);
});

test('a shard without an element, and a wrong shard, are errors', async (t) => {
  setEnvironment(t, {});
  const run = startRun(t, { pools: { accounts: ['a', 'b'] }, shard: { index: 3, total: 4 } });
  await assert.rejects(run.ready(), {
    code: 'invalid_request',
    message: 'invalid_request: Shard 3 of 4 gets no element of the pool "accounts": it has 2.',
  });
  for (const shard of [{ index: 0, total: 2 }, { index: 3, total: 2 }, {}, null, 2]) {
    assert.throws(() => ensureRun({ shard }, WHO), { code: 'invalid_request' });
  }
});

test('an option or a token that is misspelt fails at once', () => {
  for (const [options, text] of [
    [{ pool: {} }, /no option "pool"/],
    [{ tokens: { a: { key: 'x', sharde: true } } }, /no option "sharde"/],
    [{ tokens: { a: {} } }, /needs a key/],
    [{ tokens: { a: { key: 'x', slot: true, shared: true } } }, /slot/],
    [{ pools: ['a'] }, /pools is an object/],
    [{ cleanup: true }, /cleanup is a function/],
  ]) {
    assert.throws(() => ensureRun(options, WHO), text);
  }
  assert.equal(process.env.EPHEMERAL_PIPE, undefined);
});

test('check() names a token whose key nothing has', async (t) => {
  setEnvironment(t, {});
  const run = startRun(t, { pools: { accounts: ['a'] }, tokens: { admin: 'acounts' } });
  await run.ready();
  await assert.rejects(run.check(), {
    code: 'not_found',
    message: /^not_found: The token "admin" names the key "acounts".* Known: "accounts"\./,
  });
  await run.client.pool('acounts', ['a']);
  await run.check();
});

test('endRun() calls cleanup, deletes what was stored, and stores the seeds again', async (t) => {
  setEnvironment(t, {});
  const seen = [];
  const options = {
    pools: { accounts: ['a', 'b'] },
    values: { token: 't' },
    cleanup: async (client) => seen.push(await client.get('session', { default: 'nothing' })),
  };
  const one = startRun(t, options);
  const two = startRun(t, {}, { adapter: 'other' });
  await one.ready();
  await one.client.set('session', 'of the run', Infinity);
  await one.client.discard('accounts', 'a');
  await one.client.set('token', 'changed', Infinity);
  await Promise.all([one.endRun(), two.endRun()]);
  assert.deepEqual(seen, ['of the run'], 'once, although two adapters ended the run');
  assert.equal(await one.client.has('session'), false);
  assert.equal((await one.client.describe('accounts')).size, 2);
  assert.equal(await one.client.get('token'), 't');
  await two.endRun();
  await one.endRun();
  assert.deepEqual(seen, ['of the run', 'nothing'], 'once for the second run');
});

test('the library does not load the adapter, and the adapter loads no broker in a worker', async () => {
  const { stdout } = await runNode(`
    require(ROOT);
    const loaded = () => Object.keys(require.cache).map((file) => file.slice(ROOT.length + 1));
    const before = loaded().filter((file) => file.includes('adapter'));
    require(ROOT + '/lib/adapter/adapter.js');
    console.log(JSON.stringify([before, loaded().includes('lib/broker.js')]));
  `);
  assert.deepEqual(JSON.parse(stdout), [[], false]);
});

// @ephemeral-broker/mocha in Mocha.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { framework } = require('../helpers/framework.js');
const { until } = require('../helpers/cli.js');
const { Broker } = require('../../lib/index.js');

const mocha = framework('mocha');

const CONFIG = `
  const { plugin } = require('@ephemeral-broker/mocha');
  module.exports = plugin({
    pools: { accounts: ['ann', 'bob'] },
    tokens: { account: 'accounts' },
    ...JSON.parse(process.env.OPTIONS ?? '{}'),
  });`;
/** What all test files begin with. \`use\` holds the account of the file for some time. */
const HEAD = `
  const assert = require('node:assert/strict');
  const { setTimeout: pause } = require('node:timers/promises');
  const { broker, leased, tokens } = require('@ephemeral-broker/mocha');
  const { enter, hold, note } = require('./witness.cjs');
  const use = (ms = 50) => hold(tokens.account, () => pause(ms));`;

const spec = (body) => `${HEAD}\n${body}`;
const plain = (name) =>
  spec(`describe('${name}', () => {
    it('is first', () => use());
    it('is second', () => use());
  });`);

/** @param {string} output */
const counts = (output) => {
  const count = (what) => Number(new RegExp(`(\\d+) ${what}`).exec(output)?.[1] ?? 0);
  return { passing: count('passing'), failing: count('failing') };
};

/** A broker around the runs of a test. */
function surrounding(t) {
  const broker = new Broker({ exportEnv: false, secret: 'auto' });
  broker.startSync();
  t.after(() => broker.stop({ drainMs: 0 }));
  return broker;
}

const entered = (project) =>
  until(() => project.witness.events().some(({ what }) => what === 'enter'), 'a test runs');

test('three workers share two accounts, although one is killed and tests fail', async (t) => {
  const files = {
    'broker.cjs': CONFIG,
    'a.cjs': plain('a'),
    'b.cjs': plain('b'),
    'c.cjs': plain('c'),
    'fails.cjs': spec(`describe('fails', () => {
      it('an assertion', async () => { await use(); assert.fail('on purpose'); });
      it('holds after that', () => use());
    });`),
    'hangs.cjs': spec(`describe('hangs', () => {
      let leave;
      after(() => leave());
      it('stands still', function () { this.timeout(50); leave = enter(tokens.account); return pause(600); });
    });`),
    'killed.cjs': spec(`describe('killed', () => {
      it('dies', () => { enter(tokens.account); process.kill(process.pid, 'SIGKILL'); });
    });`),
    'retried.cjs': spec(`describe('retried', function () {
      this.retries(2);
      let attempt = 0;
      it('passes at last', async () => { await use(); assert.equal(++attempt, 3); });
    });`),
    'leases.cjs': spec(`for (const name of ['x', 'y']) {
      describe(name, () => {
        const one = leased('printers').install();
        before(() => broker.pool('printers', ['p'], { ifAbsent: true }));
        it('has a printer', () => hold(one.value, () => pause(20)));
      });
    }
    it('has no printer here', () => assert.throws(() => leased('printers').value, /in a test only/));
    it('knows its aliases', () => {
      assert.deepEqual(Object.keys(tokens), ['account']);
      assert.ok('account' in tokens);
      const message = 'invalid_request: getToken("acount"): no such alias. There are: account.';
      assert.throws(() => tokens.acount, { message });
    });`),
  };
  const project = await mocha.project(t, { files });
  const words = [
    'mocha',
    '--require',
    './broker.cjs',
    '--parallel',
    '-j',
    '3',
    '--timeout',
    '60000',
  ];
  const specs = Object.keys(files).filter((name) => name !== 'broker.cjs');
  const { code, output, events } = await project.run([...words, ...specs]);
  assert.deepEqual(counts(output), { passing: 12, failing: 3 }, output);
  assert.equal(code, 3);
  assert.match(output, /stands still:\s+Error: Timeout of 50ms exceeded/);
  assert.match(output, /Uncaught error outside test suite/);
  const workers = new Set(events.map(({ pid }) => pid));
  assert.ok(workers.size >= 3, output);
});

test('in one process, the tokens are of the run, with and without start', async (t) => {
  const files = { 'broker.cjs': CONFIG, 'a.cjs': plain('a'), 'b.cjs': plain('b') };
  const project = await mocha.project(t, { files });
  for (const start of [false, true]) {
    const words = ['mocha', '--require', './broker.cjs', 'a.cjs', 'b.cjs'];
    const { code, output, events } = await project.run(words, { start });
    assert.equal(code, 0, output);
    assert.equal(counts(output).passing, 4);
    const [first] = events.slice(-8);
    for (const { element } of events.slice(-8)) assert.equal(element, first.element);
  }
});

test('a broker around the run is used, and a token that is lost fails its test', async (t) => {
  const around = surrounding(t);
  const files = {
    'broker.cjs': CONFIG,
    'lost.cjs': spec(`
      it('is before', () => use());
      it('loses it', async () => {
        await broker.release('mocha:0', 'accounts', { force: true });
        await pause(100);
      });
      it('is not reached', () => note('reached'));`),
    'lost_lease.cjs': spec(`describe('one', () => {
      const one = leased('accounts').install();
      it('loses the lease of a test', () => broker.release('mocha:0', 'accounts', { force: true }));
    });`),
  };
  const project = await mocha.project(t, { files });
  const words = ['mocha', '--require', './broker.cjs'];
  const lost = await project.run([...words, 'lost.cjs'], { around });
  assert.notEqual(lost.code, 0);
  const text =
    'lease_lost: The token "account" was taken from this worker during "loses it": it stood still ' +
    'for longer than 60000 ms, or somebody used --force. Another worker may have used it meanwhile.';
  assert.ok(lost.output.includes(text), lost.output);
  assert.match(lost.output, /1\) loses it:/);
  assert.deepEqual(
    lost.events.filter(({ what }) => what === 'reached'),
    [],
  );
  const env = { OPTIONS: '{"tokens":{}}' };
  const lease = await project.run([...words, 'lost_lease.cjs'], { around, env });
  assert.match(lease.output, /lease_lost: The token "accounts" .* during "one loses the lease/);
  assert.equal(lease.code, 1, lease.output);
});

test('a wait is seen, and ends when the broker is gone', async (t) => {
  const around = surrounding(t);
  const client = around.client();
  await client.pool('accounts', ['ann', 'bob']);
  await client.acquireAll(['accounts', 'accounts'], { workerId: 'elsewhere:1' });
  const project = await mocha.project(t, { files: { 'broker.cjs': CONFIG, 'a.cjs': plain('a') } });
  const env = { OPTIONS: '{"noticeMs":10}' };
  for (const words of [[], ['--parallel', '-j', '2']]) {
    const all = ['mocha', '--require', './broker.cjs', ...words, 'a.cjs'];
    const running = project.start(all, { around, env });
    await running.sees(/"accounts".* has waited for .* held by worker "elsewhere:1"/, 'stderr');
    if (words.length === 0) {
      process.kill(-running.child.pid, 'SIGINT');
    } else {
      await around.stop({ drainMs: 0 });
    }
    const { code, output } = await project.end(running);
    assert.notEqual(code, 0, output);
    if (words.length > 0) assert.match(output, /The broker is shutting down|broker_gone/, output);
  }
});

test('a wait for tokens is no part of a time limit', async (t) => {
  const around = surrounding(t);
  const client = around.client();
  await client.pool('accounts', ['ann', 'bob']);
  const held = await client.acquireAll(['accounts', 'accounts'], { workerId: 'elsewhere:1' });
  const files = {
    'broker.cjs': CONFIG,
    'a.cjs': spec(`describe('one', () => {
      const one = leased('accounts').install();
      it('has both', function () { this.timeout(0); return hold(one.value, () => use()); });
    });`),
  };
  const project = await mocha.project(t, { files });
  const words = ['mocha', '--require', './broker.cjs', '--timeout', '50', 'a.cjs'];
  const running = project.start(words, { around, env: { OPTIONS: '{"noticeMs":200}' } });
  // The notice comes after the time limit of a hook.
  await running.sees(/"accounts".* has waited for/, 'stderr');
  await held.release();
  const { code, output } = await project.end(running, { around });
  assert.equal(code, 0, output);
});

test('a wait with a limit fails the file and names the holders', async (t) => {
  const around = surrounding(t);
  const client = around.client();
  await client.pool('accounts', ['ann', 'bob']);
  const held = await client.acquireAll(['accounts', 'accounts'], { workerId: 'elsewhere:1' });
  const project = await mocha.project(t, { files: { 'broker.cjs': CONFIG, 'a.cjs': plain('a') } });
  const env = { OPTIONS: '{"waitMs":50}' };
  const running = project.start(['mocha', '--require', './broker.cjs', 'a.cjs'], { around, env });
  await running.closed;
  await held.release();
  const { code, output } = await project.end(running, { around });
  assert.equal(code, 1, output);
  const held2 = 'held by elsewhere:1 for \\d+ s\\.';
  assert.match(
    output,
    new RegExp(`wait_timeout: Waited \\d+ s for "accounts" \\(token "account"\\): ${held2}`),
  );
});

test('a configuration that is wrong fails before the first test', async (t) => {
  const files = { 'broker.cjs': CONFIG, 'a.cjs': plain('a') };
  const project = await mocha.project(t, { files });
  for (const [options, text] of [
    [
      { tokens: { account: 'acounts' } },
      'not_found: The token "account" names the key "acounts", and nothing has that name. ' +
        'Known: "accounts". Define it in pools or values, or say ' +
        "{ key: 'acounts', slot: true } for a number.",
    ],
    [{ pool: {} }, 'ensureRun() has no option "pool". Did you mean pools?'],
    [
      { shard: true },
      'invalid_request: Mocha has no shards, so shard: true splits nothing. ' +
        'Give shard: { index, total }.',
    ],
  ]) {
    const env = { OPTIONS: JSON.stringify(options) };
    const words = ['mocha', '--require', './broker.cjs', '--parallel', 'a.cjs'];
    const { code, output, events } = await project.run(words, { env });
    assert.notEqual(code, 0);
    assert.ok(output.includes(text), output);
    assert.deepEqual(events, []);
  }
});

test('a worker without a broker says what to configure', async (t) => {
  const file = spec(`it('has none', () => broker.get('x'));`);
  const project = await mocha.project(t, { files: { 'a.cjs': file } });
  const { code, output } = await project.run(['mocha', 'a.cjs']);
  assert.equal(code, 1);
  const text =
    'broker_gone: EPHEMERAL_PIPE is not set in this worker. ' +
    'Add --require @ephemeral-broker/mocha. Or run it below `ephemeral-pipe-broker start --`.';
  assert.ok(output.includes(text), output);
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL']) {
  test(`${signal} of Mocha ends all`, async (t) => {
    const files = { 'broker.cjs': CONFIG };
    for (const name of ['a', 'b', 'c'])
      files[`${name}.cjs`] = spec(
        `it('holds', function () { this.timeout(0); return use(600_000); });`,
      );
    const project = await mocha.project(t, { files });
    const words = ['mocha', '--require', './broker.cjs', '--parallel', '-j', '3'];
    const running = project.start([...words, 'a.cjs', 'b.cjs', 'c.cjs']);
    await entered(project);
    running.child.kill(signal);
    const leavesSocket = signal === 'SIGKILL';
    const ended = await project.end(running, { leavesSocket });
    // Mocha's parallel mode ends with 0 after SIGINT, also without us.
    if (signal !== 'SIGINT') assert.equal(ended.signal, signal, ended.output);
  });
}

test('the watch mode releases tokens between runs', async (t) => {
  const project = await mocha.project(t, { files: { 'broker.cjs': CONFIG, 'a.cjs': plain('a') } });
  const words = [
    'mocha',
    '--require',
    './broker.cjs',
    '--watch',
    '--watch-files',
    '*.cjs',
    'a.cjs',
  ];
  const running = project.start(words, { input: null });
  await running.sees(/2 passing/);
  project.write({ 'a.cjs': plain('changed') });
  await running.sees(/changed[^]*2 passing/);
  running.child.kill('SIGINT');
  const { code, output } = await project.end(running);
  assert.equal(code, 130, output);
});

test('the package itself is a plugin without tokens, and a module can export its own', async (t) => {
  const files = {
    'own.mjs': `
      import { plugin } from '@ephemeral-broker/mocha';
      export const { mochaGlobalSetup, mochaGlobalTeardown, mochaHooks } = plugin({
        values: { url: async () => 'http://localhost' }, tokens: { url: 'url' }, envVars: true });`,
    'a.mjs': `
      import { broker, tokens } from '@ephemeral-broker/mocha';
      import assert from 'node:assert/strict';
      it('has a broker', () => broker.set('x', 1, '1m'));
      if (process.env.OWN) it('has a value', () => {
        assert.equal(tokens.url, 'http://localhost');
        assert.equal(process.env.BROKER_TOKEN_URL, 'http://localhost');
      });`,
  };
  const project = await mocha.project(t, { files });
  const first = await project.run(['mocha', '--require', '@ephemeral-broker/mocha', 'a.mjs']);
  assert.equal(first.code, 0, first.output);
  const env = { OWN: '1' };
  const second = await project.run(['mocha', '--require', './own.mjs', 'a.mjs'], { env });
  assert.equal(second.code, 0, second.output);
  assert.equal(counts(second.output).passing, 2);
});

test('the example runs, and the types are right', async (t) => {
  const project = await mocha.project(t, { example: true });
  const { code, output } = await project.run(['mocha']);
  assert.equal(code, 0, output);
  assert.equal(counts(output).passing, 4);
  await project.types('mocha');
});

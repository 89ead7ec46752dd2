// @ephemeral-broker/cucumber in Cucumber.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { framework } = require('../helpers/framework.js');
const { until } = require('../helpers/cli.js');
const { Broker } = require('../../lib/index.js');

const cucumber = framework('cucumber', { node: 24 });

const PROFILE = `
  const options = JSON.parse(process.env.OPTIONS ?? '{}');
  export default {
    plugin: ['@ephemeral-broker/cucumber'],
    pluginOptions: { broker: {
      pools: { accounts: async () => ['ann', 'bob'] }, tokens: { account: 'accounts' }, ...options } },
    format: ['progress'],
  };`;
const STEPS = `
  import { After, Before, When, setDefaultTimeout } from '@cucumber/cucumber';
  import { setTimeout as pause } from 'node:timers/promises';
  import witness from '../witness.cjs';

  const UNLIMITED = { timeout: -1 };
  const BRIEF = { timeout: 300 };
  setDefaultTimeout(Number(process.env.LIMIT ?? 60_000));
  Before(function () { this.hasTokens = this.brokerTokens !== undefined; });
  After(function () { this.leave?.(); });
  const use = (element, ms) => witness.hold(element, () => pause(ms));
  When('I use the account for {int} ms', UNLIMITED, function (ms) {
    if (!this.hasTokens) throw new Error('Before has no tokens');
    return use(this.brokerTokens.account, ms);
  });
  When('I fail', () => { throw new Error('on purpose'); });
  When('I stand still', BRIEF, function () {
    this.leave = witness.enter(this.brokerTokens.account);
    return pause(10_000, null, { ref: false });
  });
  let attempts = 0;
  When('I pass the second time', function () {
    if (++attempts < 2) throw new Error('the first time');
    witness.note('retried', { env: process.env.BROKER_TOKEN_ACCOUNT === this.brokerTokens.account });
  });
  When('I lease {string}', async function (key) { await use(await this.lease(key), 10); });
  When('I lose it', async function () {
    const workerId = 'cucumber:' + (process.env.CUCUMBER_WORKER_ID ?? 0);
    await this.broker.release(workerId, 'accounts', { force: true });
  });
  When('my thread ends', function () {
    witness.note('ends');
    process.exit(3);
  });`;

/** A feature whose scenarios have one step each. */
const feature = (steps) => {
  const scenarios = steps.map((step, i) => `  Scenario: number ${i}\n    When ${step}\n`);
  return `Feature: all\n\n${scenarios.join('\n')}`;
};
const uses = (count, ms = 50) => feature(Array(count).fill(`I use the account for ${ms} ms`));
const project = (t, text, more = {}) =>
  cucumber.project(t, {
    files: {
      'cucumber.mjs': PROFILE,
      'features/steps.mjs': STEPS,
      'features/all.feature': text,
      ...more,
    },
  });

function surrounding(t) {
  const broker = new Broker({ exportEnv: false, secret: 'auto' });
  broker.startSync();
  t.after(() => broker.stop({ drainMs: 0 }));
  return broker;
}

const PARALLEL = ['cucumber-js', '--parallel', '3'];

test('three workers share two accounts, although scenarios fail', async (t) => {
  const steps = [
    ...Array(6).fill('I use the account for 50 ms'),
    'I fail',
    'I stand still',
    'I lease "nothing that exists"',
    'I pass the second time',
  ];
  const one = await project(t, feature(steps));
  const env = { OPTIONS: '{"envVars":true}' };
  const { code, output, events } = await one.run([...PARALLEL, '--retry', '1'], { env });
  assert.equal(code, 1);
  assert.match(output, /10 scenarios \(7 passed, 3 failed\)/, output);
  assert.match(output, /function timed out, ensure the promise resolves within 300 milliseconds/);
  assert.match(output, /acquire "nothing that exists": No pool, semaphore or value has this name/);
  const retried = events.find(({ what }) => what === 'retried');
  assert.equal(retried.env, true);
});

test('in one process, with and without start', async (t) => {
  const one = await project(t, uses(3));
  for (const start of [false, true]) {
    const { code, output } = await one.run(['cucumber-js'], { start });
    assert.equal(code, 0, output);
    assert.match(output, /3 scenarios \(3 passed\)/);
  }
});

test('a scenario that waits for too long in a step leaves the queue', async (t) => {
  const around = surrounding(t);
  const client = around.client();
  await client.pool('printers', ['p']);
  const held = await client.acquire('printers', { workerId: 'elsewhere:1' });
  const one = await project(t, feature(['I lease "printers"', 'I use the account for 20 ms']));
  const running = one.start(['cucumber-js'], { around, env: { LIMIT: '300' } });
  await running.closed;
  await held.release();
  const { code, output } = await one.end(running, { around });
  assert.equal(code, 1);
  assert.match(output, /2 scenarios \(1 passed, 1 failed\)/, output);
});

test('a wait for tokens is no part of a time limit', async (t) => {
  const around = surrounding(t);
  const client = around.client();
  await client.pool('accounts', ['ann', 'bob']);
  const held = await client.acquireAll(['accounts', 'accounts'], { workerId: 'elsewhere:1' });
  const one = await project(t, uses(2));
  const env = { LIMIT: '50', OPTIONS: '{"noticeMs":200}' };
  const running = one.start(PARALLEL, { around, env });
  // The notice comes after the time limit of a hook.
  await running.sees(/"accounts".* has waited for/, 'stderr');
  await held.release();
  const { code, output } = await one.end(running, { around });
  assert.equal(code, 0, output);
});

test('a token that is lost fails its scenario, and no other', async (t) => {
  const around = surrounding(t);
  const one = await project(t, feature(['I lose it', 'I use the account for 20 ms']));
  const { code, output } = await one.run(['cucumber-js'], { around });
  assert.equal(code, 1);
  assert.match(output, /2 scenarios \(1 passed, 1 failed\)/, output);
  const text =
    'lease_lost: The token "account" was taken from this worker during "number 0": it stood still ' +
    'for longer than 60000 ms, or somebody used --force. Another worker may have used it meanwhile.';
  assert.ok(output.includes(text), output);
});

test('a wait is seen, and ends when it may not last or the broker is gone', async (t) => {
  const around = surrounding(t);
  const client = around.client();
  await client.pool('accounts', ['ann', 'bob']);
  await client.acquireAll(['accounts', 'accounts'], { workerId: 'elsewhere:1' });
  const one = await project(t, uses(2));
  const limited = await one.run(PARALLEL, {
    env: { ...around.env(), OPTIONS: '{"waitMs":50}' },
  });
  assert.equal(limited.code, 1);
  const text =
    /wait_timeout: Waited \d+ s for "accounts" \(token "account"\): held by elsewhere:1 for \d+ s\. The pool has 2 elements/;
  assert.match(limited.output, text);
  const env = { OPTIONS: '{"noticeMs":10}' };
  const running = one.start(PARALLEL, { around, env });
  await running.sees(/"accounts".* has waited for .* held by worker "elsewhere:1"/, 'stderr');
  await around.stop({ drainMs: 0 });
  const { code, output } = await one.end(running);
  assert.equal(code, 1, output);
  assert.match(output, /The broker is shutting down|broker_gone/);
});

test('a worker that ends frees its token', async (t) => {
  const around = surrounding(t);
  const one = await project(
    t,
    feature(['my thread ends', ...Array(4).fill('I use the account for 50 ms')]),
  );
  const { code, output, events } = await one.run(PARALLEL, { around });
  assert.equal(code, 1, output);
  assert.ok(events.some(({ what }) => what === 'ends'));
  assert.match(output, /exited unexpectedly with code 3/);
});

test('shards have different accounts', async (t) => {
  const one = await project(t, uses(4));
  const env = { OPTIONS: '{"shard":true}' };
  for (const [words, element] of [
    [['--shard', '1/2'], 'ann'],
    [['--shard=2/2'], 'bob'],
  ]) {
    const before = one.witness.events().length;
    const { code, output, events } = await one.run([...PARALLEL, ...words], { env });
    assert.equal(code, 0, output);
    const used = events.slice(before).map((event) => event.element);
    assert.deepEqual(used, [element, element, element, element]);
  }
});

test('a configuration that is wrong fails before the first scenario', async (t) => {
  const one = await project(t, uses(1));
  for (const [options, text] of [
    [
      { tokens: { account: 'acounts' } },
      'not_found: The token "account" names the key "acounts", and nothing has that name. ' +
        'Known: "accounts". Define it in pools or values, or say ' +
        "{ key: 'acounts', slot: true } for a number.",
    ],
    [{ pool: {} }, 'ensureRun() has no option "pool". Did you mean pools?'],
  ]) {
    const env = { OPTIONS: JSON.stringify(options) };
    const { code, output, events } = await one.run(PARALLEL, { env });
    assert.equal(code, 1);
    assert.ok(output.includes(text), output);
    assert.deepEqual(events, []);
  }
});

test('the hooks without the plugin say what to configure', async (t) => {
  const more = {
    'cucumber.mjs': 'export default {};',
    'features/hooks.mjs': "import '@ephemeral-broker/cucumber/hooks';",
  };
  const one = await project(t, uses(1), more);
  const { code, output } = await one.run(['cucumber-js']);
  assert.equal(code, 1);
  const text =
    'broker_gone: EPHEMERAL_PIPE is not set in this worker. Add @ephemeral-broker/cucumber to the ' +
    'plugins of the config. Or run it below `ephemeral-pipe-broker start --`.';
  assert.ok(output.includes(text), output);
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL']) {
  test(`${signal} of Cucumber ends all`, async (t) => {
    const one = await project(t, uses(3, 60_000));
    const running = one.start(PARALLEL);
    await until(() => one.witness.events().length >= 2, 'two scenarios run');
    running.child.kill(signal);
    const ended = await one.end(running, { leavesSocket: signal === 'SIGKILL' });
    assert.equal(ended.signal, signal, ended.output);
  });
}

test('the example runs, and the types are right', async (t) => {
  const one = await cucumber.project(t, { example: true });
  const { code, output } = await one.run(PARALLEL);
  assert.equal(code, 0, output);
  assert.match(output, /3 scenarios \(3 passed\)/);
  await one.types('cucumber');
});

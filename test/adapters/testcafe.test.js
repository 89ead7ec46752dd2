// @ephemeral-broker/testcafe in TestCafe, with Chromium.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { framework } = require('../helpers/framework.js');
const { until } = require('../helpers/cli.js');
const { Broker } = require('../../lib/index.js');

const testcafe = framework('testcafe');

const CONFIG = `
  const { brokerHooks } = require('@ephemeral-broker/testcafe');
  const { note } = require('./witness.cjs');
  const options = JSON.parse(process.env.OPTIONS ?? '{}');
  module.exports = {
    disableMultipleWindows: true,
    hooks: brokerHooks(
      { pools: { accounts: async () => ['ann', 'bob'] }, tokens: { account: 'accounts' }, ...options },
      {
        testRun: {
          before: () => note('run before', { pipe: !!process.env.EPHEMERAL_PIPE }),
          after: () => note('run after', { pipe: !!process.env.EPHEMERAL_PIPE }),
        },
        test: {
          before: (t) => note('before', { has: t.ctx.tokens !== undefined }),
          after: (t) => { note('after', { has: t.ctx.tokens !== undefined }); t.ctx.leave?.(); },
        },
      },
    ),
  };`;
const HEAD = `
  const { setTimeout: pause } = require('node:timers/promises');
  const { enter, hold, note } = require('./witness.cjs');
  const use = (t, ms = 100) => hold(t.ctx.tokens.account, () => pause(ms));
  fixture('all').page('about:blank');`;
const browser = () => `'${testcafe.chromium ? 'chromium' : ''}:headless --no-sandbox'`.slice(1, -1);
const words = (concurrency, ...more) => [
  'testcafe',
  browser(),
  'a.cjs',
  '--config-file',
  '.testcaferc.cjs',
  '-c',
  String(concurrency),
  ...more,
];
/** TestCafe that is killed leaves its browsers. */
const strays = /chromium|chrome_crashpad/;

const project = (t, body) =>
  testcafe.project(t, { files: { '.testcaferc.cjs': CONFIG, 'a.cjs': HEAD + body } });

function surrounding(t) {
  const broker = new Broker({ exportEnv: false, secret: 'auto' });
  broker.startSync();
  t.after(() => broker.stop({ drainMs: 0 }));
  return broker;
}

test('three browsers share two accounts, although tests fail and are repeated', async (t) => {
  const one = await project(
    t,
    `
    let attempts = 0;
    for (const n of [1, 2, 3, 4]) test('uses ' + n, (t) => use(t));
    test('fails', async (t) => { await use(t); throw new Error('on purpose'); });
    test('passes at last', async (t) => {
      await use(t);
      note('attempt', { element: t.ctx.tokens.account });
      await t.expect(++attempts).gt(1);
    });
    test('leases more', async (t) => hold(await t.ctx.lease('printers'), () => pause(50)));
    test('leases the same', async (t) => hold(await t.ctx.lease('printers'), () => pause(50)));`,
  );
  const env = { OPTIONS: JSON.stringify({ limits: { printers: 1 } }) };
  const quarantine = ['-q', 'attemptLimit=3,successThreshold=1'];
  const { code, output, events } = await one.run(words(3, ...quarantine), { env });
  assert.equal(code, 1, output);
  assert.match(output, /1\/8 failed/);
  assert.match(output, /Error: on purpose/);
  assert.equal(events.filter(({ what }) => what === 'attempt').length, 2);
  for (const { what, has } of events)
    if (what === 'before' || what === 'after') assert.equal(has, true, what);
  assert.deepEqual(
    events.filter(({ what }) => what.startsWith('run')).map(({ what, pipe }) => [what, pipe]),
    [
      ['run before', true],
      ['run after', true],
    ],
  );
});

test('a test that is over while it waits or holds gives all back', async (t) => {
  const around = surrounding(t);
  const client = around.client();
  await client.pool('printers', ['p']);
  const held = await client.acquire('printers', { workerId: 'elsewhere:1' });
  const one = await project(
    t,
    `
    test('waits', async (t) => { await t.ctx.lease('printers'); });
    test('stands still', async (t) => {
      t.ctx.leave = enter(t.ctx.tokens.account);
      await pause(60_000, null, { ref: false });
    });
    test('is next', (t) => use(t));`,
  );
  const running = one.start(words(1, '--test-execution-timeout', '2500'), { around });
  await running.closed;
  await held.release();
  const { code, output } = await one.end(running, { around });
  assert.equal(code, 2, output);
  assert.match(output, /2\/3 failed/);
});

test('a token that is lost fails its test, and no other', async (t) => {
  const around = surrounding(t);
  const one = await project(
    t,
    `
    const { PipeClient } = require('ephemeral-pipe-broker');
    test('loses it', async () => {
      const client = new PipeClient();
      const [{ workerId }] = await client.leases();
      await client.release(workerId, 'accounts', { force: true });
    });
    test('is next', (t) => use(t));`,
  );
  const { code, output } = await one.run(words(1), { around });
  assert.equal(code, 1, output);
  const text =
    'lease_lost: The token "account" was taken from this worker during "loses it": it stood still ' +
    'for longer than 60000 ms, or somebody used --force. Another worker may have used it meanwhile.';
  assert.ok(output.replace(/\s+/g, ' ').includes(text), output);
  assert.match(output, /1\/2 failed/);
});

test('a wait is seen and names the holder; the end of the broker ends it', async (t) => {
  const around = surrounding(t);
  const client = around.client();
  await client.pool('accounts', ['ann', 'bob']);
  await client.acquireAll(['accounts', 'accounts'], { workerId: 'elsewhere:1' });
  const one = await project(t, `test('uses', (t) => use(t));`);
  const env = { OPTIONS: '{"noticeMs":10}' };
  const running = one.start(words(1), { around, env });
  await running.sees(/"accounts".* has waited for .* held by worker "elsewhere:1"/, 'stderr');
  await around.stop({ drainMs: 0 });
  const { code, output } = await one.end(running);
  assert.equal(code, 1, output);
  assert.match(output, /The broker is shutting down|broker_gone/);
});

test('below start, a wait with a limit fails the test and keeps it from other accounts', async (t) => {
  const one = await project(
    t,
    `
    const { PipeClient } = require('ephemeral-pipe-broker');
    test('waits', (t) => use(t));
    fixture('other').before(async () => {
      const client = new PipeClient();
      await client.acquireAll(['accounts', 'accounts'], { workerId: 'elsewhere:1' });
    }).page('about:blank');
    test('has none', (t) => { note('body'); return use(t); });`,
  );
  const env = { OPTIONS: '{"waitMs":50}' };
  const { code, output, events } = await one.run(words(1), { start: true, env });
  assert.equal(code, 1, output);
  const text =
    /wait_timeout: Waited \d+ s for "accounts" \(token "account"\): held by elsewhere:1 for \d+ s\. The pool has 2 elements/;
  assert.match(output.replace(/\s+/g, ' '), text);
  assert.equal(events.filter(({ what }) => what === 'enter').length, 1);
});

test('a configuration that is wrong fails all tests before they start', async (t) => {
  const one = await project(t, `test('uses', (t) => use(t));`);
  for (const [options, text] of [
    [
      { tokens: { account: 'acounts' } },
      'not_found: The token "account" names the key "acounts", and nothing has that name. ' +
        'Known: "accounts". Define it in pools or values, or say ' +
        "{ key: 'acounts', slot: true } for a number.",
    ],
    [
      { envVars: true },
      'invalid_request: TestCafe runs all tests in one process, so a variable cannot hold the ' +
        'tokens of one test: use t.ctx.tokens.',
    ],
  ]) {
    const env = { OPTIONS: JSON.stringify(options) };
    const { code, output, events } = await one.run(words(1), { env });
    assert.equal(code, 1);
    assert.ok(output.replace(/\s+/g, ' ').includes(text), output);
    assert.deepEqual(
      events.filter(({ what }) => what === 'enter'),
      [],
    );
  }
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL']) {
  test(`${signal} of TestCafe ends all`, async (t) => {
    const one = await project(
      t,
      `for (const n of [1, 2]) test('uses ' + n, (t) => use(t, 5_000));`,
    );
    const running = one.start(words(2), {});
    await until(() => one.witness.events().some(({ what }) => what === 'enter'), 'a test runs');
    running.child.kill(signal);
    await one.end(running, { strays, leavesSocket: signal === 'SIGKILL' });
  });
}

test('the live mode has the broker anew in each run', async (t) => {
  const one = await project(t, `test('uses', (t) => use(t));`);
  const running = one.start(words(1, '--live'), { input: null });
  await running.sees(/1 passed/);
  one.write({ 'a.cjs': `${HEAD}\ntest('uses again', (t) => use(t));` });
  await running.sees(/uses again[^]*1 passed/);
  running.child.kill('SIGINT');
  const { events, output } = await one.end(running, { strays });
  const runs = events.filter(({ what }) => what === 'run before');
  assert.ok(runs.length >= 2, output);
});

test('the example runs, and the types are right', async (t) => {
  const one = await testcafe.project(t, { example: true });
  const { code, output } = await one.run(['testcafe', browser()]);
  assert.equal(code, 0, output);
  assert.match(output, /3 passed/);
  await one.types('testcafe');
});

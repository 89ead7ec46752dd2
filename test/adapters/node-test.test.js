// ephemeral-pipe-broker/node-test with the test runner of Node 24, and below `start` with the present one.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { Broker } = require('../../lib/index.js');
const { framework } = require('../helpers/framework.js');

const newer = framework('node-test', { node: 24 });
const present = framework('node-test');

const RUN = ['node', '--test', '--test-reporter=tap', '--test-concurrency=3'];
const WITH_BROKER = [...RUN, '--test-global-setup=broker.mjs'];

const setup = (options) => `
  import { withBroker } from 'ephemeral-pipe-broker/node-test';
  import { note } from './witness.cjs';
  export const { globalSetup, globalTeardown } = withBroker({ ${options} });`;

const file = (body) => `
  const assert = require('node:assert');
  const { test } = require('node:test');
  const { setTimeout: pause } = require('node:timers/promises');
  const { broker, lease } = require('ephemeral-pipe-broker/node-test');
  const { enter, hold, note } = require('./witness.cjs');
  ${body}`;

const counts = (output) =>
  ['pass', 'fail', 'cancelled'].map((what) =>
    Number(new RegExp(`^# ${what} (\\d+)$`, 'm').exec(output)?.[1]),
  );

const noted = (events, name) => events.filter(({ what }) => what === name);

const SHARING = file(`
  for (const n of [1, 2, 3]) {
    test('shares ' + n, async (t) => {
      const account = await lease(t, 'accounts');
      await hold(account, () => pause(50));
      await broker.incr('uses', 1, '10m');
    });
  }`);

test('the example', async (t) => {
  const project = await newer.project(t, { example: true });
  const { code, output } = await project.run(WITH_BROKER);
  assert.equal(code, 0, output);
  assert.deepEqual(counts(output), [1, 0, 0], output);
});

test('three files share two accounts: failures, a timeout, a killed file', async (t) => {
  const options = `
    pools: { accounts: async () => { note('pools'); return ['ann', 'bob']; } },
    cleanup: async (client) =>
      note('cleanup', { uses: await client.get('uses'), held: (await client.leases()).length }),`;
  const files = {
    'broker.mjs': setup(options),
    'a.test.js': SHARING,
    'b.test.js': SHARING,
    'c.test.js': SHARING,
    'fails.test.js': file(`
      test('fails while it holds', async (t) => {
        await hold(await lease(t, 'accounts'), () => assert.fail('as it should'));
      });`),
    'killed.test.js': file(`
      test('is killed while it holds', async (t) => {
        enter(await lease(t, 'accounts'));
        process.kill(process.pid, 'SIGKILL');
      });`),
  };
  const project = await newer.project(t, { files });
  const { code, output, events } = await project.run(WITH_BROKER);
  assert.equal(code, 1);
  const [pass, fail, cancelled] = counts(output);
  assert.equal(pass, 9, output);
  assert.equal(fail + cancelled, 2, output);
  assert.equal(noted(events, 'pools').length, 1);
  const ends = noted(events, 'cleanup').map(({ uses, held }) => ({ uses, held }));
  assert.deepEqual(ends, [{ uses: 9, held: 0 }]);
});

test('a test that is over while it waits gets nothing', async (t) => {
  const options = `
    pools: { accounts: ['ann'] },
    cleanup: async (client) => note('cleanup', { held: (await client.leases()).length }),`;
  const files = {
    'broker.mjs': setup(options),
    'slow.test.js': file(`
      test('waits for itself', async (t) => {
        await lease(t, 'accounts');
        await lease(t, 'accounts');
      });`),
  };
  const project = await newer.project(t, { files });
  const { code, output, events } = await project.run([...WITH_BROKER, '--test-timeout=1000']);
  assert.equal(code, 1, output);
  assert.deepEqual(
    noted(events, 'cleanup').map(({ held }) => held),
    [0],
  );
});

test('a lease that is lost fails its test', async (t) => {
  const around = new Broker({ exportEnv: false, secret: 'auto' });
  around.startSync();
  t.after(() => around.stop({ drainMs: 0 }));
  const files = {
    'broker.mjs': setup("pools: { accounts: ['ann'] }"),
    'lost.test.js': file(`
      const { PipeClient } = require('ephemeral-pipe-broker');
      test('loses it', async (t) => {
        await lease(t, 'accounts');
        const other = new PipeClient(null, { workerId: 'other' });
        const [{ workerId }] = await other.leases();
        await other.release(workerId, 'accounts', { force: true });
        await other.close();
      });
      test('goes on', (t) => lease(t, 'accounts'));`),
  };
  const project = await newer.project(t, { files });
  const { code, output } = await project.run(WITH_BROKER, { around });
  assert.equal(code, 1);
  assert.deepEqual(counts(output), [1, 1, 0], output);
  assert.match(
    output,
    /lease_lost: The token "accounts" was taken from this worker during "loses it"/,
  );
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL']) {
  test(`a run that ${signal} ends leaves nothing`, async (t) => {
    const files = {
      'broker.mjs': setup("pools: { accounts: ['ann'] }"),
      'holds.test.js': file(`
        test('holds', async (t) => {
          await lease(t, 'accounts');
          note('holding');
          for (;;) { await broker.has('x'); await pause(20); }
        });`),
    };
    const project = await newer.project(t, { files });
    const env = { CLIENT_TIMEOUT: '2s' };
    const running = await project.startUntil(WITH_BROKER, 'holding', { env });
    running.child.kill(signal);
    // Only the next start of a broker can remove the socket of a broker that was killed.
    const { code, output } = await project.end(running, { leavesSocket: signal === 'SIGKILL' });
    assert.notEqual(code, 0, output);
  });
}

test('an older Node runs below start; without a broker a test says what to do', async (t) => {
  const first = "test.before(() => broker.pool('accounts', ['ann', 'bob'], { ifAbsent: true }));";
  const text = SHARING.replace('for (const n', `${first}\n  for (const n`);
  const files = { 'a.test.js': text, 'b.test.js': text };
  const project = await present.project(t, { files });
  const words = ['node', '--test', '--test-reporter=tap'];
  const { code, output } = await project.run(words, { start: true });
  assert.equal(code, 0, output);
  assert.deepEqual(counts(output), [6, 0, 0], output);
  const alone = await project.run(words);
  assert.equal(alone.code, 1);
  const said =
    'broker_gone: EPHEMERAL_PIPE is not set in this worker. Run node --test ' +
    '--test-global-setup=<file>, with withBroker() in that file (Node 24 or later). Or run it below ' +
    '`ephemeral-pipe-broker start --`.';
  assert.ok(alone.output.includes(said), alone.output);
});

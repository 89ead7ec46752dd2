// @ephemeral-broker/wdio in WebdriverIO. Most runs have a WebDriver server without a browser.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');

const { Broker } = require('../../lib/index.js');
const { until } = require('../helpers/cli.js');
const { framework } = require('../helpers/framework.js');
const { startWebdriver } = require('../helpers/webdriver.js');

const wdio = framework('wdio');
const RUN = ['wdio', 'run', 'wdio.conf.js'];

/** What all files begin with. `use` holds the account of the worker for some time. */
const HEAD = `
  import assert from 'node:assert/strict';
  import fs from 'node:fs';
  import { setTimeout as pause } from 'node:timers/promises';
  import * as adapter from '@ephemeral-broker/wdio';
  import witness from './witness.cjs';
  const { broker, getToken, tokensReady, withBrokerTokens, withToken } = adapter;
  const { enter, hold, note } = witness;
  const use = (ms = 50) => hold(getToken('admin'), () => pause(ms));
  const options = {
    pools: { accounts: ['ann', 'bob'] },
    tokens: { admin: 'accounts' },
    ...JSON.parse(process.env.OPTIONS ?? '{}'),
  };`;
const CAPS = "{ browserName: 'fake', 'wdio:enforceWebDriverClassic': true }";
const BASE = `
  const base = {
    runner: 'local', framework: 'mocha', reporters: ['spec'], logLevel: 'warn', autoXvfb: false,
    specs: ['./*.spec.js'], maxInstances: 3, connectionRetryCount: 0,
    hostname: '127.0.0.1', port: Number(process.env.PORT), path: '/',
    capabilities: [${CAPS}], mochaOpts: { timeout: 60_000 },
  };`;
const WRAPPED = `${HEAD}${BASE}\nexport const config = withBrokerTokens(options, base);`;

const file = (body) => `${HEAD}\n${body}`;
const plain = (name) =>
  file(`describe('${name}', () => {
    it('is first', () => use());
    it('is second', () => use());
  });`);

/** A project whose runs find the WebDriver server. */
async function started(t, files) {
  const port = await startWebdriver(t);
  const project = await wdio.project(t, {
    files: { 'wdio.conf.js': WRAPPED, ...files },
  });
  project.write({ 'package.json': '{"private":true,"type":"module"}' });
  const env = (more = {}) => ({ PORT: String(port), ...more });
  const run = (options = {}, words = []) =>
    project.run([...RUN, ...words], { ...options, env: env(options.env) });
  const start = (options = {}) => project.start(RUN, { ...options, env: env(options.env) });
  return { project, run, start };
}

function surrounding(t) {
  const broker = new Broker({ exportEnv: false, secret: 'auto' });
  broker.startSync();
  t.after(() => broker.stop({ drainMs: 0 }));
  return broker;
}

const entered = (project) =>
  until(() => project.witness.events().some(({ what }) => what === 'enter'), 'a test runs');
const whats = (events, what) => events.filter((event) => event.what === what);

test('three workers in chromium share two accounts', async (t) => {
  const project = await wdio.project(t, { example: true });
  const orders = 'specs/orders.js';
  const conf = fs.readFileSync(`${project.folder}/yours.js`, 'utf8');
  const binaries =
    `binary: '${wdio.chromium}' }, 'wdio:chromedriverOptions': ` +
    `{ binary: '${wdio.chromedriver}' }, 'goog:chromeOptions': { binary: '${wdio.chromium}',`;
  const text = fs.readFileSync(`${project.folder}/${orders}`, 'utf8');
  const held = text.replace(
    'const { user } = getToken',
    "(await import('../witness.cjs')).default.enter(getToken('admin'));\n    const { user } = getToken",
  );
  assert.notEqual(held, text);
  project.write({
    'package.json': '{"private":true,"type":"module"}',
    'yours.js': conf.replace('args: [', `${binaries} args: [`),
    'specs/invoices.js': held,
    'specs/parcels.js': held,
  });
  const { code, output, events } = await project.run(RUN);
  assert.equal(code, 0, output);
  assert.match(output, /3 passed, 3 total/);
  assert.equal(whats(events, 'enter').length, 2);
});

test('three workers share two accounts, although one is killed and tests fail', async (t) => {
  const { run } = await started(t, {
    'wdio.conf.js': `${HEAD}${BASE}
      export const config = withBrokerTokens({ ...options, envVars: true, cleanup: () => note('cleanup') }, {
        ...base,
        specFileRetries: 1,
        onPrepare: async () => note('prepare', await broker.describe('accounts')),
        beforeSession: [
          () => { throw new Error('a hook of the user'); },
          () => note('before', { token: getToken('admin'), env: process.env.BROKER_TOKEN_ADMIN }),
        ],
        afterSession: async () => {
          await pause(100);
          note('after', { token: getToken('admin'), held: (await broker.leases()).length });
        },
      });`,
    'a.spec.js': plain('a'),
    'killed.spec.js': file(`describe('killed', () => {
      it('dies once', () => {
        const leave = enter(getToken('admin'));
        if (fs.existsSync('killed')) return leave();
        fs.writeFileSync('killed', '');
        process.kill(process.pid, 'SIGKILL');
      });
    });`),
    'fails.spec.js': file(`describe('fails', () => {
      it('an assertion', async () => { await use(); assert.fail('on purpose'); });
      it('holds after that', () => use());
    });`),
    'hangs.spec.js': file(`describe('hangs', () => {
      let leave;
      after(() => leave());
      it('stands still', function () { this.timeout(50); leave = enter(getToken('admin')); return pause(600); });
    });`),
    'waits.spec.js': file(`describe('waits', () => {
      before(() => broker.limit('one', 1));
      it('has one more', () => withToken('one', (value) => assert.equal(value, 0)));
      it('gives up', () => withToken('one', () =>
        assert.rejects(withToken('one', () => note('granted'), { waitMs: 50 }), /wait_timeout: Waited 0 s for "one"/)));
      it('has all', () => {
        assert.deepEqual(browser.brokerTokens, { admin: getToken('admin') });
        assert.throws(() => getToken('amdin'),
          { message: 'invalid_request: getToken("amdin"): no such alias. There are: admin.' });
      });
    });`),
  });
  const { code, output, events } = await run();
  assert.notEqual(code, 0);
  assert.match(output, /on purpose/);
  assert.match(output, /Timeout/);
  assert.match(output, /a hook of the user/);
  assert.match(output, /3 passed, 3 retries, 2 failed, 5 total/);
  assert.deepEqual(
    whats(events, 'prepare').map(({ kind, size, free }) => [kind, size, free]),
    [['pool', 2, 2]],
  );
  for (const { token, env } of whats(events, 'before')) assert.equal(token, env);
  const after = whats(events, 'after');
  assert.equal(after.length, 7);
  for (const { token, held } of after) assert.ok(token && held >= 1);
  assert.equal(whats(events, 'cleanup').length, 1);
  assert.deepEqual(whats(events, 'granted'), []);
});

test('a lost token fails the test that used it', async (t) => {
  const around = surrounding(t);
  const { run } = await started(t, {
    'lost.spec.js': file(`describe('lost', () => {
      it('loses it', () => broker.release(\`wdio:\${process.env.WDIO_WORKER_ID}\`, 'accounts', { force: true }));
      it('is not reached', () => note('reached'));
    });`),
  });
  const { code, output, events } = await run({ around });
  assert.equal(code, 1);
  const text =
    'lease_lost: The token "admin" was taken from this worker during "loses it": it stood still ' +
    'for longer than 60000 ms, or somebody used --force. Another worker may have used it meanwhile.';
  assert.ok(output.includes(text), output);
  assert.deepEqual(whats(events, 'reached'), []);
});

test('a wrong configuration ends the run before its first worker', async (t) => {
  const { run } = await started(t, { 'a.spec.js': plain('a') });
  const tokens = { publisher: 'publisher-api-token' };
  const undefinedKey = await run({ env: { OPTIONS: JSON.stringify({ tokens }) } });
  assert.equal(undefinedKey.code, 1);
  assert.ok(
    undefinedKey.output.includes(
      'not_found: The token "publisher" names the key "publisher-api-token", and nothing has that ' +
        'name. Known: "accounts". Define it in pools or values, or say { key: \'publisher-api-token\', ' +
        'slot: true } for a number.',
    ),
    undefinedKey.output,
  );
  assert.deepEqual(undefinedKey.events, []);
  const option = await run({ env: { OPTIONS: '{"pool":{}}' } });
  assert.equal(option.code, 1);
  assert.match(option.output, /ensureRun\(\) has no option "pool"\. Did you mean pools\?/);
  assert.deepEqual(option.events, []);
});

test('services by name and by class, with multiremote', async (t) => {
  const { run } = await started(t, {
    'wdio.conf.js': `${HEAD}${BASE}
      const { EphemeralBrokerService } = adapter;
      const seedData = { cache: { course: 7 }, ephemeral: { token: 't' } };
      export const config = {
        ...base,
        capabilities: { first: { capabilities: ${CAPS} }, second: { capabilities: ${CAPS} } },
        services: process.env.NAMED
          ? [['@ephemeral-broker/wdio', options]]
          : [[EphemeralBrokerService, { ...options, debug: true, seedData }]],
        beforeSession: async () => note('before', await tokensReady()),
      };`,
    'a.spec.js': file(`describe('a', () => {
      it('has tokens in all browsers', async () => {
        for (const one of [browser, browser.getInstance('first'), browser.getInstance('second')])
          assert.equal(one.brokerTokens.admin, getToken('admin'));
        await use();
        note('seeded', { token: await broker.get('token', { default: null }), course: await broker.get('course', { default: null }) });
      });
    });`),
  });
  for (const env of [{ NAMED: '1' }, {}]) {
    const { code, output, events } = await run({ env });
    assert.equal(code, 0, output);
    assert.equal(whats(events, 'before').at(-1).admin !== undefined, true);
    const { token, course } = whats(events, 'seeded').at(-1);
    assert.deepEqual([token, course], env.NAMED ? [null, null] : ['t', 7]);
  }
});

test('below start, in shards', async (t) => {
  const { run } = await started(t, {
    'a.spec.js': plain('a'),
    'b.spec.js': plain('b'),
    'c.spec.js': plain('c'),
  });
  const env = { OPTIONS: '{"shard":true}' };
  const elements = async (words) => {
    const { code, output, events } = await run({ start: true, env }, words);
    assert.equal(code, 0, output);
    return new Set(whats(events, 'enter').map(({ element }) => element));
  };
  assert.deepEqual([...(await elements(['--shard=1/2']))], ['ann']);
  assert.deepEqual([...(await elements(['--shard=2/2']))].sort(), ['ann', 'bob']);
});

test('a broker that ends in mid-run fails holder and waiter', async (t) => {
  const around = surrounding(t);
  const holds = file(
    "describe('x', () => { it('holds', async () => { await use(3000); await use(0); }); });",
  );
  const { project, start } = await started(t, {
    'a.spec.js': holds,
    'b.spec.js': holds,
    'c.spec.js': holds,
  });
  const running = start({ around });
  await entered(project);
  await around.stop({ drainMs: 0 });
  const { code, output } = await project.end(running);
  assert.equal(code, 1, output);
  assert.match(output, /The lease was lost: the connection to its broker has ended/);
  assert.match(output, /3 failed, 3 total/);
});

test('a run that is ended by a signal leaves nothing', async (t) => {
  const holds = file("describe('x', () => { it('holds', () => use(1500)); });");
  const { project, start } = await started(t, { 'a.spec.js': holds });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL']) {
    const running = start();
    const seen = project.witness.events().length;
    await until(
      () =>
        project.witness
          .events()
          .slice(seen)
          .some(({ what }) => what === 'enter'),
      'a test runs',
    );
    process.kill(signal === 'SIGINT' ? -running.child.pid : running.child.pid, signal);
    const { output } = await project.end(running, { leavesSocket: signal === 'SIGKILL' });
    assert.ok(!/UnhandledPromise/.test(output), output);
  }
});

test('types', async (t) => (await wdio.project(t)).types('wdio'));

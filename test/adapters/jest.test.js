/** `@ephemeral-broker/jest` in the real Jest. */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { framework } = require('../helpers/framework.js');
const { until } = require('../helpers/cli.js');

const jest = framework('jest');
const TWO = "{ accounts: ['ann', 'bob'] }";

/**
 * @param {import('node:test').TestContext} t
 * @param {Record<string, string>} files
 */
const projectOf = (t, files) => jest.project(t, { files });

/** @param {{ what: string }[]} events */
const notes = (events, /** @type {RegExp} */ pattern) =>
  events.map(({ what }) => what).filter((what) => pattern.test(what));

/**
 * A configuration around `options`, and hooks of the user that report what they see.
 * @param {string} options
 * @param {string} [config]
 */
const configured = (options, config = '') => ({
  'jest.config.js': `
    const { withBroker } = require('@ephemeral-broker/jest');
    module.exports = withBroker({
      testMatch: ['**/tests/*.test.js'],
      transform: {},
      workerIdleMemoryLimit: '1GB',
      globalSetup: './setup.js',
      globalTeardown: '<rootDir>/teardown.js',
      ${config}
    }, ${options});
  `,
  'setup.js': `
    const { PipeClient } = require('ephemeral-pipe-broker');
    const { note } = require('./witness.cjs');
    module.exports = async () => {
      const client = new PipeClient();
      await client.pool('mine', ['m'], { ifAbsent: true });
      note('setup ' + Boolean((await client.describe('accounts').catch(() => null))));
      await client.close();
    };
  `,
  'teardown.js': `
    const { PipeClient } = require('ephemeral-pipe-broker');
    const { note } = require('./witness.cjs');
    module.exports = async () => {
      const client = new PipeClient();
      note('teardown ' + (await client.leases()).length);
      await client.close();
    };
  `,
});

const USES = `
  const { hold, note } = require('../witness.cjs');
  test('uses its account', async () => {
    await hold(brokerTokens.account, () => new Promise((resolve) => { setTimeout(resolve, 20); }));
  }, 60000);
`;

/** @param {number} count */
const usersOf = (count) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`tests/user${i}.test.js`, USES]));

const options = `{ pools: ${TWO}, tokens: { account: 'accounts' } }`;

test('three workers share two accounts: killed, failed, out of time, retried', async (t) => {
  const project = await projectOf(t, {
    ...configured(
      `{ pools: { ...${TWO}, extra: ['x'], busy: ['b'] }, values: { url: () => ({ a: [1] }) },
         tokens: { account: 'accounts', url: 'url', port: { key: 'ports', slot: true }, mine: 'url' },
         envVars: { account: 'ACCOUNT' } }`,
    ),
    ...usersOf(5),
    'tests/killed.test.js': `
      const { hold } = require('../witness.cjs');
      test('dies', async () => {
        await hold(brokerTokens.account, () => {
          process.kill(process.pid, 'SIGKILL');
          return new Promise(() => {});
        });
      });
    `,
    'tests/fails.test.js': "test('fails', () => expect(brokerTokens.account).toBe(0));",
    'tests/holds.test.js': `
      test('is out of time while it holds', async () => {
        await broker.acquire('extra');
        await new Promise(() => {});
      }, 200);
    `,
    'tests/waits.test.js': `
      test('is out of time while it waits', async () => {
        await broker.acquire('busy');
        await broker.acquire('busy');
      }, 200);
    `,
    'tests/retries.test.js': `
      jest.retryTimes(2);
      const seen = [];
      test('is retried', () => {
        seen.push(brokerTokens.account);
        expect(seen.length).toBe(3);
        expect(new Set(seen).size).toBe(1);
      });
    `,
    'tests/realm.test.js': `
      const { broker: imported, brokerTokens: tokens, getToken } = require('@ephemeral-broker/jest');
      const { BrokerError } = require('ephemeral-pipe-broker');
      test('everything is of the realm of the file', async () => {
        expect(brokerTokens).toBeInstanceOf(Object);
        expect(brokerTokens.url).toStrictEqual({ a: [1] });
        expect(brokerTokens.url.a).toBeInstanceOf(Array);
        expect(tokens).toBe(brokerTokens);
        expect(imported).toBe(broker);
        expect(getToken('port')).toBe(brokerTokens.port);
        expect(() => getToken('acount')).toThrow(
          'invalid_request: getToken("acount"): no such alias. There are: account, mine, port, url.');
        const error = await broker.get('none').catch((caught) => caught);
        expect(error).toBeInstanceOf(Error);
        expect(error).toBeInstanceOf(BrokerError);
        expect(process.env.ACCOUNT).toBe(brokerTokens.account);
        const print = "process.stdout.write(process.env.ACCOUNT)";
        const child = require('child_process').execFileSync(process.execPath, ['-e', print]);
        expect(String(child)).toBe(brokerTokens.account);
        expect((await broker.leases('accounts')).some(({ workerId }) => workerId ===
          'jest:' + process.env.JEST_WORKER_ID)).toBe(true);
      });
    `,
    'tests/lost.test.js': `
      test('loses its account', async () => {
        await broker.release('jest:' + process.env.JEST_WORKER_ID, 'accounts', { force: true });
        await new Promise((resolve) => { setTimeout(resolve, 300); });
      });
    `,
    'tests/dom.test.js': `
      /** @jest-environment @ephemeral-broker/jest/environment-jsdom */
      test('has tokens in jsdom', () => {
        expect(document.createElement('p')).toBeDefined();
        expect(brokerTokens.url).toBeInstanceOf(Object);
        expect(brokerTokens.account).toMatch(/ann|bob/);
      });
    `,
  });
  const { code, output, events } = await project.run(['jest', '-w', '3']);
  assert.equal(code, 1, output);
  const failed = [...output.matchAll(/^FAIL tests\/(\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(
    [...new Set(failed)].sort(),
    ['fails', 'holds', 'killed', 'lost', 'waits'],
    output,
  );
  assert.match(output, /^Test Suites: 5 failed, 8 passed, 13 total$/m);
  assert.match(
    output,
    /lease_lost: The token "account" was taken from this worker during lost\.test\.js: it stood still for longer than 60000 ms, or somebody used --force\./,
  );
  assert.doesNotMatch(output, /did not exit|failed to exit|open handle/);
  assert.deepEqual(notes(events, /^(setup|teardown)/), ['setup true', 'teardown 0']);
  assert.equal(notes(events, /^enter$/).length, 6);
});

test('in band, in threads, and below start', async (t) => {
  for (const [args, start] of [
    [['-i', '--detectOpenHandles'], false],
    [['-w', '3', '--workerThreads'], false],
    [['-w', '3'], true],
  ]) {
    const project = await projectOf(t, { ...configured(options), ...usersOf(4) });
    const { code, output, events } = await project.run(['jest', ...args], { start });
    assert.equal(code, 0, output);
    assert.match(output, /^Tests: +4 passed, 4 total$/m);
    assert.doesNotMatch(output, /did not exit|failed to exit|open handle|started a new one/);
    const users = events.filter(({ what }) => what === 'enter');
    assert.equal(new Set(users.map(({ pid }) => pid)).size > 1, start, output);
    assert.deepEqual(notes(events, /^teardown/), ['teardown 0']);
  }
});

test('shards have different accounts; the configuration is a function in an ES module', async (t) => {
  const project = await projectOf(t, { ...configured(options), ...usersOf(4) });
  fs.rmSync(path.join(project.folder, 'jest.config.js'));
  project.write({
    'jest.config.mjs': `
      import { withBroker } from '@ephemeral-broker/jest';
      export default withBroker(async () => ({ testMatch: ['**/tests/*.test.js'], transform: {} }), {
        pools: { accounts: async () => ['ann', 'bob'] }, shard: true, tokens: { account: 'accounts' },
      });
    `,
  });
  const shards = ['1/2', '2/2'].map((shard) => project.start(['jest', `--shard=${shard}`]));
  const runs = await Promise.all(shards.map((running) => project.end(running)));
  for (const { code, output } of runs) assert.equal(code, 0, output);
  const used = project.witness.events().filter(({ what }) => what === 'enter');
  assert.equal(used.length, 4);
  // Each shard has one of the two accounts, in all of its files.
  assert.deepEqual([...new Set(used.map(({ element }) => element))].sort(), ['ann', 'bob']);
});

test('projects', async (t) => {
  const named = (/** @type {string} */ name) => `
    require('@ephemeral-broker/jest').withBroker({
      displayName: '${name}', rootDir: __dirname, testMatch: ['**/tests/*.test.js'], transform: {},
    })`;
  const project = await projectOf(t, {
    'jest.config.js': `
      const { withBroker } = require('@ephemeral-broker/jest');
      module.exports = withBroker({
        projects: [
          { displayName: 'inline', testMatch: ['**/tests/user0.test.js'], transform: {} },
          '<rootDir>/other',
          {
            displayName: 'own', testMatch: ['**/tests/user1.test.js'], transform: {},
            testEnvironment: '<rootDir>/environment.js', setupFiles: ['<rootDir>/own.js'],
            globalSetup: '<rootDir>/own-setup.js',
          },
        ],
      }, ${options});
    `,
    'own.js': "globalThis.own = 'set up';",
    'own-setup.js': `
      module.exports = async (...configs) => {
        await require('@ephemeral-broker/jest/global-setup')(...configs);
        require('./witness.cjs').note('own ' + Boolean(process.env.EPHEMERAL_PIPE));
      };
    `,
    'environment.js': `
      const { TestEnvironment } = require('jest-environment-node');
      module.exports = class extends TestEnvironment {
        async setup() {
          await super.setup();
          const { options } = this;
          this.global.mine = true;
        }
      };
    `,
    'other/jest.config.js': `module.exports = ${named('other')};`,
    'other/tests/user.test.js': USES.replace('../witness', '../../witness'),
    ...usersOf(2),
    'tests/user1.test.js': `${USES} test('keeps its own', () => expect([own, mine]).toEqual(['set up', true]));`,
  });
  const all = await project.run(['jest', '-w', '2']);
  assert.equal(all.code, 0, all.output);
  assert.match(all.output, /^Tests: +4 passed, 4 total$/m);
  const one = await project.run(['jest', '--selectProjects', 'own']);
  assert.equal(one.code, 0, one.output);
  assert.match(one.output, /^Tests: +2 passed, 2 total$/m);
  assert.deepEqual(notes(one.events, /^own/), ['own true', 'own true']);
});

test('the exact errors of a wrong configuration', async (t) => {
  const typo = await projectOf(t, {
    ...configured(`{ pools: ${TWO}, limits: { two: 2 }, tokens: { account: 'acounts' } }`),
    ...usersOf(1),
  });
  const misspelt = await typo.run(['jest']);
  assert.equal(misspelt.code, 1);
  assert.ok(
    misspelt.output.includes(
      'not_found: The token "account" names the key "acounts", and nothing has that name. ' +
        'Known: "accounts", "two". Define it in pools or values, or say { key: \'acounts\', slot: true } ' +
        'for a number.',
    ),
    misspelt.output,
  );
  assert.deepEqual(notes(misspelt.events, /./), ['setup true'], 'no test has run');

  const preset = await projectOf(t, {
    'jest.config.js': `module.exports = {
      preset: '@ephemeral-broker/jest', globalSetup: './setup.js', transform: {},
    };`,
    'setup.js': 'module.exports = () => {};',
    ...usersOf(1),
  });
  const replaced = await preset.run(['jest']);
  assert.equal(replaced.code, 1);
  assert.ok(
    replaced.output.includes(
      'broker_gone: EPHEMERAL_PIPE is not set in this worker. Your jest.config has a globalSetup of its ' +
        "own, which replaces the preset's: export withBroker(config). Or run it below " +
        '`ephemeral-pipe-broker start --`.',
    ),
    replaced.output,
  );
  preset.write({
    'jest.config.js': "module.exports = { preset: '@ephemeral-broker/jest', transform: {} };",
    'tests/user0.test.js':
      "test('x', async () => expect(await broker.incr('n', 1, 1000)).toBe(1));",
  });
  const alone = await preset.run(['jest']);
  assert.equal(alone.code, 0, alone.output);
});

test('watch: each run has a fresh broker', async (t) => {
  const project = await projectOf(t, {
    ...configured(options),
    'tests/counts.test.js': `
      const { note } = require('../witness.cjs');
      test('counts', async () => note('count ' + (await broker.incr('n', 1, '1h')) + brokerTokens.account));
    `,
  });
  const running = project.start(['jest', '--watchAll', '-i'], { input: null });
  const runs = () => notes(project.witness.events(), /^teardown/).length;
  const output = () => running.stdout + running.stderr;
  await until(() => runs() === 1 && /Ran all test suites/.test(output()), 'the first run');
  fs.appendFileSync(path.join(project.folder, 'tests/counts.test.js'), '\n');
  await until(() => runs() === 2, 'the second run');
  running.child.kill('SIGTERM');
  const { events } = await project.end(running);
  const counted = ['count 1ann', 'teardown 0'];
  assert.deepEqual(notes(events, /^(count|teardown)/), [...counted, ...counted], output());
});

/** Jest's own timer of a test keeps a worker alive that has lost its main process. */
const STUCK = `
  const { note } = require('../witness.cjs');
  test('holds until the end', () => new Promise(() => note('holds')), 4000);
`;

test('the runner ends by INT, TERM and KILL, alone and below start', async (t) => {
  const files = { 'tests/a.test.js': STUCK, 'tests/b.test.js': STUCK };
  const one = "{ pools: { accounts: ['ann'] }, tokens: { account: 'accounts' } }";
  const cases = [
    { signal: 'SIGINT', start: false },
    { signal: 'SIGTERM', start: false },
    { signal: 'SIGKILL', start: false },
    { signal: 'SIGTERM', start: true },
  ];
  const end = async (/** @type {typeof cases[0]} */ { signal, start }) => {
    const project = await projectOf(t, { ...configured(one), ...files });
    const running = project.start(['jest', '-w', '2'], { start });
    const holds = () => notes(project.witness.events(), /^holds$/).length === 1;
    await until(holds, 'one file holds the account');
    running.child.kill(signal);
    const { code } = await project.end(running, { leavesSocket: signal === 'SIGKILL' });
    assert.notEqual(code, 0);
  };
  await Promise.all(cases.map(end));
});

/** The file that has the account kills the broker when the other one waits for it. */
const KILLS = `
  test('kills the broker', async () => {
    while ((await broker.leases('accounts')).length < 2);
    process.kill(Number(process.env.EPHEMERAL_BROKER_PID), 'SIGKILL');
    await expect(broker.get('x')).rejects.toThrow();
  }, 60000);
`;

test('the broker is killed in mid-run: the run ends and fails', async (t) => {
  const project = await projectOf(t, {
    ...configured("{ pools: { accounts: ['ann'] }, tokens: { account: 'accounts' } }"),
    'tests/a.test.js': KILLS,
    'tests/b.test.js': KILLS,
  });
  const killed = { start: true, leavesSocket: true, env: { CLIENT_TIMEOUT: '3s' } };
  const { output } = await project.run(['jest', '-w', '2'], killed);
  assert.match(output, /went away before it answered|connection to its broker has ended/);
  assert.match(output, /^Test Suites: 2 failed, 2 total$/m);
});

test('the example, and types', async (t) => {
  const project = await jest.project(t, { example: true });
  const { code, output } = await project.run(['jest']);
  assert.equal(code, 0, output);
  await project.types('jest');
});

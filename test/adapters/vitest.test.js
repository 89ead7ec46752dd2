/** `@ephemeral-broker/vitest` in the real Vitest. */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { framework } = require('../helpers/framework.js');
const { until } = require('../helpers/cli.js');

const vitest = framework('vitest', { node: 24 });
const TWO = "{ accounts: ['ann', 'bob'], boxes: ['x'] }";
const OPTIONS = `{ pools: ${TWO}, tokens: { account: 'accounts' } }`;

/** @param {{ what: string }[]} events */
const notes = (events, /** @type {RegExp} */ pattern) =>
  events.map(({ what }) => what).filter((what) => pattern.test(what));

/**
 * @param {import('node:test').TestContext} t
 * @param {Record<string, string>} files
 */
async function projectOf(t, files) {
  const project = await vitest.project(t, { files });
  const env = { NO_COLOR: '1' };
  const start = (/** @type {string[]} */ words, options = {}) =>
    project.start(words, { ...options, env: { ...env, ...options.env } });
  const run = (/** @type {string[]} */ words, options = {}) =>
    project.end(start(words, options), options);
  return {
    folder: project.folder,
    witness: project.witness,
    start,
    run,
    end: project.end.bind(project),
  };
}

/**
 * A configuration with `options`, and a global set-up of the user that reports what it sees.
 * @param {string} options
 * @param {string} [config] of `test`
 */
const configured = (options, config = '') => ({
  'vitest.config.mjs': `
    import { broker } from '@ephemeral-broker/vitest';
    import { defineConfig } from 'vitest/config';
    export default defineConfig({
      plugins: [broker(${options})],
      test: {
        include: ['tests/*.test.mjs'], maxWorkers: 3, globalSetup: './setup.mjs', setupFiles: './own.mjs',
        ${config}
      },
    });
  `,
  'own.mjs': "globalThis.own = 'set up';",
  'setup.mjs': `
    import { createRequire } from 'node:module';
    const require = createRequire(import.meta.url);
    const { PipeClient } = require('ephemeral-pipe-broker');
    const { note } = require('./witness.cjs');
    export default async () => {
      const client = new PipeClient();
      await client.pool('mine', ['m'], { ifAbsent: true });
      note('setup ' + Boolean(await client.describe('accounts')));
      return async () => {
        note('teardown ' + (await client.leases()).length);
        await client.close();
      };
    };
  `,
});

/** What test files begin with. */
const HEAD = `
  import { createRequire } from 'node:module';
  import { test as base, describe, expect, getToken, inject, leased } from '@ephemeral-broker/vitest/test';
  const { hold, note } = createRequire(import.meta.url)('../witness.cjs');
  const test = base.extend({ box: leased('boxes') });
  const soon = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
`;

const USES = `${HEAD}
  test('uses its account', async ({ tokens }) => {
    await hold(tokens.account, () => soon(20));
    expect(own).toBe('set up');
  }, 60000);
`;

/** A test that waits for its box in a hook without a limit, and holds it for most of its own limit. */
const BOXES = `${HEAD}
  test.beforeEach(({ box }) => {}, 0);
  test('uses a box', async ({ box }) => {
    await hold(box, () => soon(700));
  }, 1500);
`;

/** @param {number} count */
const usersOf = (count) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`tests/user${i}.test.mjs`, USES]));

test('three forks share two accounts: killed, failed, out of time, retried', async (t) => {
  const project = await projectOf(t, {
    ...configured(
      `{ pools: { ...${TWO}, extra: ['x'], busy: ['b'] }, values: { url: () => ({ a: [1] }) },
         tokens: { account: 'accounts', url: 'url', port: { key: 'ports', slot: true } },
         envVars: { account: 'ACCOUNT' } }`,
    ),
    ...usersOf(4),
    'tests/box1.test.mjs': BOXES,
    'tests/box2.test.mjs': BOXES,
    'tests/box3.test.mjs': BOXES,
    'tests/killed.test.mjs': `${HEAD}
      test('dies', async ({ tokens }) => {
        await hold(tokens.account, () => {
          process.kill(process.pid, 'SIGKILL');
          return new Promise(() => {});
        });
      });
    `,
    'tests/fails.test.mjs': `${HEAD} test('fails', ({ tokens }) => expect(tokens.account).toBe(0));`,
    'tests/holds.test.mjs': `${HEAD}
      test('is out of time while it holds', async ({ broker }) => {
        await broker.acquire('extra');
        await new Promise(() => {});
      }, 200);
    `,
    'tests/waits.test.mjs': `${HEAD}
      const late = base.extend({ busy: leased('busy') });
      late('is out of time while it waits', async ({ broker }) => {
        await broker.acquire('busy');
        await broker.acquire('busy');
      }, 200);
    `,
    'tests/retries.test.mjs': `${HEAD}
      const seen = [];
      test('is retried', { retry: 2 }, ({ tokens }) => {
        seen.push(tokens.account);
        expect(seen.length).toBe(3);
        expect(new Set(seen).size).toBe(1);
      });
    `,
    'tests/values.test.mjs': `${HEAD}
      const each = base.extend({ slow: leased('extra', { scope: 'file' }) });
      each.beforeAll(({ slow }) => {}, 0);
      each('has its tokens', async ({ broker, tokens, slow }) => {
        expect(tokens.url).toStrictEqual({ a: [1] });
        expect(getToken('port')).toBe(tokens.port);
        expect(() => getToken('acount')).toThrow(
          'invalid_request: getToken("acount"): no such alias. There are: account, port, url.');
        expect(process.env.ACCOUNT).toBe(tokens.account);
        expect(slow).toBe('x');
        expect(inject('ephemeralPipe')).toBe(process.env.EPHEMERAL_PIPE);
        expect(JSON.stringify(inject('ephemeralBroker'))).not.toContain(process.env.EPHEMERAL_SECRET);
        const worker = 'vitest:' + process.env.VITEST_POOL_ID;
        expect((await broker.leases('accounts')).some(({ workerId }) => workerId === worker)).toBe(true);
      }, 60000);
    `,
    'tests/lost.test.mjs': `${HEAD}
      test('loses its account', async ({ broker }) => {
        await broker.release('vitest:' + process.env.VITEST_POOL_ID, 'accounts', { force: true });
      });
    `,
  });
  const { code, output, events } = await project.run(['vitest', 'run']);
  assert.equal(code, 1, output);
  const failed = [...output.matchAll(/FAIL +tests\/(\w+)/g)].map(([, name]) => name);
  // A file whose worker has died is an error of the run.
  assert.deepEqual([...new Set(failed)].sort(), ['fails', 'holds', 'lost', 'waits'], output);
  assert.match(output, /Worker .*exited unexpectedly|Worker .*terminated|ERR_IPC|SIGKILL/i);
  assert.match(output, /lease_lost: The token "account" was taken from this worker during lost/);
  assert.deepEqual(notes(events, /^(setup|teardown)/), ['setup true', 'teardown 0']);
  assert.equal(notes(events, /^enter$/).length, 8);
});

test('threads, realms, no isolation, and below start', async (t) => {
  const project = await projectOf(t, {
    ...configured(OPTIONS),
    ...usersOf(3),
    'tests/realm.test.mjs': `${USES}
      test('its errors are of its realm', async ({ broker }) => {
        await expect(broker.get('none')).rejects.toThrow(Error);
        await broker.acquire('boxes', { ttl: 3600000 });
      });
    `,
  });
  for (const [words, start] of [
    [['--pool', 'threads'], false],
    [['--pool', 'vmThreads'], false],
    [['--no-isolate'], false],
    [['--pool', 'forks'], true],
  ]) {
    const { code, output } = await project.run(['vitest', 'run', ...words], { start });
    assert.equal(code, 0, output);
    assert.match(output, /Tests +5 passed \(5\)/);
    assert.doesNotMatch(output, /started a new one|hanging|close timed out/);
  }
  const { events } = await project.run(['vitest', 'run', '--maxWorkers', '1']);
  const five = Array.from({ length: 5 }, () => 'teardown 0');
  assert.deepEqual(notes(events, /^teardown/), five);
});

test('shards have different accounts; projects', async (t) => {
  const project = await projectOf(t, {
    ...configured(
      `{ pools: { accounts: async () => ['ann', 'bob'] }, shard: true, tokens: { account: 'accounts' } }`,
      `projects: [
        { extends: true, test: { name: 'one', exclude: ['tests/user[23].test.mjs'] } },
        { extends: true, test: { name: 'two', exclude: ['tests/user[01].test.mjs'] } },
      ],`,
    ),
    ...usersOf(4),
  });
  const shards = ['1/2', '2/2'].map((shard) => project.start(['vitest', 'run', '--shard', shard]));
  const runs = await Promise.all(shards.map((running) => project.end(running)));
  for (const { code, output } of runs) assert.equal(code, 0, output);
  const used = project.witness.events().filter(({ what }) => what === 'enter');
  assert.equal(used.length, 4);
  assert.deepEqual([...new Set(used.map(({ element }) => element))].sort(), ['ann', 'bob']);
});

test('the exact errors of a wrong configuration', async (t) => {
  const typo = await projectOf(t, {
    ...configured(`{ pools: ${TWO}, tokens: { account: 'acounts' } }`),
    ...usersOf(1),
  });
  const misspelt = await typo.run(['vitest', 'run']);
  assert.equal(misspelt.code, 1);
  const message =
    'not_found: The token "account" names the key "acounts", and nothing has that name. ' +
    'Known: "accounts", "boxes", "mine". Define it in pools or values, or say ' +
    "{ key: 'acounts', slot: true } for a number.";
  assert.ok(
    [message, message.replace(', "mine"', '')].some((text) => misspelt.output.includes(text)),
    misspelt.output,
  );
  assert.deepEqual(notes(misspelt.events, /^enter/), [], 'no test has run');

  const without = await projectOf(t, {
    'vitest.config.mjs': 'export default { test: { include: ["tests/*.mjs"] } };',
    'tests/x.mjs': `
      import { test } from '@ephemeral-broker/vitest/test';
      test('x', async ({ broker }) => { await broker.ping(); });
    `,
  });
  const noPlugin = await without.run(['vitest', 'run']);
  assert.equal(noPlugin.code, 1);
  assert.ok(
    noPlugin.output.includes(
      'broker_gone: EPHEMERAL_PIPE is not set in this worker. Add broker() of ' +
        '@ephemeral-broker/vitest to the plugins of the config. Or run it below ' +
        '`ephemeral-pipe-broker start --`.',
    ),
    noPlugin.output,
  );
});

test('watch: each rerun begins with a fresh broker', async (t) => {
  const project = await projectOf(t, {
    ...configured(OPTIONS),
    'tests/counts.test.mjs': `${HEAD}
      test('counts', async ({ broker, tokens }) => {
        note('count ' + (await broker.incr('n', 1, '1h')) + tokens.account);
      });
    `,
  });
  const running = project.start(['vitest', '--watch'], { input: null });
  const output = () => running.stdout + running.stderr;
  const waits = () => [...output().matchAll(/Waiting for file changes/g)].length;
  await until(() => waits() === 1, 'the first run');
  fs.appendFileSync(path.join(project.folder, 'tests/counts.test.mjs'), '\n');
  await until(() => waits() === 2, 'the second run');
  running.child.kill('SIGTERM');
  const { events } = await project.end(running);
  assert.deepEqual(notes(events, /^count/), ['count 1ann', 'count 1ann'], output());
});

const STUCK = `${HEAD}
  test('holds until the end', () => new Promise(() => note('holds')), 4000);
`;

test('the runner ends by INT, TERM and KILL, alone and below start', async (t) => {
  const files = { 'tests/a.test.mjs': STUCK, 'tests/b.test.mjs': STUCK };
  const one = "{ pools: { accounts: ['ann'] }, tokens: { account: 'accounts' } }";
  const cases = [
    { signal: 'SIGINT', start: false },
    { signal: 'SIGTERM', start: false },
    { signal: 'SIGKILL', start: false },
    { signal: 'SIGTERM', start: true },
  ];
  const end = async (/** @type {typeof cases[0]} */ { signal, start }) => {
    const project = await projectOf(t, { ...configured(one), ...files });
    const running = project.start(['vitest', 'run'], { start });
    const holds = () => notes(project.witness.events(), /^holds$/).length === 1;
    await until(holds, 'one file holds the account');
    running.child.kill(signal);
    const { code } = await project.end(running, { leavesSocket: signal === 'SIGKILL' });
    assert.notEqual(code, 0);
  };
  await Promise.all(cases.map(end));
});

/** The file that has the account kills the broker when the other one waits for it. */
const KILLS = `${HEAD}
  test('kills the broker', async ({ broker }) => {
    while ((await broker.leases('accounts')).length < 2);
    process.kill(Number(process.env.EPHEMERAL_BROKER_PID), 'SIGKILL');
    await expect(broker.get('x')).rejects.toThrow();
  }, 60000);
`;

test('the broker is killed in mid-run: the run ends and fails', async (t) => {
  const project = await projectOf(t, {
    ...configured("{ pools: { accounts: ['ann'] }, tokens: { account: 'accounts' } }"),
    'tests/a.test.mjs': KILLS,
    'tests/b.test.mjs': KILLS,
  });
  const killed = { start: true, leavesSocket: true, env: { CLIENT_TIMEOUT: '3s' } };
  const { output } = await project.run(['vitest', 'run'], killed);
  assert.match(output, /went away before it answered|connection to its broker has ended/);
  assert.match(output, /Test Files +2 failed \(2\)/);
});

test('the example, and types', async (t) => {
  const project = await vitest.project(t, { example: true });
  const { code, output } = await project.run(['vitest', 'run']);
  assert.equal(code, 0, output);
  await project.types('vitest');
});

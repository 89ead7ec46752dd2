/**
 * The stack of every error begins with the function that made the call, in tests that make a few
 * calls and in busy loops; runners show the line.
 */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { execFile } = require('node:child_process');
const { test } = require('node:test');
const {
  ROOT,
  SECRET,
  PipeClient,
  startBroker,
  startPair,
  temporaryDirectory,
} = require('../helpers/broker.js');

/** The first frame of an error's stack. */
const top = (error) => /^\s+at (.*)$/m.exec(error.stack)?.[1] ?? error.stack;

/** Functions that fail by their own names. `taken` is a semaphore of one permit, which is held. */
function failing(client, lease) {
  const names = client.namespace('n');
  return {
    get: async () => await client.get('none'),
    set: async () => await client.set('k', 'x'.repeat(300_000), 1000),
    inNamespace: async () => await names.get('none'),
    acquire: async () => await client.acquire('taken', { waitMs: 0 }),
    acquireInTime: async () => await client.acquire('taken', { waitMs: 10 }),
    acquireAll: async () => await client.acquireAll(['taken'], { waitMs: 10 }),
    withLease: async () => await client.withLease('taken', { waitMs: 0 }, () => {}),
    lock: async () => await client.lock('held', { waitMs: 0 }, () => {}),
    getOrSet: async () => await client.getOrSet('taken', 1000, () => 1),
    waitFor: async () => await client.waitFor('none', { timeoutMs: 5 }),
    renew: async () => await lease.renew(),
    argument: async () => await client.set('k', undefined, 1000),
    option: async () => await client.get('k', { nope: 1 }),
    getSync: async () => client.getSync('none'),
    leaseSync: async () => client.leaseSync('taken', 'another'),
    construct: async () => new PipeClient('/tmp/x', { nope: 1 }),
    unreachable: async () => await new PipeClient('/tmp/none.sock', { timeout: 30 }).get('k'),
  };
}

async function prepared(t) {
  const { client } = startPair(t, { secret: SECRET });
  await client.limit('taken', 1);
  await client.acquire('taken');
  await client.acquireLock('held');
  await client.limit('released', 1);
  const lease = await client.acquire('released');
  await lease.release();
  return { client, calls: failing(client, lease) };
}

async function assertNamed(calls) {
  for (const [name, call] of Object.entries(calls)) {
    const error = await call().then(
      () => assert.fail(`${name} did not fail`),
      (caught) => caught,
    );
    assert.match(top(error), new RegExp(`${name} \\(${__filename}`), error.stack);
    assert.doesNotMatch(error.stack, new RegExp(`${path.join(ROOT, 'lib')}${path.sep}`));
  }
}

test('the caller is named', async (t) => {
  const { calls } = await prepared(t);
  await assertNamed(calls);
});

test('and in a busy loop, of those who await', async (t) => {
  const { client, calls } = await prepared(t);
  await client.set('k', 1, 60_000);
  await Promise.all(Array.from({ length: 2000 }, () => client.get('k')));
  await assertNamed(calls);
});

test('a caller need not await', async (t) => {
  const { client } = await prepared(t);
  function directly() {
    return client.get('none');
  }
  function andThen() {
    return client.get('none').then(() => {});
  }
  async function ofMany() {
    await Promise.all([client.ping(), client.get('none')]);
  }
  for (const call of [directly, andThen, ofMany]) {
    const error = await call().then(assert.fail, (caught) => caught);
    assert.match(top(error), new RegExp(`${call.name} `));
  }
});

test('a program that wants no stacks has none, and one that can not be changed stays', async (t) => {
  const { client } = await prepared(t);
  const before = Error.stackTraceLimit;
  t.after(() => (Error.stackTraceLimit = before));
  Error.stackTraceLimit = 0;
  const bare = await client.get('none').catch((caught) => caught);
  assert.doesNotMatch(bare.stack, /^\s+at /m);
  Error.stackTraceLimit = 1;
  const short = await client.get('none').catch((caught) => caught);
  assert.equal(short.stack.match(/^\s+at /gm).length, 1);
  assert.equal(Error.stackTraceLimit, 1);
});

const SUITE = `
  const { PipeClient } = require(${JSON.stringify(ROOT)});
  const client = new PipeClient();
  test('awaited', async () => {
    await client.get('awaited');
  });
  test('returned', () => client.get('returned'));
  test('within', async () => {
    await client.withLease('nothing of this name', async () => {});
  });
`;

/** The lines of SUITE that the runner marks in the code that it shows. */
const MARKED = [
  /> +\d+ \|.*await client\.get\('awaited'\)/,
  /> +\d+ \|.*client\.get\('returned'\)/,
  /> +\d+ \|.*client\.withLease\('nothing/,
];

// test/adapters/playwright.test.js has the same for Playwright.
test('Jest shows the line', async (t) => {
  const broker = startBroker(t, { secret: SECRET });
  const project = temporaryDirectory(t);
  fs.writeFileSync(path.join(project, 'package.json'), '{}');
  fs.writeFileSync(path.join(project, 'a.test.js'), SUITE);
  const args = [require.resolve('jest/bin/jest'), '--ci', '--colors=false', '--testTimeout=120000'];
  const env = { ...process.env, ...broker.env(), FORCE_COLOR: '0' };
  const shown = await new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: project, env }, (_error, stdout, stderr) =>
      resolve(stdout + stderr),
    );
  });
  for (const line of MARKED) assert.match(shown, line);
});

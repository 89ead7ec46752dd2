/**
 * The client inside Jest, which loads it anew in a context of its own for each test file, and may put
 * fakes in the place of timers.
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
  startBroker,
  startClient,
  temporaryDirectory,
} = require('../helpers/broker.js');
const { stretched } = require('../helpers/time_limits.js');

const JEST = require.resolve('jest/bin/jest');
/** Jest's default, instead of no transform at all. */
const WITH_BABEL = { transform: undefined };

const SUITE = `
  const { PipeClient, BrokerError } = require(${JSON.stringify(ROOT)});
  const client = new PipeClient();
  beforeEach(() => jest.useFakeTimers());
  test('values are of this context', async () => {
    await client.set('k', { a: [1, { b: 2 }] }, 60000);
    expect(await client.get('k')).toStrictEqual({ a: [1, { b: 2 }] });
    expect(client.getSync('k')).toStrictEqual({ a: [1, { b: 2 }] });
    await client.set('bytes', new Uint8Array([1, 2]), 60000);
    expect(await client.get('bytes')).toStrictEqual(Buffer.from([1, 2]));
  });
  test('and so are errors', async () => {
    const error = await client.get('no').catch((caught) => caught);
    expect(error).toBeInstanceOf(BrokerError);
    expect(error).toBeInstanceOf(Error);
    await expect(client.set('k', undefined, 1000)).rejects.toMatchObject({ code: 'invalid_value' });
  });
  test('leases, and what is computed once', async () => {
    await client.limit('one', 1);
    await client.withLease('one', { ttl: ${stretched(300)} }, async (permit, lease) => {
      expect(permit).toBe(0);
      await client.incr('holders', 1, 60000);
      await lease.renew();
      expect(await client.incr('holders', -1)).toBe(0);
      expect(lease.signal.aborted).toBe(false);
    });
    await expect(client.acquire('one', { signal: AbortSignal.abort() })).rejects.toBeDefined();
    expect(await client.getOrSet('login', 60000, async () => ({ token: 5 }))).toStrictEqual({ token: 5 });
  });
  test('many calls', async () => {
    for (let i = 0; i < 500; i++) await client.incr('n', 1, 60000);
    await Promise.all(Array.from({ length: 500 }, () => client.incr('n', 1, 60000)));
  });
`;

/**
 * Runs Jest over files in a directory of their own, below a broker.
 * @param {import('node:test').TestContext} t
 * @param {Record<string, string>} files
 */
async function runJest(t, files, { args = [], nodeArgs = [], config = {} } = {}) {
  const broker = startBroker(t, { secret: SECRET });
  const project = temporaryDirectory(t);
  // Babel takes most of the time, and the files need none.
  const jest = { transform: {}, ...config };
  fs.writeFileSync(path.join(project, 'package.json'), JSON.stringify({ jest }));
  for (const [name, text] of Object.entries(files))
    fs.writeFileSync(path.join(project, name), text);
  const all = [...nodeArgs, JEST, '--rootDir', project, '--ci', '--colors=false'];
  all.push('--testTimeout=120000', ...args);
  const env = { ...process.env, ...broker.env() };
  const { error, stderr } = await new Promise((resolve) => {
    execFile(process.execPath, all, { cwd: project, env }, (failure, _stdout, text) =>
      resolve({ error: failure, stderr: text }),
    );
  });
  return { broker, project, error, stderr };
}

test('in two workers, with fake timers', async (t) => {
  const files = { 'a.test.js': SUITE, 'b.test.js': SUITE, 'c.test.js': SUITE };
  const { broker, error, stderr } = await runJest(t, files, {
    args: ['--maxWorkers=2'],
    config: WITH_BABEL,
  });
  assert.equal(error, null, stderr);
  assert.match(stderr, /^Tests: +12 passed, 12 total$/m);
  assert.doesNotMatch(stderr, /did not exit|open handle/);
  assert.equal(await startClient(t, broker).get('n'), 3000);
});

for (const legacyFakeTimers of [false, true]) {
  test(`fake timers everywhere, legacy: ${legacyFakeTimers}`, async (t) => {
    const suite = `
      const { PipeClient } = require(${JSON.stringify(ROOT)});
      const client = new PipeClient();
      test('calls answer, and time out', async () => {
        await client.set('k', 1, 60000);
        for (let i = 0; i < 300; i++) await client.get('k');
        const code = (error) => error.code;
        expect(await client.waitFor('none', { timeoutMs: 20 }).catch(code)).toBe('wait_timeout');
        await client.withLease('k', async (value) => expect(value).toBe(1));
      });
    `;
    const config = { fakeTimers: { enableGlobally: true, legacyFakeTimers } };
    const { error, stderr } = await runJest(t, { 'a.test.js': suite }, { config });
    assert.equal(error, null, stderr);
  });
}

/** With the calls that wait, and a listener: what could keep the context of a test. */
const ONE_OF_MANY = `
  const { AsyncLocalStorage } = require('node:async_hooks');
  const { PipeClient } = require(${JSON.stringify(ROOT)});
  const client = new PipeClient();
  const context = new AsyncLocalStorage();
  test('x', () => context.run({ ballast: new Array(200000).fill(0) }, async () => {
    await client.set('k', 1, 60000);
    await client.waitFor('none', { timeoutMs: 20 }).catch(() => {});
    const { connections } = await client.stats();
    require('fs').appendFileSync('log', connections + ' ' + process.memoryUsage().heapUsed + '\\n');
  }));
`;

test('connections and memory do not grow with the files', async (t) => {
  const names = Array.from({ length: 30 }, (_, i) => `t${i}.test.js`);
  const files = Object.fromEntries(names.map((name) => [name, ONE_OF_MANY]));
  const { project, error, stderr } = await runJest(t, files, {
    args: ['-i', '--logHeapUsage'],
    nodeArgs: ['--expose-gc'],
  });
  assert.equal(error, null, stderr);
  const lines = fs.readFileSync(path.join(project, 'log'), 'utf8').trim().split('\n');
  const [connections, heap] = [0, 1].map((at) => lines.map((line) => Number(line.split(' ')[at])));
  assert.equal(lines.length, names.length);
  assert.ok(Math.max(...connections) <= 12, `connections: ${connections}`);
  // A file that is kept has the ballast above, 1.6 MB, and its modules.
  const grown = (heap[29] - heap[9]) / 1e6;
  assert.ok(grown < 20, `the heap grew by ${grown} MB in 20 files`);
});

test('a worker gets the same in each file', async (t) => {
  const suite = `
    const { PipeClient } = require(${JSON.stringify(ROOT)});
    const client = new PipeClient();
    test('x', async () => {
      await client.pool('accounts', ['ann']);
      expect(await client.lease('accounts')).toBe('ann');
      expect(await client.lease('port')).toBe(0);
    });
  `;
  const files = { 'a.test.js': suite, 'b.test.js': suite, 'c.test.js': suite };
  const { error, stderr } = await runJest(t, files, { args: ['-i'] });
  assert.equal(error, null, stderr);
});

/** A module of tests that notes what its worker has, and leaves something else behind. */
const suiteOfWorker = (/** @type {number} */ number) => `
  const { threadId } = require('node:worker_threads');
  const { PipeClient } = require(${JSON.stringify(ROOT)});
  const client = new PipeClient();
  test('x', async () => {
    await client.pool('accounts', ['ann', 'bob', 'eve'], { ifAbsent: true });
    await client.pool('rooms', [1, 2, 3], { ifAbsent: true });
    const has = [await client.lease('port'), await client.lease('accounts')];
    has.push(client.leaseSync('shard'), await client.lease('timed', { ttl: 600000 }));
    await client.acquire('rooms', { ttl: 3600000, waitMs: 60000 });
    const worker = [process.env.JEST_WORKER_ID, process.pid, threadId].join(' ');
    require('fs').appendFileSync('log', JSON.stringify([worker, ...has]) + '\\n');
    // Files of all lengths, so that workers change places.
    await client.waitFor('none', { timeoutMs: ${10 + 60 * (number % 4)} }).catch(() => {});
    if (${number} % 3 === 0) throw new Error('with what it holds');
  }, 60000);
`;

/** What the workers of a run had: one thing of each, the same in all files, and each its own. */
function checkWorkers(/** @type {string} */ log, /** @type {number} */ count) {
  const lines = log.trim().split('\n');
  assert.equal(lines.length, count, log);
  const workers = new Map(lines.map((line) => [JSON.parse(line)[0], line]));
  assert.equal(new Set(lines).size, workers.size, `a worker had several:\n${log}`);
  for (const at of [1, 2, 3, 4]) {
    const had = [...workers.values()].map((line) => JSON.parse(line)[at]);
    assert.equal(new Set(had).size, workers.size, `two workers had the same:\n${log}`);
  }
}

for (const [name, args, nodeArgs] of /** @type {[string, string[], string[]][]} */ ([
  ['processes', [], []],
  ['threads', ['--workerThreads'], []],
  ['processes, ESM', [], ['--experimental-vm-modules']],
])) {
  test(`each of three ${name} has its own in all of its files`, async (t) => {
    const names = Array.from(
      { length: 12 },
      (_, i) => `t${i}.test.${nodeArgs.length ? 'm' : ''}js`,
    );
    const esm = (/** @type {string} */ text) =>
      text.replace(/const (\{[^}]+\}) = require\(([^)]+)\);/g, 'import $1 from $2;');
    const suite = (/** @type {number} */ i) =>
      nodeArgs.length
        ? `import fs from 'fs';${esm(suiteOfWorker(i)).replace("require('fs')", 'fs')}`
        : suiteOfWorker(i);
    const files = Object.fromEntries(names.map((file, i) => [file, suite(i)]));
    const { broker, project, stderr } = await runJest(t, files, {
      args: ['-w', '3', ...args],
      nodeArgs,
      config: nodeArgs.length ? { testMatch: ['**/*.test.mjs'] } : {},
    });
    assert.match(stderr, /^Tests: +4 failed, 8 passed, 12 total$/m, stderr);
    checkWorkers(fs.readFileSync(path.join(project, 'log'), 'utf8'), names.length);
    assert.deepEqual(await startClient(t, broker).leases(), [], 'all went with the workers');
  });
}

test('what a failed file held is free for the next', async (t) => {
  const suite = `
    const { PipeClient } = require(${JSON.stringify(ROOT)});
    const client = new PipeClient();
    test('x', async () => {
      await client.pool('accounts', ['ann']);
      const lease = await client.acquire('accounts', { ttl: 3600000 });
      await client.incr('files', 1, 60000);
      throw new Error('before it is released');
    }, 60000);
  `;
  const files = { 'a.test.js': suite, 'b.test.js': suite, 'c.test.js': suite };
  const { broker, stderr } = await runJest(t, files, { args: ['-i'] });
  assert.match(stderr, /^Tests: +3 failed, 3 total$/m);
  const client = startClient(t, broker);
  assert.equal(await client.get('files'), 3, stderr);
  assert.deepEqual(await client.leases(), []);
});

test('--detectOpenHandles finds nothing', async (t) => {
  const suite = `
    const { PipeClient, Broker } = require(${JSON.stringify(ROOT)});
    const client = new PipeClient();
    test('x', async () => {
      await client.waitFor('none', { timeoutMs: 20 }).catch(() => {});
      await client.limit('one', 1);
      const lease = await client.acquire('one');
      lease.signal.addEventListener('abort', () => {});
      const broker = new Broker();
      broker.startSync();
      await broker.client().ping();
      await broker.stop();
    });
  `;
  const { error, stderr } = await runJest(
    t,
    { 'a.test.js': suite },
    { args: ['--detectOpenHandles'] },
  );
  assert.equal(error, null, stderr);
  assert.doesNotMatch(stderr, /open handle/);
});

test('a wait that a test gave up lets the process end', async (t) => {
  const suite = `
    const { PipeClient } = require(${JSON.stringify(ROOT)});
    const client = new PipeClient();
    test('x', async () => {
      await client.limit('db', 1);
      await client.acquire('db');
      await client.acquire('db');
    }, 300);
  `;
  // It ends, or this test is out of time.
  const { error, stderr } = await runJest(t, { 'a.test.js': suite }, { args: ['-i'] });
  assert.equal(error.code, 1, stderr);
  assert.equal(error.signal, null);
  assert.match(stderr, /^Tests: +1 failed, 1 total$/m);
});

test('the package is mocked, and spied on', async (t) => {
  const mocked = `
    jest.mock(${JSON.stringify(ROOT)});
    const { PipeClient, Broker, BrokerError } = require(${JSON.stringify(ROOT)});
    test('automatically', () => {
      expect(new PipeClient().get('k')).toBeUndefined();
      expect(PipeClient.prototype.get).toHaveBeenCalledWith('k');
      expect(new Broker().startSync()).toBeUndefined();
      expect(jest.isMockFunction(BrokerError)).toBe(true);
    });
  `;
  const spied = `
    const epb = require(${JSON.stringify(ROOT)});
    test('with a spy', async () => {
      for (const name of ['Broker', 'PipeClient', 'BrokerError']) {
        const spy = jest.spyOn(epb, name);
        expect(jest.isMockFunction(epb[name])).toBe(true);
        spy.mockRestore();
      }
      const get = jest.spyOn(epb.PipeClient.prototype, 'get').mockResolvedValue('spied');
      expect(await new epb.PipeClient().get('k')).toBe('spied');
      get.mockRestore();
    });
  `;
  const { error, stderr } = await runJest(
    t,
    { 'a.test.js': mocked, 'b.test.js': spied },
    { config: WITH_BABEL },
  );
  assert.equal(error, null, stderr);
});

test('an environment ends the clients of its file', async (t) => {
  const environment = `
    const { TestEnvironment } = require(${JSON.stringify(require.resolve('jest-environment-node'))});
    module.exports = class extends TestEnvironment {
      async setup() {
        await super.setup();
        this.scope = this.global[Symbol.for('ephemeral-pipe-broker.scope')] = new this.global.Set();
      }
      async handleTestEvent(event) {
        if (event.name !== 'run_finish') return;
        for (const connection of [...this.scope]) connection.end();
      }
    };
  `;
  const suite = `
    const { PipeClient } = require(${JSON.stringify(ROOT)});
    const client = new PipeClient();
    test('has what the file before had', async () => {
      const before = (await client.incr('files', 1, '1h')) - 1;
      await client.limit('one', 1);
      // What has a handle ended with the file before; what its worker leased is its worker's.
      expect((await client.leases('one')).length).toBe(0);
      expect((await client.leases('number-')).length).toBe(before);
      await client.acquire('one', { waitMs: 0 });
      await client.lease('number-' + before);
    });
  `;
  // Jest chooses the order of the files.
  const files = { 'environment.js': environment, 'a.test.js': suite, 'b.test.js': suite };
  const config = { testEnvironment: './environment.js' };
  const { error, stderr } = await runJest(t, files, { args: ['-i'], config });
  assert.equal(error, null, stderr);
});

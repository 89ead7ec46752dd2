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
const { ROOT, SECRET, startBroker, startClient, temporaryDirectory } = require('../helpers/broker');

const JEST = require.resolve('jest/bin/jest');

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
    await client.withLease('one', { ttl: 300 }, async (permit, lease) => {
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

test('in two workers, with fake timers', { timeout: 120_000 }, async (t) => {
  const broker = startBroker(t, { secret: SECRET });
  const project = temporaryDirectory(t);
  fs.writeFileSync(path.join(project, 'package.json'), '{}');
  for (const name of ['a', 'b', 'c'])
    fs.writeFileSync(path.join(project, `${name}.test.js`), SUITE);
  const args = [JEST, '--rootDir', project, '--maxWorkers=2', '--ci', '--colors=false'];
  const env = { ...process.env, ...broker.env() };
  const { error, stderr } = await new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: project, env }, (failure, _stdout, text) =>
      resolve({ error: failure, stderr: text }),
    );
  });
  assert.equal(error, null, stderr);
  assert.match(stderr, /^Tests: +12 passed, 12 total$/m);
  assert.doesNotMatch(stderr, /did not exit|open handle/);
  assert.equal(await startClient(t, broker).get('n'), 3000);
});

'use strict';

/* A fake test runner with its workers: processes that are killed leave nothing behind. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { fork, spawnSync } = require('node:child_process');
const { once } = require('node:events');
const { test } = require('node:test');
const { ROOT, temporaryDirectory, until } = require('../helpers/broker.js');

const MAIN = path.join(__dirname, '../helpers/runner_main.js');
const isWindows = process.platform === 'win32';

/** @param {number} pid */
function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Messages of a runner, by type. */
class Runner {
  #kept = [];
  #waiting = [];

  constructor(t, options, env) {
    const settings = JSON.stringify({ options, who: { adapter: 'fake' } });
    this.child = fork(MAIN, [settings], { env: { ...process.env, ...env } });
    t.after(() => this.child.kill('SIGKILL'));
    this.ended = once(this.child, 'exit').then(([code, signal]) => ({ code, signal }));
    this.child.on('message', (message) => {
      const at = this.#waiting.findIndex(({ type }) => type === message.type);
      if (at < 0) this.#kept.push(message);
      else this.#waiting.splice(at, 1)[0].resolve(message);
    });
  }

  next(type) {
    const at = this.#kept.findIndex((message) => message.type === type);
    if (at >= 0) return Promise.resolve(this.#kept.splice(at, 1)[0]);
    return new Promise((resolve) => {
      this.#waiting.push({ type, resolve });
    });
  }

  send(message) {
    this.child.send(message);
  }
}

test('a worker that is killed frees its token for the next', async (t) => {
  const options = { pools: { accounts: ['a'] }, tokens: { admin: 'accounts' } };
  const runner = new Runner(t, options);
  await runner.next('ready');
  runner.send({ type: 'fork', workerId: 'fake:1' });
  const first = await runner.next('taken');
  assert.deepEqual(first.values, { admin: 'a' });
  runner.send({ type: 'fork', workerId: 'fake:2' });
  process.kill(first.worker, 'SIGKILL');
  const second = await runner.next('taken');
  assert.equal(second.workerId, 'fake:2');
  process.kill(second.worker, 'SIGKILL');
  await runner.next('exit');
  await runner.next('exit');
  runner.send({ type: 'stop' });
  assert.equal((await runner.next('stop done')).env, null);
  assert.deepEqual(await runner.ended, { code: 0, signal: null });
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL']) {
  test(`${signal} of the main process leaves no broker and no worker that hangs`, async (t) => {
    const folder = temporaryDirectory(t);
    const options = { pools: { accounts: ['a'] }, tokens: { admin: 'accounts' } };
    const runner = new Runner(t, options, { TMPDIR: folder });
    const { pipe } = await runner.next('ready');
    runner.send({ type: 'fork', workerId: 'fake:1' });
    const { worker } = await runner.next('taken');
    process.kill(runner.child.pid, signal);
    await runner.ended;
    await until(() => !isAlive(worker), 'the worker has ended');
    if (isWindows) return;
    if (signal === 'SIGKILL') {
      // Only the next broker can remove the name.
      const script = `const { ensureRun } = require('${ROOT}/lib/adapter/adapter.js');
        ensureRun({}, { adapter: 'fake' }).stop();`;
      const env = { ...process.env, TMPDIR: folder };
      const { status, stderr } = spawnSync(process.execPath, ['-e', script], { env });
      assert.equal(status, 0, String(stderr));
    }
    assert.equal(fs.existsSync(pipe), false);
  });
}

/**
 * The addon without memory: each allocation of its own that a call makes fails in turn. The call
 * throws or rejects, the process lives, and the next call works.
 */
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { SECRET } = require('../helpers/broker.js');
const { available, runAmongFaults } = require('../helpers/fault.js');

const only = { skip: !available && 'Linux with a C compiler only' };

/** Runs `operation` with its first allocation failing, then its second, and so on to the last. */
const SWEEP = `
  const SECRET = ${JSON.stringify(SECRET)};
  async function sweep(operation, check, least) {
    let failures = 0;
    for (let n = 1; ; n++) {
      assert.ok(n < 2000, 'it never ends');
      fault('memory/' + n);
      let error = null;
      try {
        await operation(n);
      } catch (caught) {
        error = caught;
      }
      const reached = fired();
      fault('memory/0');
      if (error !== null) {
        failures++;
        assert.ok(reached, error);
        // Not that an answer was wrong.
        assert.match(String(error.code), /^(internal|ENOMEM|broker_gone|ECONNRESET)$/, error);
      }
      await check(n);
      if (!reached) break;
    }
    assert.ok(failures >= least, failures + ' failures');
  }
`;

async function runSweep(script) {
  const ended = await runAmongFaults(SWEEP + script);
  assert.deepEqual(ended, { status: 0, signal: null, stdout: 'done\n', stderr: '' });
}

test('a broker is started, or says that it can not be', only, () =>
  runSweep(`
    await sweep(async () => {
      const broker = new Broker({ exportEnv: false, secret: SECRET, debug: true, log() {}, pipeId: 'memory-' + process.pid });
      await broker.start();
      await broker.stop();
    }, async () => {
      // Its name is free again, whatever became of it.
      const broker = new Broker({ exportEnv: false, secret: SECRET, pipeId: 'memory-' + process.pid });
      await broker.start();
      await broker.stop();
    }, 5);
  `),
);

test('a client calls and holds, or says that it can not', only, () =>
  runSweep(`
    const broker = new Broker({ exportEnv: false, secret: SECRET, debug: true, log() {} });
    await broker.start();
    const kept = broker.client();
    await kept.set('k', 'v', 600000);
    await sweep(async (n) => {
      const client = new PipeClient(broker.pipe.replace('/broker-', '/'.repeat(2 + n) + 'broker-'),
        { secret: SECRET });
      try {
        assert.equal(await client.get('k'), 'v');
        const lock = await client.acquireLock('l', { workerId: 'w', waitMs: 60000, ttl: 60000 });
        await lock.release();
        assert.equal(client.getSync('k'), 'v');
      } finally {
        client.close();
      }
    }, async () => {
      assert.equal(await kept.get('k'), 'v');
    }, 5);
    kept.close();
    await broker.stop();
  `),
);

test('a client watches and waits, or says that it can not; nothing is missed', only, () =>
  runSweep(`
    const broker = new Broker({ exportEnv: false, secret: SECRET, debug: true, log() {} });
    await broker.start();
    const kept = broker.client();
    const keys = Array.from({ length: 50 }, (_, i) => 'seen:' + 'k'.repeat(200) + i);
    await sweep(async (n) => {
      const client = new PipeClient(broker.pipe.replace('/broker-', '/'.repeat(2 + n % 16) + 'broker-'),
        { secret: SECRET });
      try {
        const watch = client.watch('seen:');
        await watch.ready;
        const waiting = client.waitFor('awaited', { timeout: 600000 });
        waiting.catch(() => {});
        await client.ping();
        await kept.set('awaited', n, 600000);
        await Promise.all(keys.map((key) => kept.set(key, n, 600000)));
        assert.equal(await waiting, n);
        // What had been sent before has come before.
        await client.ping();
        for (const key of keys) {
          const none = new Promise((resolve) => setImmediate(resolve, { value: 'no event' }));
          const { value: event } = await Promise.race([watch.next(), none]);
          if (event.type === 'overflow') break;
          assert.deepEqual([event.type, event.key], ['set', key]);
        }
        await watch.close();
      } finally {
        await client.close();
      }
    }, async () => {
      for (const key of ['awaited', ...keys]) await kept.del(key);
      const { watchers, waiting } = await kept.stats();
      assert.deepEqual({ watchers, waiting }, { watchers: 0, waiting: 0 });
    }, 5);
    kept.close();
    await broker.stop();
  `),
);

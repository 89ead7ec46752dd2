/**
 * Clocks that jump: the wall clock a day either way, and the clock that goes on while the machine is
 * suspended. Values are kept by the latter, leases by the one that stands still then, and nothing by the
 * wall clock.
 */
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { SECRET } = require('../helpers/broker.js');
const { available, runAmongFaults } = require('../helpers/fault.js');

const only = { skip: !available && 'Linux with a C compiler only' };

const PAIR = `
  const broker = new Broker({ exportEnv: false, secret: ${JSON.stringify(SECRET)} });
  await broker.start();
  const client = broker.client({ workerId: 'one' });
  const other = new PipeClient(broker.pipe.replace('/broker-', '//broker-'),
    { secret: broker.secret, workerId: 'two' });
  const lost = [];
  async function hold(name) {
    const lock = await client.acquireLock(name, { ttl: 600000 });
    lock.signal.addEventListener('abort', () => lost.push(name));
    return lock;
  }
`;
const END = `
  assert.deepEqual(lost, []);
  client.close();
  other.close();
  await broker.stop();
`;

async function expectDone(script) {
  const ended = await runAmongFaults(PAIR + script + END);
  assert.deepEqual(ended, { status: 0, signal: null, stdout: 'done\n', stderr: '' });
}

test('the wall clock may jump a day either way', only, () =>
  expectDone(`
    const DAY = 86400000;
    let last = 0;
    let ttl = 600000;
    await client.set('value', 'v', ttl);
    const first = await hold('held');
    for (const ahead of [DAY, -DAY, 0, 10 * DAY, -10 * DAY]) {
      fault('wall/' + ahead);
      assert.equal(await client.get('value'), 'v');
      const left = await client.ttl('value');
      assert.ok(left <= ttl && left > 500000, left + ' ms are left');
      ttl = left;
      await assert.rejects(other.acquireLock('held', { waitMs: 0 }), { code: 'lease_held' });
      // Tokens only grow, and those that were given out stay good.
      const lease = await other.acquireLock('other', { ttl: 600000 });
      assert.ok(lease.token > last && lease.token > first.token);
      last = lease.token;
      await client.set('fenced', ahead, 600000, { fence: first.token });
      await lease.release();
      // What is due is due.
      await client.set('brief', 1, '1ms');
      while (await client.has('brief'));
      await assert.rejects(other.acquireLock('held', { waitMs: 1 }), { code: 'wait_timeout' });
    }
    await first.release();
  `),
);

test('while the machine is suspended values grow old, leases do not', only, () =>
  expectDone(`
    await client.set('short', 'v', 600000);
    await client.set('long', 'v', 7200000);
    const lock = await hold('held');
    await assert.rejects(other.acquireLock('held', { waitMs: 0 }), { code: 'lease_held' });
    fault('boot/' + 3600000);
    await assert.rejects(client.get('short'), { code: 'not_found' });
    assert.equal(await client.get('long'), 'v');
    assert.ok((await client.ttl('long')) <= 3600000);
    assert.deepEqual((await client.list()).map(({ key }) => key), ['long']);
    // The lease is as old as it was; who waits for it has waited for as long as it was awake.
    await assert.rejects(other.acquireLock('held', { waitMs: 0 }), { code: 'lease_held' });
    await client.set('fenced', 1, 600000, { fence: lock.token });
    await lock.release();
    await (await other.acquireLock('held')).release();
  `),
);

test('what expired while the machine was suspended is gone when it is resumed', only, () =>
  expectDone(`
    // From now on the addon's timers are seen.
    fault('boot/0');
    // Nothing else wakes the broker: no request, no heartbeat, no sweep before an hour has passed.
    const sleeper = new Broker({ exportEnv: false, secret: null, sweeperInterval: 3600000 });
    await sleeper.start();
    const watcher = sleeper.client();
    const watch = watcher.watch();
    await watch.ready;
    await watcher.set('a', 1, 1800000);
    await watcher.set('b', 1, 5400000);
    const events = watch[Symbol.asyncIterator]();
    const next = async () => {
      const { value } = await events.next();
      return value.type + ' ' + value.key;
    };
    assert.deepEqual([await next(), await next()], ['set a', 'set b']);
    // Whoever is awake sees the time without a timer.
    const state = (id) => fs.readFileSync('/proc/self/task/' + id + '/stat', 'latin1').split(') ')[1][0];
    const others = () => fs.readdirSync('/proc/self/task').filter((id) => Number(id) !== process.pid);
    const suspend = (ms) => {
      for (let looks = 0; looks < 5; looks++)
        if (others().some((id) => state(id) !== 'S')) looks = 0;
      fault('boot/' + ms);
    };
    const woken = setTimeout(() => { throw new Error('nothing expires'); }, 120000);
    suspend(3600000);
    assert.equal(await next(), 'expire a');
    suspend(7200000);
    assert.equal(await next(), 'expire b');
    clearTimeout(woken);
    await watch.close();
    watcher.close();
    await sleeper.stop();
  `),
);

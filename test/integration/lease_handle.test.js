/** Leases as handles: acquire, withLease, lock, acquireAll; how they end, and what ends with them. */
'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const {
  ROOT,
  SECRET,
  randomFrom,
  reasonOf,
  runNode,
  startBroker,
  startClient,
  startPair,
  startStranger,
  until,
  untilWaiting,
  withCode,
} = require('../helpers/broker.js');
const { stretched } = require('../helpers/time_limits.js');

const TTL = 60_000;

function startThree(t, options) {
  const { broker, client } = startPair(t, options);
  return { broker, client, stranger: startStranger(t, broker) };
}

describe('acquire', () => {
  test('a handle with value, token and expiry; every call is a lease of its own', async (t) => {
    const { client, stranger } = startThree(t, { secret: SECRET });
    await client.pool('accounts', [{ user: 'x' }, { user: 'y' }]);
    const before = Date.now();
    const first = await client.acquire('accounts', { workerId: 'w' });
    const second = await client.acquire('accounts', { workerId: 'w', ttl: 5000 });
    assert.deepEqual([first.value, second.value], [{ user: 'x' }, { user: 'y' }]);
    assert.deepEqual([first.key, first.workerId, first.lost], ['accounts', 'w', false]);
    assert.ok(second.token > first.token && Number.isSafeInteger(second.token));
    assert.ok(first.expiresAt >= before + 60_000 - 5 && first.expiresAt <= Date.now() + 60_000);
    assert.ok(second.expiresAt <= Date.now() + 5000);
    assert.equal(first.signal.aborted, false);
    const waiting = stranger.acquire('accounts');
    await untilWaiting(client, 'accounts', 1);
    assert.equal(await first.release(), true);
    assert.equal(await first.release(), true, 'the same answer');
    const third = await waiting;
    assert.deepEqual(third.value, { user: 'x' });
    assert.ok(third.token > second.token);
    assert.equal(first.lost, false);
    assert.equal(first.signal.aborted, false);
    await assert.rejects(first.renew(), withCode('lease_lost', /^renew "accounts": .*released/));
    await Promise.all([second.release(), third.release()]);
    assert.deepEqual(await client.leases(), []);
  });

  test('waitMs 0: lease_held at once; discard: the element does not come back', async (t) => {
    const { client, stranger } = startThree(t);
    await client.pool('accounts', ['x', 'y']);
    const [broken, sound] = [await client.acquire('accounts'), await client.acquire('accounts')];
    await assert.rejects(
      stranger.acquire('accounts', { waitMs: 0, workerId: 's' }),
      withCode('lease_held', /^acquire "accounts": .*"s"/),
    );
    assert.equal(await broken.release({ discard: true }), true);
    await sound.release();
    assert.equal((await stranger.acquire('accounts', { waitMs: 0 })).value, 'y');
    await assert.rejects(stranger.acquire('accounts', { waitMs: 0 }), withCode('lease_held'));
    await assert.rejects(sound.release({ discrad: true }), withCode('invalid_request', /discard/));
  });

  for (const jump of [-86_400_000, 86_400_000]) {
    test(`the clock on the wall jumps by ${jump} ms: expiresAt is as far ahead as before`, async (t) => {
      const { client } = startThree(t);
      const lease = await client.number('one', { ttl: TTL });
      const today = Date.now;
      t.after(() => (Date.now = today));
      Date.now = () => today() + jump;
      const left = lease.expiresAt - Date.now();
      assert.ok(left > 0 && left <= TTL, `${left} ms`);
      await lease.renew();
      const leftAfterwards = lease.expiresAt - Date.now();
      assert.ok(leftAfterwards > 0 && leftAfterwards <= TTL, `${leftAfterwards} ms`);
      await lease.release();
      assert.ok(Math.abs(lease.expiresAt - Date.now()) < TTL, 'when it ended');
    });
  }

  test('it outlives its TTL many times over, and expiresAt moves on', async (t) => {
    const { client, stranger } = startThree(t);
    const ttl = stretched(600);
    const lease = await client.number('one', { ttl });
    const { expiresAt } = lease;
    await client.limit('gate', 1);
    await client.lease('gate', 'w', 2.5 * ttl);
    const gate = await stranger.acquire('gate');
    await gate.release();
    assert.equal(lease.lost, false);
    assert.ok(lease.expiresAt > expiresAt + ttl, `${lease.expiresAt - expiresAt}`);
    assert.equal((await client.leases('one')).length, 1);
    await lease.renew();
    assert.equal(await lease.release(), true);
  });

  test('lost by force: its signal aborts with lease_lost, and its late write is fenced', async (t) => {
    const { client, stranger } = startThree(t);
    await client.limit('one', 1);
    const lease = await client.acquire('one', { workerId: 'w' });
    await client.set('result', 1, TTL, { fence: lease.token });
    assert.equal(await stranger.release(null, 'one', { force: true }), true);
    const reason = await reasonOf(lease.signal);
    assert.ok(withCode('lease_lost', /^acquire "one": /)(reason));
    assert.equal(lease.lost, true);
    assert.equal(await lease.release(), false);
    await assert.rejects(lease.renew(), (error) => error === reason);
    const next = await stranger.acquire('one');
    await stranger.set('result', 2, TTL, { fence: next.token });
    await assert.rejects(
      client.set('result', 3, TTL, { fence: lease.token }),
      withCode('fenced', /^set "result": .*refused/),
    );
    assert.equal(await client.get('result'), 2);
    for (const fence of [0, -1, 1.5, '1', NaN]) {
      await assert.rejects(client.set('result', 1, TTL, { fence }), withCode('invalid_request'));
    }
  });

  test('release(workerId) of its own client ends handles, too', async (t) => {
    const { client } = startThree(t);
    const lease = await client.number('one', { workerId: 'w' });
    const other = await client.number('two', { workerId: 'v' });
    assert.equal(await client.release('w'), true);
    assert.equal((await reasonOf(lease.signal)).code, 'lease_lost');
    assert.equal(other.lost, false);
  });

  test('the end of the connection: broker_gone', async (t) => {
    const broker = startBroker(t);
    const client = startClient(t, broker);
    const leases = [await client.number('a'), await client.acquireLock('b')];
    await broker.stop({ drainMs: 0 });
    for (const lease of leases) {
      const reason = await reasonOf(lease.signal);
      assert.ok(withCode('broker_gone', /connection/)(reason));
      assert.equal(lease.lost, true);
      assert.equal(await lease.release(), false);
      await lease[Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]();
    }
  });

  test('abort: the reason of the signal, and nothing stays behind', async (t) => {
    const { client, stranger } = startThree(t);
    await client.limit('one', 1);
    const lease = await client.acquire('one');
    const controller = new AbortController();
    const waiting = stranger.acquire('one', { signal: controller.signal });
    await untilWaiting(client, 'one', 1);
    controller.abort();
    await assert.rejects(waiting, { name: 'AbortError' });
    await untilWaiting(client, 'one', 0);
    // The signal is of the waiting: what is held is not touched by it.
    const later = new AbortController();
    const next = stranger.acquire('one', { signal: later.signal });
    await lease.release();
    const held = await next;
    later.abort();
    await stranger.ping();
    assert.equal(held.lost, false);
    assert.equal((await client.leases('one')).length, 1);
  });
});

describe('with a function', () => {
  test('withLease gives value and lease, resolves its result and releases', async (t) => {
    const { client } = startThree(t);
    await client.pool('accounts', ['x']);
    const result = await client.withLease('accounts', { workerId: 'w' }, async (value, lease) => {
      assert.equal((await client.leases('accounts'))[0].workerId, 'w');
      assert.equal(lease.value, value);
      return `${value}!`;
    });
    assert.equal(result, 'x!');
    assert.equal(await client.withLease('accounts', (value) => value), 'x');
    const failure = new Error('mine');
    await assert.rejects(
      client.withLease('accounts', () => {
        throw failure;
      }),
      (error) => error === failure,
    );
    assert.equal(await client.withLease('accounts', (_, lease) => lease.release()), true);
    assert.deepEqual(await client.leases(), []);
  });

  test('lost meanwhile: lease_lost, unless the function has an error of its own', async (t) => {
    const { client, stranger } = startThree(t);
    const untilLost = async (lease) => {
      await stranger.release(null, lease.key, { force: true });
      await reasonOf(lease.signal);
    };
    await client.limit('one', 1);
    await assert.rejects(
      client.withLease('one', (_, lease) => untilLost(lease)),
      withCode('lease_lost', /^withLease "one": /),
    );
    await assert.rejects(
      client.lock('name', async (lease) => {
        await untilLost(lease);
        throw new TypeError('mine');
      }),
      TypeError,
    );
    await assert.rejects(client.lock('name', untilLost), withCode('lease_lost', /^lock "name": /));
  });

  test('lock: exclusive, shared, and apart from keys', async (t) => {
    const { client, stranger } = startThree(t);
    await client.set('name', 1, TTL);
    await client.lock('name', async (lease) => {
      assert.equal(lease.value, undefined);
      for (const mode of ['exclusive', 'shared']) {
        const other = stranger.lock('name', { mode, waitMs: 0 }, () => assert.fail());
        await assert.rejects(other, withCode('lease_held', /^lock "name": /));
      }
      await client.set('name', 2, TTL);
    });
    await client.lock('name', { mode: 'shared' }, async () => {
      assert.equal(await stranger.lock('name', { mode: 'shared' }, () => 'both'), 'both');
      const writer = stranger.acquireLock('name');
      await untilWaiting(client, 'name', 1);
      const late = client.lock('name', { mode: 'shared', waitMs: 0 }, () => assert.fail());
      await assert.rejects(late, withCode('lease_held'), 'it does not overtake the writer');
      writer.then((lease) => lease.release());
    });
    assert.equal(await client.lock('name', () => 'free'), 'free');
  });

  test('a counter behind a lock counts right, over connections', async (t) => {
    const { client, stranger } = startThree(t);
    await client.set('n', 0, TTL);
    const add = (who) => who.lock('n', async () => who.set('n', (await who.get('n')) + 1, TTL));
    await Promise.all(Array.from({ length: 100 }, (_, i) => add(i % 2 ? client : stranger)));
    assert.equal(await client.get('n'), 100);
  });

  test('wrong arguments reject', async (t) => {
    const { client } = startThree(t);
    const calls = [
      () => client.withLease('k', {}),
      () => client.withLease('k'),
      () => client.withLease('k', { mode: 'shared' }, () => 1),
      () => client.withLease('k', 5, () => 1),
      () => client.lock('k', { mode: 'read' }, () => 1),
      () => client.lock('k', () => 1, {}),
      () => client.acquire('k', { detached: true }),
      () => client.acquireLock('k', { mode: null }),
    ];
    for (const call of calls) {
      const promise = call();
      await assert.rejects(promise, withCode('invalid_request'), String(call));
    }
    await assert.rejects(client.acquire('k', { ttl: 0 }), withCode('invalid_ttl', /^acquire "k"/));
    await assert.rejects(
      client.withLease('', () => 1),
      withCode('invalid_key', /^withLease/),
    );
    assert.deepEqual(await client.leases(), []);
  });
});

describe('acquireAll', () => {
  test('all, in the order of the keys; released together', async (t) => {
    const { client } = startThree(t);
    await client.pool('accounts', ['x']);
    await client.limit('browsers', 3);
    await client.set('port', 8080, TTL);
    const leases = await client.acquireAll(['port', 'accounts', 'browsers'], { workerId: 'w' });
    assert.deepEqual(
      leases.map(({ key, value }) => [key, value]),
      [
        ['port', 8080],
        ['accounts', 'x'],
        ['browsers', 0],
      ],
    );
    assert.deepEqual(Object.keys(leases), ['0', '1', '2']);
    await leases[0].release();
    assert.equal(await leases.release(), 3);
    const disposable = await client.acquireAll(['port', 'accounts']);
    await disposable[Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]();
    assert.deepEqual(await client.leases(), []);
    assert.deepEqual([...(await client.acquireAll([]))], []);
  });

  test('or nothing', async (t) => {
    const { client, stranger } = startThree(t);
    for (const key of ['a', 'b', 'c']) await client.limit(key, 1);
    await stranger.lease('b', 's');
    const mine = async () => (await client.leases()).filter(({ workerId }) => workerId !== 's');
    await assert.rejects(client.acquireAll(['c', 'b', 'a'], { waitMs: 0 }), withCode('lease_held'));
    assert.deepEqual(await mine(), []);
    await assert.rejects(
      client.acquireAll(['a', 'b', 'c'], { waitMs: 30 }),
      withCode('wait_timeout', /^acquireAll "b": /),
    );
    assert.deepEqual(await mine(), []);
    const controller = new AbortController();
    const waiting = client.acquireAll(['a', 'b', 'c'], { signal: controller.signal });
    await untilWaiting(client, 'b', 1);
    assert.equal((await mine()).length, 2, 'a is held while b is waited for');
    controller.abort();
    await assert.rejects(waiting, { name: 'AbortError' });
    await until(async () => (await mine()).length === 0, 'a is given back');
    for (const keys of ['ab', ['a', 5]]) {
      await assert.rejects(client.acquireAll(keys), (error) => /^invalid_/.test(error.code));
    }
    await assert.rejects(client.acquireAll(['a'], { mode: 'x' }), withCode('invalid_request'));
    assert.deepEqual(await mine(), []);
  });

  test('in whatever order the keys are named, nobody blocks another for ever', async (t) => {
    const seed = 11;
    t.diagnostic(`seed ${seed}`);
    const random = randomFrom(seed);
    const { broker } = startPair(t);
    const clients = Array.from({ length: 4 }, () => startStranger(t, broker));
    const names = ['a', 'b', 'c', 'd'];
    for (const name of names) await clients[0].limit(name, 1);
    const work = async (client) => {
      for (let round = 0; round < 25; round++) {
        const keys = names.filter(() => random() < 0.7).sort(() => random() - 0.5);
        const leases = await client.acquireAll(keys);
        await client.ping();
        assert.equal(await leases.release(), keys.length);
      }
    };
    await Promise.all(clients.map(work));
    assert.deepEqual(await clients[0].leases(), []);
  });
});

describe('the end of a client', () => {
  test('close() releases what it acquired and gives up what it waits for, others go on', async (t) => {
    const { broker, client, stranger } = startThree(t);
    await client.limit('one', 1);
    const other = startClient(t, broker);
    const held = await other.acquire('one');
    const watch = other.watch();
    await watch.ready;
    const kept = await client.number('kept');
    const queued = stranger.acquire('one');
    await untilWaiting(client, 'one', 1);
    const waits = [
      other.acquire('one'),
      other.lease('one', 'w', { waitMs: Infinity }),
      other.waitFor('never'),
      other.barrier('lonely', 2),
    ];
    const answered = other.set('k', 1, TTL);
    const outcomes = waits.map((wait) =>
      assert.rejects(wait, withCode('invalid_request', /closed while this waited/)),
    );
    await other.close();
    await Promise.all(outcomes);
    assert.equal(await answered, true);
    assert.deepEqual(await watch.next(), { value: undefined, done: true });
    assert.equal((await queued).value, 0);
    assert.equal(await held.release(), true, 'the answer to the release of close()');
    assert.equal(held.lost, false);
    assert.equal(kept.lost, false);
    assert.deepEqual(
      (await client.leases()).map(({ key, state }) => [key, state]),
      [
        ['kept', 'held'],
        ['one', 'held'],
      ],
    );
  });

  test('a namespace that is closed only ends what is its own', async (t) => {
    const { client } = startThree(t);
    const view = client.namespace('x');
    const [mine, its] = [await client.number('a'), await view.number('a')];
    await view.close();
    assert.deepEqual(
      (await client.leases()).map(({ key }) => key),
      ['a'],
    );
    assert.equal(await its.release(), true);
    assert.equal(mine.lost, false);
    const again = client.namespace('y');
    await again.number('b');
    await client.close();
    await assert.rejects(again.acquire('c'), withCode('invalid_request', /closed/));
  });

  test('leases keep no process alive; whoever waits for one is kept', async (t) => {
    const { broker, client } = startPair(t);
    const holder = `
      const { PipeClient } = require(ROOT);
      new PipeClient().number('one').then((lease) => console.log(lease.value));
    `;
    const done = await runNode(holder, { env: broker.env() });
    assert.deepEqual(done, { status: 0, signal: null, stdout: '0\n', stderr: '' });
    await client.limit('gate', 1);
    const gate = await client.acquire('gate');
    const waiter = `
      const { PipeClient } = require(ROOT);
      new PipeClient().acquire('gate').then((lease) => console.log(lease.value));
    `;
    const finished = runNode(waiter, { env: broker.env() });
    await untilWaiting(client, 'gate', 1);
    await gate.release();
    assert.deepEqual(await finished, { status: 0, signal: null, stdout: '0\n', stderr: '' });
  });

  test('a wait that is over before the event loop runs keeps no process alive', async (t) => {
    const { broker, client } = startPair(t);
    await client.limit('gate', 1);
    await client.acquire('gate');
    const releaser = `
      new (require(${JSON.stringify(ROOT)}).PipeClient)().release(null, 'gate', { force: true });
    `;
    const script = `
      const { execFileSync } = require('node:child_process');
      const { PipeClient } = require(ROOT);
      const client = new PipeClient();
      // It does not fire if the process ends by itself.
      setTimeout(() => process.exit(3), ${stretched(3000)}).unref();
      (async () => {
        await client.ping();
        const waiting = client.acquire('gate');
        // Enough microtasks for the request to be sent. The grant comes while the thread is blocked.
        for (let i = 0; i < 100; i++) await null;
        execFileSync(process.execPath, ['-e', ${JSON.stringify(releaser)}]);
        console.log((await waiting).value);
      })();
    `;
    const result = await runNode(script, { env: broker.env() });
    assert.deepEqual(result, { status: 0, signal: null, stdout: '0\n', stderr: '' });
  });

  test('a wait goes on for as long as it takes, whoever collects garbage', async (t) => {
    const { broker, client } = startPair(t);
    await client.limit('gate', 1);
    const gate = await client.acquire('gate');
    // As in a bundle: nothing refers to the client or its module any more.
    const script = `
      new (require(ROOT).PipeClient)().acquire('gate').then((lease) => console.log(lease.value));
      for (const file of Object.keys(require.cache)) delete require.cache[file];
      module.children.length = 0;
      let rounds = 0;
      setInterval(() => {
        gc();
        if (++rounds === 20) console.log('collected');
      }, 5).unref();
    `;
    const result = await runNode(script, {
      env: broker.env(),
      args: ['--expose-gc'],
      onChild: (child) => child.stdout.once('data', () => gate.release()),
    });
    const stdout = 'collected\n0\n';
    assert.deepEqual(result, { status: 0, signal: null, stdout, stderr: '' });
  });

  test('leases go with the copy of the module that made them', async (t) => {
    const { broker, client } = startPair(t);
    // As test runners do it: the module is loaded anew for each test file, and never told to close.
    const script = `
      const { createRequire } = require('node:module');
      const copies = 6;
      async function inCopy() {
        for (const file of Object.keys(require.cache)) {
          if (file.startsWith(ROOT) && !file.endsWith('.node')) delete require.cache[file];
        }
        const { PipeClient } = createRequire(ROOT + '/test.js')(ROOT);
        await new PipeClient(undefined, { timeout: ${stretched(200)} }).number('slot', { ttl: 600000 });
      }
      const { PipeClient } = require(ROOT);
      const observer = new PipeClient();
      (async () => {
        for (let i = 0; i < copies; i++) await inCopy();
        let left = copies;
        for (let round = 0; round < 2000 && left > 2; round++) {
          await new Promise((resolve) => setTimeout(resolve, 10));
          gc();
          left = (await observer.leases()).length;
        }
        // The first copy is the native module's parent, the last one is in use.
        console.log(left <= 2);
      })();
    `;
    const result = await runNode(script, { env: broker.env(), args: ['--expose-gc'] });
    assert.deepEqual(result, { status: 0, signal: null, stdout: 'true\n', stderr: '' });
    assert.equal(await client.ping(), true);
  });
});

test('one pending garbage collection serves all who wait for it', async () => {
  const script = `
    const path = require('node:path');
    const { collectGarbage } = require(path.join(ROOT, 'lib/client/unreachable.js'));
    let target = {};
    const reference = new WeakRef(target);
    target = null;
    const isCollected = () => reference.deref() === undefined;
    const seen = [];
    const alive = setInterval(() => {}, 1000);
    // A WeakRef's object stays until the code that runs now is over.
    setImmediate(() => {
      collectGarbage(() => seen.push(isCollected()));
      collectGarbage(() => {
        seen.push(isCollected());
        console.log(...seen);
        clearInterval(alive);
      });
    });
  `;
  const result = await runNode(script);
  assert.deepEqual(result, { status: 0, signal: null, stdout: 'true true\n', stderr: '' });
});

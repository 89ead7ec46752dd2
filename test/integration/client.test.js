'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const {
  PipeClient,
  SECRET,
  runNode,
  startBroker,
  startClient,
  startPair,
  until,
  withCode,
} = require('../helpers/broker.js');
const { stretched } = require('../helpers/time_limits.js');

for (const secret of [null, SECRET]) {
  describe(secret === null ? 'without a secret' : 'with a secret', () => {
    test('set, get, has, ttl, del', async (t) => {
      const { client } = startPair(t, { secret });
      assert.equal(await client.set('k', { a: [1, 'é'] }, 60_000), true);
      assert.deepEqual(await client.get('k'), { a: [1, 'é'] });
      assert.equal(await client.has('k'), true);
      const ttl = await client.ttl('k');
      assert.ok(ttl > 0 && ttl <= 60_000, String(ttl));
      assert.equal(await client.del('k'), true);
      assert.equal(await client.del('k'), false);
      assert.equal(await client.has('k'), false);
      await assert.rejects(client.get('k'), withCode('not_found', /^get "k": /));
      await assert.rejects(client.ttl('k'), withCode('not_found', /^ttl "k": /));
    });

    test('touch gives a value another TTL, and only that', async (t) => {
      const { client } = startPair(t, { secret });
      await client.set('session', { user: 1 }, 60_000);
      const { version } = await client.getEntry('session');
      assert.equal(await client.touch('session', '1h'), true);
      const entry = await client.getEntry('session');
      assert.deepEqual([entry.value, entry.version], [{ user: 1 }, version]);
      assert.ok(entry.ttl > 60_000 && entry.ttl <= 3_600_000, String(entry.ttl));
      assert.equal(await client.touch('session', { ttl: Infinity }), true);
      assert.equal(await client.ttl('session'), Infinity);
      assert.equal(await client.touch('nothing', 1000), false);
      assert.equal(await client.has('nothing'), false);
      await client.pool('accounts', ['a']);
      await assert.rejects(client.touch('accounts', 1000), withCode('kind_mismatch'));
      await assert.rejects(client.touch('session'), withCode('ttl_required'));
      await assert.rejects(client.touch('session', 0), withCode('invalid_ttl'));
      assert.equal(await client.touch('session', '20ms'), true);
      await until(async () => !(await client.has('session')), 'the shorter TTL has ended');
    });

    test('ten thousand calls in one tick: every answer is its own', async (t) => {
      const { client } = startPair(t, { secret, maxItems: 0 });
      const keys = Array.from({ length: 5000 }, (_, i) => `key ${i}`);
      await Promise.all(keys.map((key, i) => client.set(key, { i, key }, 60_000)));
      const calls = keys.flatMap((key) => [
        client.get(key),
        client.get(`no ${key}`, { default: key }),
      ]);
      const answers = await Promise.all(calls);
      keys.forEach((key, i) => {
        assert.deepEqual(answers[2 * i], { i, key });
        assert.equal(answers[2 * i + 1], key);
      });
    });

    test('64 MiB of values in one tick', async (t) => {
      const { client } = startPair(t, { secret, maxMemory: 0 });
      const value = 'v'.repeat(250_000);
      const keys = Array.from({ length: 270 }, (_, i) => `k${i}`);
      const options = { ttl: 60_000, timeout: 60_000 };
      await Promise.all(keys.map((key) => client.set(key, key + value, options)));
      const answers = await Promise.all(keys.map((key) => client.get(key, { timeout: 60_000 })));
      keys.forEach((key, i) => assert.ok(answers[i] === key + value, key));
    });
  });
}

test('get gives the default of a missing key, whatever it is', async (t) => {
  const { client } = startPair(t);
  for (const value of [null, undefined, 0, '', { a: 1 }]) {
    assert.equal(await client.get('no', { default: value }), value);
  }
  await client.set('null', null, 60_000);
  assert.equal(await client.get('null', { default: 5 }), null);
});

test('a value is gone from the moment its TTL has passed', async (t) => {
  const { client } = startPair(t);
  const start = performance.now();
  await client.set('k', 1, 40);
  await until(
    () => client.get('k', { default: 'gone' }).then((value) => value === 'gone'),
    'expiry',
  );
  assert.ok(performance.now() - start >= 39);
  assert.equal(await client.has('k'), false);
  assert.deepEqual(await client.list(), []);
});

test('a TTL is a number of milliseconds > 0; a fraction counts as a whole one', async (t) => {
  const { client } = startPair(t);
  await client.set('k', 1, 0.5);
  for (const ttl of [0, -1, NaN, -Infinity, '60', '0s', true, 10n]) {
    await assert.rejects(
      client.set('k', 1, ttl),
      withCode('invalid_ttl', /^set "k": /),
      String(ttl),
    );
    await assert.rejects(client.incr('n', 1, ttl), withCode('invalid_ttl', /^incr "n": /));
  }
  await assert.rejects(client.set('k', 1), withCode('ttl_required', /defaultTtl/));
  await assert.rejects(client.set('k', 1, null), withCode('ttl_required'));
  await assert.rejects(client.set('k', 1, {}), withCode('ttl_required'));
});

test('defaultTtl of the client, defaultTTL of the broker', async (t) => {
  const broker = startBroker(t, { requireTTL: false, defaultTTL: 50_000 });
  await startClient(t, broker).set('broker', 1);
  const client = startClient(t, broker, { defaultTtl: 90_000 });
  await client.set('client', 1);
  await client.incr('counter');
  await client.set('own', 1, 20_000);
  const ttls = await Promise.all(
    ['broker', 'client', 'counter', 'own'].map((key) => client.ttl(key)),
  );
  const bounds = [50_000, 90_000, 90_000, 20_000];
  ttls.forEach((ttl, i) => assert.ok(ttl <= bounds[i] && ttl > bounds[i] - 10_000, String(ttl)));
});

test('ifAbsent: one of many writers wins', async (t) => {
  const { broker, client } = startPair(t);
  const other = startClient(t, broker);
  const writers = Array.from({ length: 20 }, (_, i) =>
    [client, other][i % 2].set('k', i, 60_000, { ifAbsent: true }).then(
      () => i,
      (error) => error.code,
    ),
  );
  const outcomes = await Promise.all(writers);
  const winners = outcomes.filter((outcome) => typeof outcome === 'number');
  assert.equal(winners.length, 1);
  assert.equal(outcomes.filter((outcome) => outcome === 'conflict').length, 19);
  assert.equal(await client.get('k'), winners[0]);
});

test('ifVersion: a write based on an old state is refused', async (t) => {
  const { client } = startPair(t);
  await client.set('k', 'first', 60_000);
  const entry = await client.getEntry('k');
  assert.equal(entry.value, 'first');
  assert.ok(entry.ttl > 0 && entry.ttl <= 60_000);
  await client.set('k', 'second', { ttl: 60_000, ifVersion: entry.version });
  await assert.rejects(
    client.set('k', 'third', 60_000, { ifVersion: entry.version }),
    withCode('conflict', /^set "k": /),
  );
  const now = await client.getEntry('k');
  assert.equal(now.value, 'second');
  assert.ok(now.version > entry.version);
  for (const ifVersion of [0, -1, 1.5, '1', null]) {
    await assert.rejects(
      client.set('k', 1, 1, { ifVersion }),
      withCode('invalid_request', /ifVersion/),
    );
  }
});

test('incrEntry counts, and says how long the counter lives', async (t) => {
  const { client } = startPair(t);
  const first = await client.incrEntry('n', 2, 60_000);
  assert.equal(first.value, 2);
  assert.ok(first.ttl > 0 && first.ttl <= 60_000, `${first.ttl}`);
  const second = await client.incrEntry('n', undefined, { ttl: '5h' });
  assert.equal(second.value, 3);
  assert.ok(second.ttl <= first.ttl, 'the counter keeps its TTL');
  assert.deepEqual(await client.incrEntry('endless', -1, Infinity), { value: -1, ttl: Infinity });
  await assert.rejects(client.incrEntry('none'), withCode('ttl_required', /^incrEntry "none": /));
});

test('incr counts over clients; what is no number stays', async (t) => {
  const { broker, client } = startPair(t);
  const other = startClient(t, broker);
  const calls = Array.from({ length: 100 }, (_, i) => [client, other][i % 2].incr('n', 1, 60_000));
  const answers = await Promise.all(calls);
  assert.deepEqual(
    answers.sort((a, b) => a - b),
    Array.from({ length: 100 }, (_, i) => i + 1),
  );
  assert.equal(await client.incr('n', -150), -50);
  assert.equal(await client.get('n'), -50);
  assert.equal(await client.incr('big', Number.MAX_SAFE_INTEGER, { ttl: 60_000 }), 2 ** 53 - 1);
  await assert.rejects(client.incr('big'), withCode('not_a_number'));
  await client.set('text', 'x', 60_000);
  await assert.rejects(client.incr('text'), withCode('not_a_number', /^incr "text": /));
  assert.equal(await client.get('text'), 'x');
  for (const by of [1.5, NaN, '1', 2 ** 53, null]) {
    await assert.rejects(client.incr('n', by, 1000), withCode('invalid_request', /by takes/));
  }
});

test('list is sorted, by prefix, without values', async (t) => {
  const { client } = startPair(t);
  await Promise.all(['b:2', 'a', 'b:1', 'é'].map((key) => client.set(key, 'secret', 60_000)));
  const all = await client.list();
  assert.deepEqual(
    all.map(({ key }) => key),
    ['a', 'b:1', 'b:2', 'é'],
  );
  for (const entry of all) {
    assert.deepEqual(Object.keys(entry).sort(), ['key', 'size', 'ttl', 'version']);
    assert.ok(entry.ttl > 0 && entry.ttl <= 60_000);
    assert.equal(entry.size, '"secret"'.length);
    assert.ok(entry.version > 0);
  }
  assert.deepEqual(
    (await client.list('b:')).map(({ key }) => key),
    ['b:1', 'b:2'],
  );
  assert.deepEqual(await client.list('c'), []);
  await assert.rejects(
    client.list(5),
    withCode('invalid_key', /^list: A prefix is a string, not a number/),
  );
});

test('a namespace is a prefix', async (t) => {
  const { client } = startPair(t);
  const view = client.namespace('x');
  await view.set('k', 1, 60_000);
  await view.namespace('y').set('k', 2, 60_000);
  await client.set('k', 3, 60_000);
  assert.equal(await view.get('k'), 1);
  assert.equal(view.getSync('k'), 1);
  assert.equal(await client.get('x:y:k'), 2);
  assert.deepEqual(
    (await view.list()).map(({ key }) => key),
    ['k', 'y:k'],
  );
  assert.deepEqual(
    (await view.list('y')).map(({ key }) => key),
    ['y:k'],
  );
  await assert.rejects(view.get('no'), (error) => error.key === 'x:no');
  await assert.rejects(view.get('k'.repeat(511)), withCode('invalid_key'));
  assert.throws(() => client.namespace(''), withCode('invalid_key'));
  assert.throws(() => client.namespace(5), withCode('invalid_key'));
  await view.close();
  await assert.rejects(view.get('k'), withCode('invalid_request', /closed/));
  assert.equal(await client.get('k'), 3);
});

test('closing a client ends its namespaces; calls made before are answered', async (t) => {
  const broker = startBroker(t);
  const client = broker.client();
  const view = client.namespace('x');
  const calls = [client.set('k', 1, 60_000), client.get('k'), view.has('k')];
  await client.close();
  assert.deepEqual(await Promise.all(calls), [true, 1, false]);
  await assert.rejects(view.get('k'), withCode('invalid_request', /closed/));
  await assert.rejects(client.get('k'), withCode('invalid_request', /closed/));
  assert.throws(() => client.getSync('k'), withCode('invalid_request', /closed/));
  await client.close();
});

test('keys: 1 to 512 bytes of any characters', async (t) => {
  const { client } = startPair(t);
  const keys = [
    'k',
    'é'.repeat(256),
    'x'.repeat(512),
    '\u{1f600}',
    '\0',
    '__proto__',
    'constructor',
    ' ',
    '\n',
    '"\\',
  ];
  for (const key of keys) await client.set(key, key, 60_000);
  for (const key of keys) assert.equal(await client.get(key), key);
  assert.deepEqual(new Set((await client.list()).map(({ key }) => key)), new Set(keys));
  const wrong = [
    '',
    'x'.repeat(513),
    'é'.repeat(257),
    '\ud800',
    'a\udc00b',
    5,
    null,
    undefined,
    {},
    Symbol('s'),
  ];
  for (const key of wrong) {
    await assert.rejects(client.get(key), withCode('invalid_key', /^get/), String(key));
    await assert.rejects(client.set(key, 1, 1000), withCode('invalid_key', /^set/));
  }
});

test('a wrong argument rejects, and is not thrown', async (t) => {
  const { client } = startPair(t);
  const calls = [
    () => client.get('k', { tiemout: 5 }),
    () => client.get('k', 5),
    () => client.get('k', { timeout: 0 }),
    () => client.get('k', { timeout: '5' }),
    () => client.set('k', 1, 1000, { ifabsent: true }),
    () => client.set('k', 1, { ttl: 1000 }, { ifAbsent: true }),
    () => client.set('k', 1, 1000, 'x'),
    () => client.set('k', 1, { ttl: 1000, ifAbsent: true, ifVersion: 1 }),
    () => client.ping({ default: 1 }),
  ];
  for (const call of calls) {
    const promise = call();
    await assert.rejects(promise, withCode('invalid_request'), String(call));
  }
});

test('ping, pingMs, stats, health, metrics', async (t) => {
  const { broker, client } = startPair(t, { maxItems: 10 });
  assert.equal(await client.ping(), true);
  assert.ok((await client.pingMs()) >= 0);
  for (let i = 0; i < 9; i++) await client.set(`k${i}`, i, 60_000);
  const stats = await client.stats();
  assert.equal(stats.items, 9);
  assert.equal(stats.leases, 0);
  assert.ok(stats.memory > 0 && stats.uptime >= 0);
  for (const [name, value] of Object.entries(stats)) assert.equal(typeof value, 'number', name);
  assert.equal((await broker.stats()).items, 9);
  assert.equal((await client.health()).status, 'warning');
  await client.set('k9', 9, 60_000);
  assert.equal((await client.health()).status, 'degraded');
  await Promise.all(Array.from({ length: 10 }, (_, i) => client.del(`k${i}`)));
  const health = await client.health();
  assert.equal(health.status, 'healthy');
  assert.equal(health.items, 0);
  assert.match(await client.metrics(), /^ephemeral_broker_requests_total\{action="set"\} 10$/m);
});

test('without a pipe the error says how to get one', () => {
  delete process.env.EPHEMERAL_PIPE;
  for (const pipe of [undefined, null, '']) {
    assert.throws(() => new PipeClient(pipe), withCode('broker_gone', /EPHEMERAL_PIPE.*start --/s));
  }
  assert.throws(
    () => new PipeClient({ timeout: 5 }),
    withCode('invalid_request', /path of a pipe/),
  );
});

test('the pipe and the secret come from the environment', async (t) => {
  const broker = startBroker(t, { secret: SECRET });
  const script = `
    const { PipeClient } = require(ROOT);
    new PipeClient().set('from child', 1, 60000).then(() => console.log('done'));
  `;
  const result = await runNode(script, { env: broker.env() });
  assert.deepEqual(result, { status: 0, signal: null, stdout: 'done\n', stderr: '' });
  assert.equal(await startClient(t, broker).get('from child'), 1);
});

test('timers and other work have their turn while a loop awaits calls', async (t) => {
  const { client } = startPair(t);
  await client.set('k', 1, 60_000);
  let fired = 0;
  const timer = setInterval(() => fired++, 1);
  t.after(() => clearInterval(timer));
  let calls = 0;
  while (fired < 5 && calls < 20_000) {
    await client.get('k');
    calls++;
  }
  assert.ok(fired >= 5, `${fired} timers in ${calls} calls`);
});

test('at most a few hundred awaited calls pass between two turns of the event loop', async (t) => {
  const { client } = startPair(t);
  await client.set('k', 1, 60_000);
  let calls = 0;
  let callsBefore = 0;
  let most = 0;
  function measure() {
    most = Math.max(most, calls - callsBefore);
    callsBefore = calls;
    if (calls < 10_000) setImmediate(measure);
  }
  setImmediate(measure);
  for (; calls < 10_000; calls++) await client.get('k');
  measure();
  assert.ok(most <= 400, `${most} calls in one turn`);
});

test('clients of one pipe and secret share a connection, others do not', async (t) => {
  const broker = startBroker(t, { secret: SECRET });
  const clients = Array.from({ length: 5 }, () => startClient(t, broker));
  await Promise.all(clients.map((client) => client.ping()));
  assert.equal((await clients[0].stats()).connections, 1);
  const bytes = new PipeClient(broker.pipe, { secret: Buffer.from(SECRET) });
  t.after(() => bytes.close());
  await bytes.ping();
  assert.equal((await bytes.stats()).connections, 1);
});

test('worker threads have connections of their own', async (t) => {
  const { broker, client } = startPair(t);
  const script = `
    const { Worker } = require('node:worker_threads');
    const source = \`
      const { PipeClient } = require(\${JSON.stringify(ROOT)});
      const client = new PipeClient();
      (async () => { for (let i = 0; i < 200; i++) await client.incr('n', 1, 60000); })();
    \`;
    for (let i = 0; i < 4; i++) new Worker(source, { eval: true });
  `;
  const result = await runNode(script, { env: broker.env() });
  assert.deepEqual(result, { status: 0, signal: null, stdout: '', stderr: '' });
  assert.equal(await client.get('n'), 800);
});

test('a client that is not used, or used up, keeps no process alive', async (t) => {
  const broker = startBroker(t);
  const script = `
    const { PipeClient } = require(ROOT);
    new PipeClient();
    const client = new PipeClient();
    client.set('k', 1, 60000).then(() => client.get('k')).then((value) => console.log(value));
  `;
  const result = await runNode(script, { env: broker.env() });
  assert.deepEqual(result, { status: 0, signal: null, stdout: '1\n', stderr: '' });
});

test('a connection goes with the copy of the module that made it', async (t) => {
  const { broker, client } = startPair(t);
  // As test runners do it: the module is loaded anew for each test file, and never told to close.
  const script = `
    const { createRequire } = require('node:module');
    const { PipeClient } = require(ROOT);
    const observer = new PipeClient();
    const copies = 8;
    (async () => {
      for (let i = 0; i < copies; i++) {
        for (const file of Object.keys(require.cache)) {
          if (file.startsWith(ROOT) && !file.endsWith('.node')) delete require.cache[file];
        }
        const fresh = createRequire(ROOT + '/test.js')(ROOT);
        await new fresh.PipeClient(undefined, { timeout: ${stretched(200)} }).ping();
      }
      const before = (await observer.stats()).connections;
      let after = before;
      for (let round = 0; round < 2000 && after > before - copies + 2; round++) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        gc();
        after = (await observer.stats()).connections;
      }
      console.log(before, after <= before - copies + 2);
    })();
  `;
  const result = await runNode(script, { env: broker.env(), args: ['--expose-gc'] });
  assert.equal(result.stderr, '');
  assert.match(result.stdout, /^\d+ true\n$/);
  assert.equal(await client.ping(), true);
});

/** watch(): the events of keys, in order; what a slow reader misses, and how a watch ends. */
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const {
  SECRET,
  runNode,
  startBroker,
  startClient,
  startPair,
  startStranger,
  startWorker,
  until,
  withCode,
} = require('../helpers/broker.js');

const TTL = 60_000;
const DONE = { value: undefined, done: true };

async function startWatch(t, client, ...args) {
  const watch = client.watch(...args);
  t.after(() => watch.close());
  await watch.ready;
  return watch;
}

/** The next few events, as [type, key]. */
async function take(watch, count) {
  const events = [];
  for (let i = 0; i < count; i++) {
    const { value } = await watch.next();
    events.push([value.type, value.key]);
  }
  return events;
}

test('set, incr, del and expiry of the keys of a prefix, in order, with versions', async (t) => {
  const { broker, client } = startPair(t, { secret: SECRET });
  const stranger = startStranger(t, broker);
  const watch = await startWatch(t, stranger, 'user:');
  const everything = await startWatch(t, client);
  await client.set('user:1', 'a', TTL);
  await client.set('other', 'b', TTL);
  await client.set('user:1', 'c', TTL);
  assert.equal(await client.touch('user:1', TTL), true, 'and no event');
  const { version } = await client.getEntry('user:1');
  await client.incr('user:n', 1, TTL);
  await client.del('user:1');
  await client.del('user:1');
  await client.set('user:brief', 'd', 20);
  const events = [];
  for await (const event of watch) {
    events.push(event);
    if (event.type === 'expire') break;
  }
  assert.deepEqual(
    events.map(({ type, key }) => [type, key]),
    [
      ['set', 'user:1'],
      ['set', 'user:1'],
      ['set', 'user:n'],
      ['del', 'user:1'],
      ['set', 'user:brief'],
      ['expire', 'user:brief'],
    ],
  );
  assert.equal(events[1].version, version);
  assert.ok(events[0].version < events[1].version);
  assert.doesNotMatch(JSON.stringify(events), /"[abcd]"/, 'no values');
  assert.deepEqual(await watch.next(), DONE, 'leaving the loop has closed it');
  assert.deepEqual((await take(everything, 2))[1], ['set', 'other']);
});

test('what is evicted is told', async (t) => {
  const { client } = startPair(t, { maxItems: 2, eviction: 'lru' });
  const watch = await startWatch(t, client);
  for (const key of ['a', 'b', 'c']) await client.set(key, 1, TTL);
  const events = await take(watch, 4);
  assert.ok(events.some(([type, key]) => type === 'evict' && key === 'a'));
});

test('every change after `ready` has its event, whoever makes it', async (t) => {
  const { broker, client } = startPair(t);
  const watch = await startWatch(t, client);
  const writers = Array.from({ length: 3 }, () => startStranger(t, broker));
  const writes = writers.flatMap((writer, w) =>
    Array.from({ length: 100 }, (_, i) => writer.set(`k${w}.${i}`, i, TTL)),
  );
  await Promise.all(writes);
  const events = await take(watch, 300);
  assert.deepEqual(
    events.map(([, key]) => key).sort(),
    writers.flatMap((_, w) => Array.from({ length: 100 }, (_none, i) => `k${w}.${i}`)).sort(),
  );
  for (const [w] of writers.entries()) {
    const own = events.map(([, key]) => key).filter((key) => key.startsWith(`k${w}.`));
    assert.deepEqual(
      own,
      Array.from({ length: 100 }, (_, i) => `k${w}.${i}`),
    );
  }
});

test('a slow reader misses events, is told so, and goes on with what comes then', async (t) => {
  const { broker, client } = startPair(t, { maxItems: 0 });
  const stranger = startStranger(t, broker);
  const watch = await startWatch(t, client);
  const first = watch.next();
  await stranger.set('first', 1, TTL);
  assert.equal((await first).value.key, 'first');
  const count = 5000;
  for (let from = 0; from < count; from += 500) {
    const keys = Array.from({ length: 500 }, (_, i) => `k${from + i}`);
    await Promise.all(keys.map((key) => stranger.set(key, 1, TTL)));
    // Lets the events of these come here, where nobody asks for them.
    await client.ping();
  }
  await stranger.set('last', 1, TTL);
  const seen = [];
  while (seen.at(-1)?.key !== 'last') seen.push((await watch.next()).value);
  assert.ok(seen.length <= 1025, `${seen.length} were kept`);
  assert.equal(seen[0].type, 'overflow');
  assert.equal(seen.filter(({ type }) => type === 'overflow').length, 1);
  // Behind the overflow nothing is missing.
  const numbers = seen.slice(1, -1).map(({ key }) => Number(key.slice(1)));
  assert.deepEqual(
    numbers,
    numbers.map((_, i) => count - numbers.length + i),
  );
});

test('a process that does not read at all costs the broker no more than its bounds', async (t) => {
  const { broker, client } = startPair(t, { maxItems: 0 });
  const script = `
    const watch = client.watch();
    watch.ready.then(() => tell('ready'));
    on.readTo = async (wanted) => {
      for (;;) {
        const { value } = await watch.next();
        if (value.type === wanted || value.key === wanted) return value.type;
      }
    };
  `;
  const worker = startWorker(t, broker, script);
  await worker.told();
  worker.signal('SIGSTOP');
  const writeAll = async () => {
    for (let round = 0; round < 20; round++) {
      const keys = Array.from({ length: 1000 }, (_, i) => `${round}.${i}`.padEnd(200, 'x'));
      await Promise.all(keys.map((key) => client.set(key, 1, TTL)));
      await Promise.all(keys.map((key) => client.del(key)));
    }
  };
  const before = (await client.stats()).memory;
  await writeAll();
  const grown = (await client.stats()).memory - before;
  assert.ok(grown < 512 * 1024, `${grown} bytes for 8 MB of events`);
  worker.signal('SIGCONT');
  assert.equal(await worker.ask('readTo', 'overflow'), 'overflow');
  // What came before the overflow was taken is left out.
  await client.set('last', 1, TTL);
  assert.equal(await worker.ask('readTo', 'last'), 'set');
});

test('close: done, and the broker forgets it', async (t) => {
  const { client } = startPair(t, { maxWaiters: 1 });
  const watch = client.watch('k');
  await watch.ready;
  const refused = client.watch('other');
  await assert.rejects(refused.ready, withCode('max_waiters', /^watch: /));
  await assert.rejects(refused.next(), withCode('max_waiters'));
  assert.deepEqual(await refused.next(), DONE);
  const waiting = [watch.next(), watch.next()];
  watch.close();
  watch.close();
  assert.deepEqual(await Promise.all(waiting), [DONE, DONE]);
  await client.set('k', 1, TTL);
  assert.deepEqual(await watch.next(), DONE);
  const next = await startWatch(t, client, 'k');
  await next.return();
  const early = client.watch('k');
  early.close();
  await assert.rejects(early.ready, withCode('invalid_request', /closed/));
  await (
    await startWatch(t, client, 'k')
  ).ready;
});

test('a signal ends it with its reason, once', async (t) => {
  const { client } = startPair(t);
  const controller = new AbortController();
  const watch = await startWatch(t, client, '', { signal: controller.signal });
  const witness = await startWatch(t, client);
  await client.set('k', 1, TTL);
  assert.equal((await witness.next()).value.key, 'k');
  const reason = new Error('enough');
  controller.abort(reason);
  assert.equal((await watch.next()).value.key, 'k', 'what has come can still be read');
  await assert.rejects(watch.next(), (error) => error === reason);
  assert.deepEqual(await watch.next(), DONE);
  for (const signal of [controller.signal, AbortSignal.abort(reason)]) {
    const never = client.watch('', { signal });
    await assert.rejects(never.ready, (error) => error === reason);
  }
  const asked = new AbortController();
  const hasty = client.watch('', { signal: asked.signal });
  asked.abort(reason);
  await assert.rejects(hasty.ready, (error) => error === reason);
  await assert.rejects(hasty.next(), (error) => error === reason);
});

test('the end of the broker ends it with broker_gone', async (t) => {
  const broker = startBroker(t);
  const client = startClient(t, broker);
  const watch = await startWatch(t, client);
  const ended = assert.rejects(watch.next(), withCode('broker_gone', /^watch: /));
  const idle = await startWatch(t, client, 'idle');
  await broker.stop({ drainMs: 0 });
  await ended;
  assert.deepEqual(await watch.next(), DONE);
  await assert.rejects(idle.next(), withCode('broker_gone', /^watch "idle": /));
});

test('a namespace sees its own keys by its own names', async (t) => {
  const { client } = startPair(t);
  const view = client.namespace('x');
  const watch = await startWatch(t, view, 'k');
  for (const key of ['k1', 'x:k2', 'x:j', 'x:k3']) await client.set(key, 1, TTL);
  assert.deepEqual(await take(watch, 2), [
    ['set', 'k2'],
    ['set', 'k3'],
  ]);
});

test('it keeps a process alive while its next event is waited for, and no longer', async (t) => {
  const { broker, client } = startPair(t);
  const idle = await runNode(
    `const { PipeClient } = require(ROOT);
     const watch = new PipeClient().watch();
     watch.ready.then(() => console.log('ready'));`,
    { env: broker.env() },
  );
  assert.deepEqual(idle, { status: 0, signal: null, stdout: 'ready\n', stderr: '' });
  const waiting = runNode(
    `const { PipeClient } = require(ROOT);
     const watch = new PipeClient().watch('k');
     watch.ready.then(() => new PipeClient().set('watching', 1, 60000));
     watch.next().then(({ value }) => console.log(value.type));`,
    { env: broker.env() },
  );
  await client.waitFor('watching');
  await client.set('k', 1, TTL);
  assert.deepEqual(await waiting, { status: 0, signal: null, stdout: 'set\n', stderr: '' });
  await until(async () => (await client.stats()).connections === 1, 'they are gone');
});

test('wrong arguments fail `ready`', async (t) => {
  const { client } = startPair(t);
  for (const [args, code] of [
    [[5], 'invalid_key'],
    [['k', { prefix: 'x' }], 'invalid_request'],
    [['k', { signal: 5 }], 'invalid_request'],
    [['k'.repeat(600)], 'invalid_key'],
  ]) {
    const watch = client.watch(...args);
    await assert.rejects(watch.ready, withCode(code, /^watch/));
    await assert.rejects(watch.next(), withCode(code, /^watch/));
  }
});

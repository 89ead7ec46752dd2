/** Compute once, wait for a value, meet at a barrier, share a rate limit: over connections and processes. */
'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const {
  PipeClient,
  SECRET,
  startClient,
  startPair,
  startStranger,
  startWorker,
  startBroker,
  until,
  untilWaiting,
  withCode,
} = require('../helpers/broker.js');
const { startProgram } = require('../helpers/program.js');
const { ClientCore } = require('../../lib/client/client_core.js');

const TTL = 60_000;

function startThree(t, options) {
  const { broker, client } = startPair(t, options);
  return { broker, client, stranger: startStranger(t, broker) };
}

/** A promise and what settles it. */
function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => {
    Object.assign(parts, { resolve, reject });
  });
  return parts;
}

/** A computation that has begun, and goes on when it is told to. */
function begin(client, key, options = {}) {
  const begun = deferred();
  const going = deferred();
  let calls = 0;
  const value = client.getOrSet(
    key,
    options.ttl ?? TTL,
    () => {
      calls++;
      begun.resolve();
      return going.promise;
    },
    options.rest,
  );
  value.catch(() => {});
  return {
    value,
    begun: begun.promise,
    finish: going.resolve,
    fail: going.reject,
    calls: () => calls,
  };
}

describe('getOrSet', () => {
  test('twenty processes: one computes, all get the value', async (t) => {
    const { broker, client } = startPair(t, { secret: SECRET });
    const script = `
      on.go = () => client.getOrSet('login', 60000, async () => {
        await client.incr('computed', 1, 60000);
        await new Promise((resolve) => setTimeout(resolve, 50));
        return { token: 'of ' + process.pid };
      });
      tell('ready');
    `;
    const workers = Array.from({ length: 20 }, () => startWorker(t, broker, script));
    await Promise.all(workers.map((worker) => worker.told()));
    const values = await Promise.all(workers.map((worker) => worker.ask('go')));
    assert.equal(await client.get('computed'), 1);
    for (const value of values) assert.deepEqual(value, values[0]);
    assert.deepEqual(await client.get('login'), values[0]);
    assert.ok((await client.ttl('login')) > 50_000);
  });

  test('kill -9 of the one that computes: the next one does, once', async (t) => {
    const { broker, client } = startPair(t);
    const script = `
      on.go = () => {
        client.getOrSet('login', 60000, () => {
          tell('computing');
          return process.env.FATE === 'hangs' ? new Promise(() => {}) : 'of ' + process.env.NAME;
        }).then((value) => tell({ value }));
      };
      tell('ready');
    `;
    const start = async (NAME, FATE) => {
      const worker = startWorker(t, broker, script, { env: { NAME, FATE } });
      await worker.told();
      await worker.ask('go').catch(() => {});
      return worker;
    };
    const hanging = startWorker(t, broker, script, { env: { NAME: 'a', FATE: 'hangs' } });
    assert.equal(await hanging.told(), 'ready');
    hanging.child.send(['go']);
    await until(async () => (await client.leases('login')).length === 1, 'it computes');
    const others = [];
    for (const name of ['b', 'c', 'd']) {
      others.push(await start(name, 'works'));
      await untilWaiting(client, 'login', others.length);
    }
    const killedAt = performance.now();
    hanging.signal('SIGKILL');
    const told = [await others[0].told()];
    t.diagnostic(`taken over after ${(performance.now() - killedAt).toFixed(1)} ms`);
    told.push(await others[0].told(), await others[1].told(), await others[2].told());
    assert.deepEqual(told, ['computing', { value: 'of b' }, { value: 'of b' }, { value: 'of b' }]);
  });

  test('of a broker that died meanwhile, nothing but the value is asked', async (t) => {
    const program = await startProgram(t);
    const client = new PipeClient(program.pipe, { timeout: 3_600_000, connectTimeout: 20 });
    const { ask } = ClientCore.prototype;
    const asked = [];
    t.mock.method(ClientCore.prototype, 'ask', function record(operation, ...rest) {
      asked.push(operation);
      return ask.call(this, operation, ...rest);
    });
    const compute = async () => {
      await program.kill();
      return 'late';
    };
    await assert.rejects(client.getOrSet('k', TTL, compute), withCode('broker_gone'));
    assert.deepEqual(asked, ['getOrSet', 'set'], 'a release would wait once more');
  });

  test('a value that is there is given, and nothing computed', async (t) => {
    const { client } = startThree(t);
    for (const value of [0, null, '', { a: 1 }, Buffer.from([1]), Buffer.alloc(0)]) {
      await client.set('k', value, TTL);
      assert.deepEqual(await client.getOrSet('k', TTL, () => assert.fail()), value);
    }
    const made = await client.getOrSet('bytes', TTL, () => Buffer.from('x'));
    assert.deepEqual(await client.getOrSet('bytes', TTL, () => assert.fail()), made);
  });

  test('two calls of one client are two callers', async (t) => {
    const { client } = startThree(t);
    const first = begin(client, 'k');
    await first.begun;
    const second = begin(client, 'k');
    await untilWaiting(client, 'k', 1);
    first.finish('value');
    assert.deepEqual(await Promise.all([first.value, second.value]), ['value', 'value']);
    assert.equal(second.calls(), 0);
  });

  test('the error of the function is for its caller; who waits gets compute_failed with its message', async (t) => {
    const { client, stranger } = startThree(t);
    const first = begin(client, 'k');
    await first.begun;
    const waiting = [begin(stranger, 'k'), begin(stranger, 'k')];
    await untilWaiting(client, 'k', 2);
    const failure = new TypeError(`no é ${'é'.repeat(1000)}`);
    first.fail(failure);
    await assert.rejects(first.value, (error) => error === failure);
    for (const { value } of waiting) {
      const error = await value.catch((caught) => caught);
      assert.ok(withCode('compute_failed', /^getOrSet "k": .*cause/)(error));
      assert.ok(error.cause instanceof Error);
      assert.equal(error.cause.message, failure.message.slice(0, 514), 'cut at a character');
    }
    assert.equal(await stranger.getOrSet('k', TTL, () => 'anew'), 'anew');
  });

  test('whatever is thrown is its caller’s, and ends the round of the others', async (t) => {
    const { client, stranger } = startThree(t);
    for (const thrown of [null, undefined, 0, 'text', '', { code: 7 }]) {
      const first = begin(client, 'k');
      await first.begun;
      const waiting = begin(stranger, 'k');
      await untilWaiting(client, 'k', 1);
      first.fail(thrown);
      const caught = await first.value.then(
        () => assert.fail(),
        (error) => ({ error }),
      );
      assert.equal(caught.error, thrown);
      const error = await waiting.value.catch((told) => told);
      assert.ok(withCode('compute_failed')(error));
      const told = thrown === 'text' ? thrown : 'It failed without a message.';
      assert.equal(error.cause.message, told);
    }
  });

  test('all callers get what is stored, the one who computed it as well', async (t) => {
    const { client, stranger } = startThree(t);
    const makers = {
      nothing: () => undefined,
      date: () => ({ at: new Date(0) }),
      absent: () => ({ a: 1, b: undefined }),
      json: () => ({ toJSON: () => [-0] }),
      bytes: () => new Uint8Array([1, 2]),
      number: () => -0,
    };
    for (const [key, make] of Object.entries(makers)) {
      const first = await client.getOrSet(key, TTL, make);
      for (const other of [client, stranger]) {
        assert.deepStrictEqual(await other.getOrSet(key, TTL, () => assert.fail()), first, key);
        assert.deepStrictEqual(await other.get(key), first, key);
      }
    }
  });

  test('a set-up that gives nothing runs once', async (t) => {
    const { client, stranger } = startThree(t);
    const first = begin(client, 'setup');
    await first.begun;
    const waiting = begin(stranger, 'setup');
    await untilWaiting(client, 'setup', 1);
    first.finish(undefined);
    assert.deepEqual(await Promise.all([first.value, waiting.value]), [undefined, undefined]);
    assert.equal(await stranger.getOrSet('setup', TTL, () => assert.fail()), undefined);
    assert.equal(await client.has('setup'), true);
    assert.equal((await client.getEntry('setup')).value, undefined);
  });

  test('what cannot be stored fails for all of that round', async (t) => {
    const { client, stranger } = startThree(t);
    const first = begin(client, 'k');
    await first.begun;
    const waiting = begin(stranger, 'k');
    await untilWaiting(client, 'k', 1);
    first.finish({ roles: [new Set()] });
    const told = /^getOrSet "k": .*\$\.roles\[0\]: a Set/;
    await assert.rejects(first.value, withCode('invalid_value', told));
    await assert.rejects(waiting.value, (error) => /roles\[0\]: a Set/.test(error.cause.message));
    const large = client.getOrSet('k', TTL, () => 'x'.repeat(300_000));
    await assert.rejects(large, withCode('too_large', /^getOrSet "k": /));
    await assert.rejects(
      client.getOrSet('k', null, () => 1),
      withCode('ttl_required'),
    );
    assert.deepEqual(await client.leases(), []);
  });

  test('who takes longer than computeTtlMs is passed over; its late value is not written', async (t) => {
    const { client, stranger } = startThree(t);
    const slow = begin(client, 'k', { rest: { computeTtlMs: 30 } });
    await slow.begun;
    const next = begin(stranger, 'k');
    await next.begun;
    slow.finish('late');
    await untilWaiting(stranger, 'k', 1);
    next.finish('in time');
    assert.equal(await next.value, 'in time');
    assert.equal(await slow.value, 'in time', 'the others have that one, too');
    assert.equal(await client.get('k'), 'in time');
  });

  test('passed over by one that fails, it writes what it computed, and computes no second time', async (t) => {
    const { client, stranger } = startThree(t);
    const slow = begin(client, 'k', { rest: { computeTtlMs: 30 } });
    await slow.begun;
    const controller = new AbortController();
    const next = begin(stranger, 'k', { rest: { signal: controller.signal } });
    await next.begun;
    slow.finish('late');
    await untilWaiting(stranger, 'k', 1);
    controller.abort();
    await assert.rejects(next.value, { name: 'AbortError' });
    assert.equal(await slow.value, 'late');
    assert.equal(slow.calls(), 1);
    assert.equal(await stranger.get('k'), 'late');
  });

  test('refresh ahead: one computes anew while the others get the old value', async (t) => {
    const { client, stranger } = startThree(t);
    await client.set('k', 'old', 50_000);
    const rest = { refreshAheadMs: 55_000 };
    assert.equal(
      await stranger.getOrSet('k', TTL, () => assert.fail(), { refreshAheadMs: 10 }),
      'old',
    );
    const refresher = begin(client, 'k', { rest });
    await refresher.begun;
    for (let i = 0; i < 3; i++) {
      assert.equal(await stranger.getOrSet('k', TTL, () => assert.fail(), rest), 'old');
    }
    refresher.finish('new');
    assert.equal(await refresher.value, 'new');
    assert.equal(await stranger.getOrSet('k', TTL, () => assert.fail(), rest), 'new');
    const failing = begin(client, 'k', { rest: { refreshAheadMs: 100_000 } });
    await failing.begun;
    failing.fail(new Error('no'));
    assert.equal(await failing.value, 'new', 'the old value is better than none');
    const again = begin(stranger, 'k', { rest: { refreshAheadMs: 100_000 } });
    await again.begun;
    again.finish('newer');
    assert.equal(await again.value, 'newer');
  });

  test('a set by somebody else ends the waiting; waitMs and signal end it, too', async (t) => {
    const { client, stranger } = startThree(t);
    const first = begin(client, 'k');
    await first.begun;
    const controller = new AbortController();
    const brief = stranger.getOrSet('k', TTL, () => assert.fail(), { waitMs: 20 });
    await assert.rejects(
      brief,
      withCode('wait_timeout', /^getOrSet "k": No worker had computed it within/),
    );
    const none = stranger.getOrSet('k', TTL, () => assert.fail(), { waitMs: 0 });
    await assert.rejects(none, withCode('lease_held', /^getOrSet "k": Another worker computes/));
    const aborted = begin(stranger, 'k', { rest: { signal: controller.signal } });
    const served = begin(stranger, 'k');
    await untilWaiting(client, 'k', 2);
    controller.abort('enough');
    await assert.rejects(aborted.value, (reason) => reason === 'enough');
    await stranger.set('k', 'given', TTL);
    assert.equal(await served.value, 'given');
    first.finish('own');
    assert.equal(await first.value, 'own');
    assert.equal(aborted.calls() + served.calls(), 0);
  });

  test('wrong arguments reject before anything is computed', async (t) => {
    const { client } = startThree(t);
    const wrong = [
      [['k', TTL], 'invalid_request'],
      [['k', TTL, 'value'], 'invalid_request'],
      [['k', TTL, () => 1, { ttl: 5 }], 'invalid_request'],
      [['k', TTL, () => 1, { waitMs: '5' }], 'invalid_request'],
      [['k', TTL, () => 1, { computeTtlMs: 0 }], 'invalid_ttl'],
      [['k', TTL, () => 1, { refreshAheadMs: NaN }], 'invalid_ttl'],
      [['k', 0, () => 1], 'invalid_ttl'],
      [['', TTL, () => 1], 'invalid_key'],
    ];
    for (const [args, code] of wrong) {
      await assert.rejects(client.getOrSet(...args), withCode(code, /^getOrSet/));
    }
    await client.pool('pool', [1]);
    await assert.rejects(
      client.getOrSet('pool', TTL, () => 1),
      withCode('kind_mismatch', /^getOrSet "pool"/),
    );
  });
});

describe('waitFor', () => {
  test('resolves at once when there is a value, else as soon as there is one', async (t) => {
    const { client, stranger } = startThree(t, { secret: SECRET });
    await client.set('there', { a: 1 }, TTL);
    assert.deepEqual(await client.waitFor('there'), { a: 1 });
    const waiting = [stranger.waitFor('later'), client.waitFor('later')];
    const counted = stranger.waitFor('count', { timeoutMs: 60_000 });
    await client.set('other', 1, TTL);
    await client.set('later', 'now', TTL);
    assert.deepEqual(await Promise.all(waiting), ['now', 'now']);
    await client.incr('count', 5, TTL);
    assert.equal(await counted, 5);
  });

  test('wait_timeout, abort, and a key that was never free', async (t) => {
    const { client } = startThree(t);
    const start = performance.now();
    await assert.rejects(
      client.waitFor('k', { timeoutMs: 30 }),
      withCode('wait_timeout', /^waitFor "k": It had no value within 30 ms/),
    );
    assert.ok(performance.now() - start >= 29);
    await assert.rejects(client.waitFor('k', { timeoutMs: 0 }), withCode('wait_timeout'));
    await assert.rejects(client.waitFor('k', { signal: AbortSignal.abort() }), {
      name: 'AbortError',
    });
    await assert.rejects(client.waitFor('k', { waitMs: 5 }), withCode('invalid_request', /waitMs/));
  });

  test('a process that waits lives; its wait ends with it', async (t) => {
    const { broker, client } = startPair(t);
    const waiter = startWorker(
      t,
      broker,
      `client.waitFor('k').then((value) => tell(value));
      tell('asked');`,
    );
    await waiter.told();
    await client.set('k', 'came', TTL);
    assert.equal(await waiter.told(), 'came');
  });
});

describe('barrier', () => {
  test('lets n pass together, in the order they came, round after round', async (t) => {
    const { client, stranger } = startThree(t);
    for (let round = 0; round < 3; round++) {
      const passed = [];
      const first = client.barrier('start', 3).then((order) => passed.push(order));
      const second = stranger.barrier('start', 3).then((order) => passed.push(order));
      await Promise.all([client.ping(), stranger.ping()]);
      assert.deepEqual(passed, []);
      passed.push(await client.barrier('start', 3));
      await Promise.all([first, second]);
      assert.deepEqual(passed.sort(), [0, 1, 2]);
    }
    assert.equal(await client.barrier('alone', 1), 0);
  });

  test('who gives up has not arrived; another n is refused', async (t) => {
    const { client, stranger } = startThree(t);
    await assert.rejects(
      client.barrier('start', 2, { timeoutMs: 20 }),
      withCode('wait_timeout', /^barrier "start": .* 20 ms/),
    );
    const controller = new AbortController();
    const aborted = client.barrier('start', 2, { signal: controller.signal });
    await client.ping();
    controller.abort();
    await assert.rejects(aborted, { name: 'AbortError' });
    const first = client.barrier('start', 2);
    await client.ping();
    await assert.rejects(
      stranger.barrier('start', 3),
      withCode('kind_mismatch', /^barrier "start": .*number/),
    );
    assert.equal(await stranger.barrier('start', 2), 1);
    assert.equal(await first, 0);
    for (const n of [0, -1, 1.5, '2', 100_001]) {
      await assert.rejects(client.barrier('start', n), withCode('invalid_request'), String(n));
    }
  });

  test('a worker that dies has not arrived', async (t) => {
    const { broker, client } = startPair(t);
    const worker = startWorker(t, broker, `client.barrier('start', 2); client.ping().then(tell);`);
    await worker.told();
    await worker.kill();
    await until(async () => (await client.stats()).connections === 1, 'its connection is closed');
    const mine = client.barrier('start', 2, { timeoutMs: 20 });
    await assert.rejects(mine, withCode('wait_timeout'));
  });
});

describe('throttle', () => {
  test('a burst, then evenly; what is refused says when', async (t) => {
    const { client, stranger } = startThree(t);
    const options = { limit: 2, periodMs: 1_000_000, burst: 3 };
    const verdicts = [];
    for (const who of [client, stranger, client]) verdicts.push(await who.throttle('api', options));
    assert.deepEqual(
      verdicts.map(({ allowed, remaining, retryAfterMs }) => [allowed, remaining, retryAfterMs]),
      [
        [true, 2, 0],
        [true, 1, 0],
        [true, 0, 0],
      ],
    );
    const refused = await stranger.throttle('api', options);
    assert.deepEqual([refused.allowed, refused.remaining], [false, 0]);
    assert.ok(refused.retryAfterMs > 490_000 && refused.retryAfterMs <= 500_000);
    assert.ok(refused.resetAfterMs > 1_490_000 && refused.resetAfterMs <= 1_500_000);
    const looked = await client.throttle('api', { ...options, cost: 0 });
    assert.equal(looked.allowed, true);
    const never = withCode('invalid_request', /cost is more than burst/);
    await assert.rejects(client.throttle('api', { ...options, cost: 4 }), never);
    assert.equal((await client.namespace('x').throttle('api', options)).allowed, true);
    assert.equal((await client.throttle('other', options)).remaining, 2);
  });

  test('exact over four processes: never one more than the limit', async (t) => {
    const { broker, client } = startPair(t);
    const script = `
      on.go = async () => {
        const calls = Array.from({ length: 100 }, () =>
          client.throttle('api', { limit: 150, periodMs: 10_000_000 }));
        return (await Promise.all(calls)).filter(({ allowed }) => allowed).length;
      };
      tell('ready');
    `;
    const workers = Array.from({ length: 4 }, () => startWorker(t, broker, script));
    await Promise.all(workers.map((worker) => worker.told()));
    const counts = await Promise.all(workers.map((worker) => worker.ask('go')));
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      150,
    );
    assert.equal(
      (await client.throttle('api', { limit: 150, periodMs: 10_000_000 })).allowed,
      false,
    );
  });

  test('with waitMs, all come in order of arrival, and none asks twice', async (t) => {
    const { client, stranger } = startThree(t);
    const options = { limit: 100, periodMs: '1s', burst: 1, waitMs: '30s' };
    const order = [];
    const asked = Array.from({ length: 40 }, (_, i) =>
      [client, stranger][i % 2].throttle('api', options).then(() => order.push(i)),
    );
    const hasty = await stranger.throttle('api', { ...options, waitMs: 0 });
    assert.equal(hasty.allowed, false);
    const late = stranger.throttle('api', { ...options, waitMs: 1 });
    await assert.rejects(late, withCode('wait_timeout', /^throttle "api": .* 1 ms/));
    const signal = AbortSignal.abort(new Error('gave up'));
    await assert.rejects(client.throttle('api', { ...options, signal }), /gave up/);
    const begun = performance.now();
    await Promise.all(asked);
    assert.ok(performance.now() - begun > 300, 'one in 10 ms');
    const mine = order.filter((i) => i % 2 === 0);
    assert.deepEqual(mine, mine.toSorted?.((a, b) => a - b) ?? mine);
    assert.equal(order.length, 40);
    assert.equal((await client.stats()).waiting, 0);
  });

  test('a throttle that waits ends with its client, and with the broker', async (t) => {
    const broker = startBroker(t);
    const client = startClient(t, broker);
    const options = { limit: 1, periodMs: '1h', waitMs: Infinity };
    await client.throttle('api', options);
    const controller = new AbortController();
    const aborted = client.throttle('api', { ...options, signal: controller.signal });
    const drained = client.throttle('api', options);
    await until(async () => (await client.stats()).waiting === 2);
    controller.abort(new Error('enough'));
    await assert.rejects(aborted, /enough/);
    await until(async () => (await client.stats()).waiting === 1);
    const ended = assert.rejects(drained, (error) => /draining|broker_gone/.test(error.code));
    await broker.stop();
    await ended;
  });

  test('who waits for retryAfterMs gets its turn, and not more than there are', async (t) => {
    const { client } = startThree(t);
    const options = { limit: 1, periodMs: 30 };
    const start = performance.now();
    for (let taken = 0; taken < 6;) {
      const { allowed, retryAfterMs } = await client.throttle('api', options);
      if (allowed) {
        taken++;
        continue;
      }
      assert.ok(retryAfterMs >= 1 && retryAfterMs <= 30, String(retryAfterMs));
      await new Promise((resolve) => {
        setTimeout(resolve, retryAfterMs);
      });
    }
    assert.ok(performance.now() - start >= 5 * 30 - 1, 'one at once, the others 30 ms apart');
  });

  test('retryAfterMs is finite at the bounds, and beyond them the call is refused', async (t) => {
    const { client } = startThree(t);
    const year = { limit: 1, periodMs: '365d', burst: 100_000, cost: 100_000 };
    assert.equal((await client.throttle('year', year)).allowed, true);
    const { allowed, retryAfterMs, resetAfterMs } = await client.throttle('year', year);
    assert.equal(allowed, false);
    for (const ms of [retryAfterMs, resetAfterMs]) {
      assert.ok(Number.isSafeInteger(ms) && ms > 365 * 86_400_000 * 99_999, String(ms));
    }
    const endless = { ...year, burst: 1_000_000 };
    const untold = withCode('invalid_request', /no reply could tell such a time/);
    await assert.rejects(client.throttle('endless', endless), untold);
    for (const periodMs of ['366d', 2 ** 53 - 1]) {
      const refused = withCode('invalid_request', /periodMs is at most 365 days/);
      await assert.rejects(client.throttle('long', { limit: 1, periodMs }), refused);
    }
    for (const more of [
      { periodMs: Infinity },
      { periodMs: 2 ** 53 },
      { cost: 2 },
      { waitMs: 2 ** 60 },
    ]) {
      const asked = client.throttle('far', { limit: 1, periodMs: 1000, ...more });
      await assert.rejects(asked, withCode('invalid_request'));
    }
    const late = client.throttle('year', { ...year, waitMs: 1000 });
    await assert.rejects(late, withCode('wait_timeout', /Its turn would not come within/));
  });

  test('wrong arguments', async (t) => {
    const { client } = startThree(t);
    const wrong = [
      undefined,
      {},
      { limit: 5 },
      { periodMs: 5 },
      { limit: 0, periodMs: 5 },
      { limit: 5, periodMs: 0 },
      { limit: 5, periodMs: 5, burst: 0 },
      { limit: 5, periodMs: 5, cost: -1 },
      { limit: 1_000_001, periodMs: 5 },
      { limit: 5, periodMs: 5, waitMs: '5' },
      { limit: 5, periodMs: 5, cost: 6 },
      { limit: 5, periodMs: 5, timeoutMs: 5 },
    ];
    for (const options of wrong) {
      await assert.rejects(
        client.throttle('api', options),
        withCode('invalid_request', /^throttle/),
      );
    }
  });
});

test('what one client computes, waits and counts in a namespace is under its prefix', async (t) => {
  const { broker, client } = startPair(t);
  const view = client.namespace('x');
  const other = startClient(t, broker);
  const waiting = view.waitFor('k');
  await view.getOrSet('k', TTL, () => 5);
  assert.equal(await waiting, 5);
  assert.equal(await other.get('x:k'), 5);
  const meeting = view.barrier('b', 2);
  assert.equal(await other.barrier('x:b', 2), 1);
  assert.equal(await meeting, 0);
});

test('a number above what the broker takes is refused by its name and bound', async (t) => {
  const { client } = startPair(t);
  await client.limit('turns', 1);
  await client.limit('most', 1_000_000);
  assert.equal((await client.throttle('t', { limit: 1_000_000, periodMs: 1000 })).allowed, true);
  const refused = (work, name, most) =>
    assert.rejects(work, (error) => {
      assert.equal(error.code, 'invalid_request');
      assert.match(
        error.message,
        new RegExp(`: ${name} takes a whole number of at most ${most}, `),
      );
      return true;
    });
  await refused(client.acquire('turns', { count: 10_001 }), 'count', 10_000);
  await refused(client.limit('more', 1_000_001), 'n', 1_000_000);
  await refused(client.barrier('meet', 100_001), 'n', 100_000);
  await refused(client.throttle('t', { limit: 1_000_001, periodMs: 1000 }), 'limit', 1_000_000);
  const burst = { limit: 1, burst: 1_000_001, periodMs: 1000 };
  await refused(client.throttle('t', burst), 'burst', 1_000_000);
});

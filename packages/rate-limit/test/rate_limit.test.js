/** RateLimiter against rate-limiter-flexible's own memory limiter, and the limits over several processes. */
'use strict';

const assert = require('node:assert/strict');
const { fork } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const { after, test } = require('node:test');
const { setImmediate, setTimeout } = require('node:timers/promises');

const flexible = require('rate-limiter-flexible');

const { RateLimiter, RateLimiterRes, Scheduler } = require('../index.js');
const { Broker, BrokerError } = require('../../../lib/index.js');
const { dice: diceOf } = require('../../../test/helpers/dice.js');

const broker = new Broker({ secret: 'auto' });
broker.startSync();
const client = broker.client();
after(() => broker.stop());

const LONG_S = 600;
let names = 0;
const fresh = () => `test${++names}`;
const limiter = (options) =>
  new RateLimiter({ duration: LONG_S, client, keyPrefix: fresh(), ...options });
const settled = (call) =>
  call.then(
    (res) => ({ res }),
    (rej) => ({ rej }),
  );

function worker(name, ...args) {
  const file = path.join(__dirname, 'worker.js');
  return fork(file, [name, ...args.map(String)], { env: { ...process.env, ...broker.env() } });
}

test('random histories have the results of rate-limiter-flexible', async (t) => {
  const dice = diceOf(t);
  // `isFirstInDuration` is left out: theirs knows whether a record is new, ours infers it.
  const counts = ({ remainingPoints, consumedPoints, msBeforeNext }) => ({
    remainingPoints,
    consumedPoints,
    isEndless: msBeforeNext === -1,
  });
  const outcome = async (call) => {
    const { res, rej } = await settled(call);
    if (rej instanceof Error) throw rej;
    if (rej !== undefined) return { refused: counts(rej) };
    return typeof res === 'object' && res !== null ? counts(res) : res;
  };
  for (let round = 0; round < 30; round++) {
    const options = {
      points: dice.below(6),
      duration: dice.oneIn(3) ? 0 : LONG_S,
      blockDuration: dice.oneIn(3) ? 2 * LONG_S : 0,
      keyPrefix: fresh(),
    };
    const both = [new RateLimiter({ ...options, client }), new flexible.RateLimiterMemory(options)];
    for (let step = 0; step < 30; step++) {
      const key = `key${dice.below(2)}`;
      const points = 1 + dice.below(3);
      const seconds = dice.below(2) * LONG_S;
      const custom = dice.oneIn(4) ? { customDuration: seconds } : {};
      const calls = {
        consume: (each) => each.consume(key, points, custom),
        again: (each) => each.consume(key),
        penalty: (each) => each.penalty(key, points, custom),
        reward: (each) => each.reward(key, points),
        get: (each) => each.get(key),
        set: (each) => each.set(key, points, seconds),
        block: (each) => each.block(key, seconds),
        delete: (each) => each.delete(key),
      };
      const name = dice.pick(Object.keys(calls));
      const [ours, theirs] = await Promise.all(both.map((each) => outcome(calls[name](each))));
      assert.deepEqual(ours, theirs, `round ${round}, step ${step}: ${name}`);
    }
  }
});

test('the first call of a window is known, and the window ends', async () => {
  const limited = limiter({ points: 2, duration: 0.2 });
  const first = await limited.consume('k');
  assert.equal(first.isFirstInDuration, true);
  assert.ok(first.msBeforeNext > 0 && first.msBeforeNext <= 200);
  let refusals = 0;
  for (;;) {
    const { res, rej } = await settled(limited.consume('k'));
    if (rej !== undefined) {
      refusals += 1;
      assert.ok(!(rej instanceof Error));
      await setTimeout(rej.msBeforeNext);
    } else if (refusals > 0) {
      assert.deepEqual([res.isFirstInDuration, res.consumedPoints], [true, 1]);
      return;
    }
  }
});

test('points that are no integers, and options that are not ours, are refused', async () => {
  const limited = limiter({ points: 2 });
  const decimal = {
    message: 'Consuming decimal number of points is not supported by this package',
  };
  for (const name of ['consume', 'penalty', 'reward', 'wait']) {
    await assert.rejects(limited[name]('k', 0.5), decimal);
  }
  assert.equal(await limited.get('k'), null);
  assert.throws(() => limiter({ points: 1, storeClient: {} }), {
    code: 'invalid_request',
    message: /^RateLimiter has no option "storeClient"\. Options: points, duration, /,
  });
  assert.throws(() => limiter({ points: '1' }), /points must be set and must be a finite number/);
  assert.throws(() => limiter({ points: 1, duration: -1 }), /duration must be set/);
  await client.set(limited.getKey('text'), 'text', 60_000);
  await assert.rejects(limited.consume('text'), { code: 'not_a_number' });
  await assert.rejects(limited.get('text'), { code: 'not_a_number' });
  assert.equal(limited.parseKey(limited.getKey('k')), 'k');
});

test("rate-limiter-flexible's Union, Queue and wrappers take it", async () => {
  const one = limiter({ points: 1 });
  const three = limiter({ points: 3 });
  assert.ok(one instanceof flexible.RateLimiterCompatibleAbstract);
  assert.equal(RateLimiterRes, flexible.RateLimiterRes);
  const union = new flexible.RateLimiterUnion(one, three);
  assert.equal((await union.consume('k'))[three.keyPrefix].remainingPoints, 2);
  const { rej } = await settled(union.consume('k'));
  assert.ok(rej[one.keyPrefix] instanceof RateLimiterRes);

  const listed = new flexible.RLWrapperBlackAndWhite({
    limiter: one,
    whiteList: ['k'],
    blackList: ['b'],
  });
  assert.equal((await listed.consume('k')).remainingPoints, Number.MAX_SAFE_INTEGER);
  assert.equal((await settled(listed.consume('b'))).rej.msBeforeNext, Number.MAX_SAFE_INTEGER);

  const timed = new flexible.RLWrapperTimeouts({
    limiter: three,
    timeoutMs: 60_000,
    points: 3,
    duration: 1,
  });
  assert.equal((await timed.consume('other', 2)).remainingPoints, 1);

  const queue = new flexible.RateLimiterQueue(limiter({ points: 1, duration: 0.05 }));
  assert.deepEqual(await Promise.all([1, 2, 3].map(() => queue.removeTokens(1))), [0, 0, 0]);
});

test('without a broker a call rejects with broker_gone', async () => {
  const { EPHEMERAL_PIPE } = process.env;
  delete process.env.EPHEMERAL_PIPE;
  try {
    const lost = new RateLimiter({ points: 1, duration: 1 });
    await assert.rejects(lost.consume('k'), (error) => {
      return error instanceof BrokerError && error.code === 'broker_gone';
    });
  } finally {
    if (EPHEMERAL_PIPE !== undefined) process.env.EPHEMERAL_PIPE = EPHEMERAL_PIPE;
  }
});

test('four processes together get exactly the points', async () => {
  const workers = [1, 2, 3, 4].map(() => worker('consume', 1000, 1500));
  const granted = await Promise.all(
    workers.map(async (each) => {
      const [message] = await once(each, 'message');
      return message.granted;
    }),
  );
  assert.equal(
    granted.reduce((a, b) => a + b),
    1500,
  );
  const all = await limiter({ points: 1500, keyPrefix: 'consume' }).get('k');
  assert.equal(all.consumedPoints, 4000);
});

test('wait takes turns: a window never has more than its points', async () => {
  const limited = limiter({ points: 2, duration: 0.05 });
  const order = [];
  const began = performance.now();
  await Promise.all(
    [0, 1, 2, 3, 4].map(async (number) => {
      const res = await limited.wait('k');
      assert.ok(res.consumedPoints <= 2);
      order.push(number);
    }),
  );
  assert.deepEqual(order, [0, 1, 2, 3, 4]);
  assert.ok(performance.now() - began >= 100, 'the fifth point is in the third window');
});

test('wait ends by waitMs, by its signal, and when it never could be granted', async () => {
  const limited = limiter({ points: 1 });
  await limited.consume('k');
  await assert.rejects(limited.wait('k', 1, { waitMs: 10 }), { code: 'wait_timeout' });
  const controller = new AbortController();
  const waiting = [1, 2].map(() =>
    assert.rejects(limited.wait('k', 1, { signal: controller.signal }), /enough/),
  );
  controller.abort(new Error('enough'));
  await Promise.all(waiting);
  await assert.rejects(limited.wait('k', 2), {
    code: 'invalid_request',
    message: /has only 1 points/,
  });
  const endless = limiter({ points: 1, duration: 0 });
  await endless.wait('k');
  const { rej } = await settled(endless.wait('k'));
  assert.deepEqual([rej.constructor, rej.msBeforeNext], [RateLimiterRes, -1]);
  assert.deepEqual(await client.leases(), []);
});

test('a process that is killed while it waits gives its turn to the next', async () => {
  const key = 'turns:k';
  await client.set(key, 1, 60_000);
  const holder = worker('wait');
  while (!(await client.leases()).some(({ state }) => state === 'held'));
  const next = limiter({ points: 1, keyPrefix: 'turns' }).wait('k');
  while ((await client.leases()).length < 2);
  await client.del(key);
  holder.kill('SIGKILL');
  assert.equal((await next).consumedPoints, 1);
});

test('maxConcurrent holds over processes, and a killed one frees its slot', async () => {
  const id = fresh();
  const jobs = new Scheduler({ id, maxConcurrent: 2, client });
  const holder = worker('hold', id, 2);
  await once(holder, 'message');
  const order = [];
  const running = [1, 2, 3].map((number) => jobs.schedule((value) => order.push(value), number));
  while ((await jobs.counts()).queued !== 3);
  assert.equal((await jobs.counts()).running, 2);
  assert.deepEqual(order, []);
  holder.kill('SIGKILL');
  await Promise.all(running);
  assert.deepEqual(order, [1, 2, 3]);
  assert.deepEqual(await jobs.counts(), { running: 0, queued: 0 });
  const other = new Scheduler({ id, maxConcurrent: 3, client });
  await assert.rejects(
    other.schedule(() => {}),
    { code: 'conflict' },
  );
});

test('weights, results and errors of jobs', async () => {
  const jobs = new Scheduler({ id: fresh(), maxConcurrent: 3, client });
  let running = 0;
  let most = 0;
  const heavy = async () => {
    running += 2;
    most = Math.max(most, running);
    await setImmediate();
    running -= 2;
  };
  await Promise.all([1, 2, 3].map(() => jobs.schedule({ weight: 2 }, heavy)));
  assert.equal(most, 2);
  assert.equal(await jobs.wrap((a, b) => a + b)(2, 3), 5);
  await assert.rejects(
    jobs.schedule(() => {
      throw new Error('of the job');
    }),
    /of the job/,
  );
  await assert.rejects(
    jobs.schedule({ weight: 4 }, () => {}),
    { code: 'conflict', message: /never fits/ },
  );
  await assert.rejects(
    jobs.schedule({ priority: 1 }, () => {}),
    { code: 'invalid_request', message: /"priority"/ },
  );
  await assert.rejects(jobs.schedule({}), { code: 'invalid_request' });
});

test('expiration frees the slot, a signal leaves the queue, stop ends it', async () => {
  const jobs = new Scheduler({ id: fresh(), maxConcurrent: 1, client });
  const forever = jobs.schedule({ expiration: 20 }, () => new Promise(() => {}));
  await assert.rejects(forever, { code: 'timeout', message: /timed out after 20 ms/ });
  let finish;
  const held = jobs.schedule(() => new Promise((resolve) => void (finish = resolve)));
  while (finish === undefined) await jobs.counts();
  const controller = new AbortController();
  const left = assert.rejects(
    jobs.schedule({ signal: controller.signal }, () => {}),
    /enough/,
  );
  controller.abort(new Error('enough'));
  await left;
  const dropped = assert.rejects(
    jobs.schedule(() => {}),
    { code: 'draining' },
  );
  const stopped = jobs.stop();
  await dropped;
  await assert.rejects(
    jobs.schedule(() => {}),
    { code: 'draining', message: /has been stopped/ },
  );
  finish('done');
  assert.equal(await held, 'done');
  await stopped;
  await jobs.stop();
});

test('minTime keeps its distance over two schedulers', async () => {
  const id = fresh();
  const both = [1, 2].map(() => new Scheduler({ id, minTime: 20, client }));
  const began = performance.now();
  await Promise.all([0, 1, 2, 3, 4, 5].map((number) => both[number % 2].schedule(() => {})));
  assert.ok(performance.now() - began >= 99);
});

test('a reservoir has its first amount, then the other, and may end', async () => {
  const refilled = new Scheduler({
    id: fresh(),
    reservoir: 1,
    reservoirRefreshAmount: 2,
    reservoirRefreshInterval: 50,
    client,
  });
  const times = [];
  // The window begins later, so a slow machine only adds to the time from here on.
  const began = performance.now();
  await Promise.all([1, 2, 3].map(() => refilled.schedule(() => times.push(performance.now()))));
  assert.ok(times[1] - began >= 45, 'the second job waits for the first refill');
  const once2 = new Scheduler({ id: fresh(), reservoir: 2, client });
  await Promise.all([1, 2].map(() => once2.schedule(() => {})));
  await assert.rejects(
    once2.schedule(() => {}),
    { code: 'conflict', message: /nothing refills it/ },
  );
  assert.throws(
    () => new Scheduler({ id: 'x', reservoirRefreshAmount: 1, client }),
    /need each other/,
  );
  assert.throws(() => new Scheduler({ id: '' }), { code: 'invalid_request' });
  assert.throws(
    () => new Scheduler({ id: 'x', maxConcurrent: 0 }),
    /maxConcurrent is an integer from 1/,
  );
});

/** A wait that takes long is seen: by warnings, and in errors. */
'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const { notice } = require('../../lib/client/wait_notice.js');
const { startPair, startStranger, until, untilWaiting, withCode } = require('../helpers/broker.js');
const { dice } = require('../helpers/dice.js');

const TTL = 60_000;
const SOON = { waitNoticeMs: 20 };

/** The texts of warnings of this kind from now on. */
function warnings(t) {
  const texts = [];
  const onWarning = ({ code, message }) => code === 'EPB_WAIT' && texts.push(message);
  process.on('warning', onWarning);
  t.after(() => process.off('warning', onWarning));
  return texts;
}

const seen = (texts, pattern) =>
  until(() => texts.find((text) => pattern.test(text)), `${pattern} among ${texts}`);

describe('a warning', () => {
  test('says who waits for what, who holds it since when, and the place in the queue', async (t) => {
    const texts = warnings(t);
    const { broker, client } = startPair(t);
    const one = startStranger(t, broker, { workerId: 'one' });
    const two = startStranger(t, broker, { workerId: 'two' });
    const held = await one.acquireLock('deploy');
    const first = one.acquireLock('deploy', { workerId: 'first', waitNoticeMs: 0 });
    await untilWaiting(client, 'deploy', 1);
    const second = two.lock('deploy', SOON, () => 'in');
    const text = await seen(texts, /^lock "deploy" by worker "two" has waited for \d+ ms\./);
    assert.match(text, new RegExp(`It is held by worker "one" \\(pid ${process.pid}\\) for `));
    assert.match(text, /2 requests wait for it; this one is number 2\./);
    await held.release();
    await (await first).release();
    assert.equal(await second, 'in');
  });

  test('names a cycle through leases of no flow', async (t) => {
    const texts = warnings(t);
    const { broker, client } = startPair(t);
    const one = startStranger(t, broker, { workerId: 'one' });
    const two = startStranger(t, broker, { workerId: 'two' });
    await client.pool('a', [1]);
    const a = await one.acquire('a');
    const b = await two.acquireLock('b');
    const first = one.acquireLock('b', { waitNoticeMs: 0 });
    await untilWaiting(client, 'b', 1);
    const second = two.acquire('a', SOON);
    const text = await seen(texts, /They wait for each other/);
    assert.match(
      text,
      /worker "two" .*holds "b" and waits for "a"; worker "one" .*holds "a" and waits for "b"/,
    );
    await a.release();
    await (await second).release();
    await b.release();
    await (await first).release();
  });

  test('names no cycle where a holder of another element runs', async (t) => {
    const texts = warnings(t);
    const { client } = startPair(t);
    await client.pool('a', [1, 2]);
    const held = [
      await client.acquire('a', { workerId: 'w' }),
      await client.acquire('a', { workerId: 'x' }),
    ];
    const waits = client.acquire('a', { workerId: 'w', ...SOON });
    assert.doesNotMatch(await seen(texts, /acquire "a"/), /each other/);
    await Promise.all(held.map((one) => one.release()));
    await (await waits).release();
  });

  test('says who computes, and comes for values and meetings, too', async (t) => {
    const texts = warnings(t);
    const { broker, client } = startPair(t);
    const other = startStranger(t, broker, { workerId: 'slow' });
    let finish;
    const finished = new Promise((resolve) => {
      finish = resolve;
    });
    let begun = false;
    const computed = other.getOrSet('k', TTL, () => {
      begun = true;
      return finished;
    });
    await until(() => begun, 'it computes');
    const waits = [client.getOrSet('k', TTL, () => 'mine', SOON), client.waitFor('k', SOON)];
    assert.match(await seen(texts, /^getOrSet "k"/), /It is computed by worker "slow" /);
    assert.match(await seen(texts, /^waitFor "k"/), /It is computed by worker "slow" /);
    finish('value');
    assert.deepEqual(await Promise.all([computed, ...waits]), ['value', 'value', 'value']);
    const meeting = client.barrier('m', 2, SOON);
    await seen(texts, /^barrier "m" has waited for/);
    await other.barrier('m', 2);
    await meeting;
  });

  test('comes three times, and with 0 or Infinity never', async (t) => {
    const texts = warnings(t);
    const { broker } = startPair(t);
    const client = startStranger(t, broker, { waitNoticeMs: 5 });
    const three = client.waitFor('k');
    const silent = startStranger(t, broker, { waitNoticeMs: Infinity });
    const never = Promise.all([
      client.waitFor('silent', { waitNoticeMs: 0 }),
      client.waitFor('silent', { waitNoticeMs: Infinity }),
      silent.waitFor('silent'),
    ]);
    await until(() => texts.length === 3, 'three warnings');
    await client.set('k', 1, TTL);
    await client.set('silent', 1, TTL);
    await Promise.all([three, never]);
    assert.ok(texts.every((text) => text.startsWith('waitFor "k"')));
  });
});

describe('an error', () => {
  test('that nothing is free names the holders', async (t) => {
    const { broker, client } = startPair(t);
    const one = startStranger(t, broker, { workerId: 'one' });
    await client.pool('p', ['secret-element']);
    const held = await one.acquire('p');
    await assert.rejects(client.acquire('p', { waitMs: 0 }), (error) => {
      assert.ok(withCode('lease_held', /It is held by worker "one" \(pid \d+\) for \d+/)(error));
      const [{ heldMs, since, ...holder }] = error.holders;
      assert.ok(heldMs >= 0 && since <= Date.now());
      assert.equal(error.waiting, 0);
      assert.ok(!JSON.stringify(error).includes('secret-element'));
      assert.deepEqual(holder, {
        key: 'p',
        kind: 'pool',
        workerId: 'one',
        pid: process.pid,
        session: holder.session,
        shared: false,
        token: held.token,
      });
      return true;
    });
    await held.release();
  });

  test('that the time is over has the place in the queue', async (t) => {
    const { broker, client } = startPair(t);
    const one = startStranger(t, broker, { workerId: 'one' });
    const held = await one.acquireLock('l');
    const first = one.acquireLock('l', { workerId: 'first' });
    await untilWaiting(client, 'l', 1);
    await assert.rejects(
      client.lock('l', { waitMs: 5 }, () => 1),
      (error) => {
        assert.ok(withCode('wait_timeout', /It is held by worker "one"/)(error));
        assert.deepEqual([error.place, error.waiting, error.holders.length], [2, 1, 1]);
        return true;
      },
    );
    await held.release();
    await (await first).release();
  });

  test('of a semaphore counts those that it does not name', async (t) => {
    const { client } = startPair(t);
    await client.limit('s', 10);
    const held = await Promise.all(
      Array.from({ length: 10 }, (_, i) => client.acquire('s', { workerId: `w${i}` })),
    );
    await assert.rejects(client.acquire('s', { waitMs: 0 }), (error) => {
      assert.equal(error.holders.length, 8);
      assert.match(error.message, / and 2 others\./);
      return true;
    });
    await Promise.all(held.map((one) => one.release()));
  });
});

describe('the cycle of a warning', () => {
  const LISTS = 3000;
  const OURS = 1;
  const OPERATIONS = { pool: 'acquire', lock: 'acquireLock' };
  const thing = ({ kind, key }) => `${kind} ${key}`;
  const sameThing = (line) => (other) => thing(other) === thing(line);
  const who = ({ pid, workerId }) => `${workerId} ${pid}`;

  /** Lines of `leases` as they may come: of a session or, rarely, of none. */
  function lineOf(state, { below, oneIn, pick }) {
    const session = oneIn(20) ? null : pick([OURS, OURS, OURS, OURS, 2]);
    return {
      state,
      kind: pick(['pool', 'lock']),
      key: `k${below(2)}`,
      workerId: `w${below(3)}`,
      session,
      pid: session === null ? null : 1000 + session,
      since: 0,
    };
  }

  /** By definition: the largest set of waits each of which waits only for holders that wait in it. */
  function stuckOf(waiting, held) {
    const stuck = new Set();
    for (let bits = 0; bits < 2 ** waiting.length; bits++) {
      const set = waiting.filter((_, i) => (bits >> i) % 2 === 1);
      const isIn = (holder) => set.some((line) => who(line) === who(holder));
      const waitsInSet = (line) => {
        const holders = held.filter((other) => thing(other) === thing(line));
        return line.session !== null && holders.length > 0 && holders.every(isIn);
      };
      if (set.every(waitsInSet)) set.forEach((line) => stuck.add(line));
    }
    return [...stuck];
  }

  /** Over how many holders the wait comes back to its own; 0: it doesn't. */
  function stepsBack(mine, waiting, held) {
    const stuck = stuckOf(waiting, held);
    let lines = stuck.filter((line) => line === mine);
    for (let steps = 1; steps <= held.length; steps++) {
      const things = lines.map(thing);
      const holders = held.filter((line) => things.includes(thing(line))).map(who);
      if (holders.includes(who(mine))) return steps;
      lines = stuck.filter((line) => holders.includes(who(line)));
    }
    return 0;
  }

  /** The warning of that wait, when the broker tells these lines. */
  async function warningOf(mine, lines, texts) {
    const call = { operation: OPERATIONS[mine.kind], key: mine.key, workerId: mine.workerId };
    const connection = { actions: { leases: 0 }, sessionNumber: OURS, send: async () => lines };
    await notice(connection, [{ call, waitedMs: 5000 }], 1000);
    return texts.pop();
  }

  /** Each of the named holds that, and waits for what the next one holds. */
  function assertTrue(named, mine, waiting, held) {
    const pattern = /^worker "(w\d)" \(pid (\d+)\) holds "(k\d)" and waits for "(k\d)"$/;
    const steps = named.map((text) => pattern.exec(text).slice(1));
    assert.equal(`${steps[0][0]} ${steps[0][1]}`, who(mine));
    steps.forEach(([workerId, pid, key, next], i) => {
      const is = (line) => who(line) === `${workerId} ${pid}`;
      assert.ok(held.some((line) => is(line) && line.key === key));
      assert.ok(waiting.some((line) => is(line) && line.key === next));
      assert.equal(steps[(i + 1) % steps.length][2], next);
    });
  }

  test('is named exactly when there is one, by a shortest way', async (t) => {
    const random = dice(t);
    const texts = [];
    t.mock.method(process, 'emitWarning', (text) => texts.push(text));
    let cycles = 0;
    let none = 0;
    for (let i = 0; i < LISTS; i++) {
      const most = random.oneIn(2) ? 1 : 2;
      const held = random
        .times(1 + random.below(6), () => lineOf('held', random))
        .filter((line, at, all) => all.slice(0, at).filter(sameThing(line)).length < most);
      const waiting = random.times(2 + random.below(7), () => lineOf('waiting', random));
      const own = waiting.filter(({ session }) => session === OURS);
      if (own.length === 0) continue;
      const chosen = random.pick(own);
      const same = (line) => thing(line) === thing(chosen) && who(line) === who(chosen);
      const mine = waiting.find(same);
      const text = await warningOf(mine, [...held, ...waiting], texts);
      const steps = stepsBack(mine, waiting, held);
      const named = /They wait for each other: (.*)\.$/.exec(text)?.[1].split('; ') ?? [];
      assert.equal(named.length, steps, `${text}\n${JSON.stringify({ held, waiting })}`);
      if (steps > 0) assertTrue(named, mine, waiting, held);
      cycles += steps > 1;
      none += steps === 0;
    }
    assert.ok(cycles > LISTS / 100 && none > LISTS / 50, `${cycles} cycles, ${none} without`);
  });
});

/** A wait that takes long is seen: by warnings, and in errors. */
'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const { startPair, startStranger, until, untilWaiting, withCode } = require('../helpers/broker');

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

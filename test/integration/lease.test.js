/**
 * Leases without a handle: what a key gives, who holds it, queues, renewal, release, force. Most tests
 * have two connections: `client`, and a `stranger` that is to the broker what another process is.
 */
'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const {
  PipeClient,
  SECRET,
  randomFrom,
  reasonOf,
  startBroker,
  startClient,
  startPair,
  startStranger,
  until,
  untilWaiting,
  withCode,
} = require('../helpers/broker.js');
const { stretched } = require('../helpers/time_limits.js');
const { LEASE_TTL } = require('../../lib/client/lease_ttl.js');
const { Holdings } = require('../../lib/client/holdings.js');
const { Broker } = require('../..');

const TTL = 60_000;

function startThree(t, options) {
  const { broker, client } = startPair(t, options);
  return { broker, client, stranger: startStranger(t, broker) };
}

/** Resolves once the lease of a TTL of a few milliseconds is over. */
function untilFree(stranger, key) {
  return stranger.acquire(key).then((lease) => lease.release());
}

describe('how long it lasts', () => {
  const short = stretched(600);
  const usual = LEASE_TTL.ms;

  /** The gate opens by a TTL at the broker, so that it is past more than two of `short` there. */
  async function pass(client, stranger) {
    await client.limit('gate', 1);
    await client.lease('gate', 'gate', { ttl: 2.5 * short });
    await untilFree(stranger, 'gate');
  }

  const held = async (client) =>
    (await client.leases('slot')).map(({ workerId }) => workerId).sort();

  test('without a TTL until its session ends, and with one until then', async (t) => {
    LEASE_TTL.ms = short;
    t.after(() => (LEASE_TTL.ms = usual));
    const { client, stranger } = startThree(t, { secret: SECRET });
    await client.lease('slot', 'plain');
    client.leaseSync('slot', 'sync');
    await client.lease('slot', 'short', { ttl: short });
    await client.lease('slot', 'shortened');
    await client.lease('slot', 'shortened', { ttl: short });
    await client.lease('slot', 'lengthened', { ttl: short });
    await client.lease('slot', 'lengthened');
    await client.lease('slot', 'renewed');
    await client.renew('renewed');
    await client.lease('slot', 'limited');
    await client.renew('limited', { ttl: short });
    await pass(client, stranger);
    assert.deepEqual(await held(stranger), ['lengthened', 'plain', 'renewed', 'sync']);
    assert.equal(await client.release('plain', 'slot'), true);
    assert.equal(await stranger.release('sync', 'slot', { force: true }), true);
    assert.deepEqual(await held(stranger), ['lengthened', 'renewed']);
    await client.close();
    await until(async () => (await held(stranger)).length === 0, 'nothing is held');
  });

  test('detached: 30 minutes, and nobody renews it', async (t) => {
    LEASE_TTL.ms = short;
    t.after(() => (LEASE_TTL.ms = usual));
    const { client } = startThree(t);
    await client.lease('slot', 'w', { detached: true });
    const [{ ttl }] = await client.leases('slot');
    assert.ok(ttl > 25 * 60_000 && ttl <= 30 * 60_000, `${ttl} ms`);
  });

  test('by default the frame says 60 s, whatever broker it is', async (t) => {
    const { client } = startThree(t);
    await client.lease('slot', 'w');
    const [{ ttl }] = await client.leases('slot');
    assert.ok(ttl > 50_000 && ttl <= 60_000, `${ttl} ms`);
  });

  test('what native code renews is what is held', () => {
    /** Of each token how many claims there are, and whether it is renewed. */
    const claims = new Map();
    const hold = (token, isRenewed) => {
      claims.set(token, { count: (claims.get(token)?.count ?? 0) + 1, isRenewed });
      return true;
    };
    const drop = (token) => {
      const left = --claims.get(token).count;
      if (left === 0) claims.delete(token);
      return left === 0;
    };
    const session = new Holdings({ hold, drop });
    const grant = (key, workerId = 'w') => ({ workerId, key });
    const isKept = (...tokens) => {
      const kept = [...claims].filter(([, { isRenewed }]) => isRenewed).map(([token]) => token);
      assert.deepEqual(kept.sort(), tokens);
      assert.ok([...claims.values()].every(({ count }) => count === 1));
    };
    session.addGrant(1, grant('a'), true);
    session.addGrant(1, grant('a'), true);
    isKept(1);
    session.addGrant(2, grant('a'), true);
    isKept(2);
    session.addGrant(3, grant('b'), false);
    session.addGrant(4, grant('c'), true);
    session.addGrant(5, grant('c', 'v'), true);
    isKept(2, 4, 5);
    session.limited('w', 'c');
    isKept(2, 5);
    assert.deepEqual([...claims.keys()].sort(), [2, 3, 4, 5], 'what is not renewed is held');
    session.addGrant(4, grant('c'), true);
    session.lost(2);
    session.released('', 'c');
    isKept();
    session.addGrant(6, grant('d'), true);
    session.end();
    assert.equal(claims.size, 0);
    session.end();
    session.addGrant(7, grant('d'), true);
    assert.ok(hold(7, true), 'another copy has it, too');
    session.addGrant(8, grant('e'), true);
    assert.deepEqual(session.takeGrants(), [8]);
    isKept(7);
    session.addGrant(9, grant('f'), true);
    session.leave();
    session.end();
    assert.deepEqual(session.takeLosses('w', 'f'), [], 'it is the thread that has it');
    isKept(7, 9);
  });
});

describe('what a key gives', () => {
  test('nothing stored: the lowest free number, the same one to the same worker', async (t) => {
    const { client, stranger } = startThree(t, { secret: SECRET });
    assert.equal(await client.lease('slot', 'a'), 0);
    assert.equal(
      await stranger.lease('slot', 'a'),
      1,
      'on another connection it is another holder',
    );
    assert.equal(await client.lease('slot', 'b', TTL), 2);
    assert.equal(await client.lease('slot', 'a', { ttl: TTL }), 0);
    assert.equal(await client.lease('slot', { workerId: 'a' }), 0);
    assert.equal(client.leaseSync('slot', 'b'), 2);
    assert.equal(await stranger.release('a', 'slot'), true);
    assert.equal(await client.lease('slot', 'c'), 1);
    assert.equal(await client.lease('other', 'a'), 0, 'a worker may have leases of many keys');
    assert.equal((await client.stats()).leases, 4);
  });

  test('a pool: each element to one, the one that was given back longest ago first', async (t) => {
    const { client, stranger } = startThree(t);
    const elements = [{ user: 'x' }, 'text', null, 0, Buffer.from([1, 2]), Buffer.alloc(0)];
    assert.equal(await client.pool('accounts', elements), true);
    await assert.rejects(client.pool('accounts', ['other']), withCode('conflict'));
    const given = [];
    for (let i = 0; i < elements.length; i++) given.push(await client.lease('accounts', `w${i}`));
    assert.deepEqual(given, elements);
    await assert.rejects(
      stranger.lease('accounts', 'late'),
      withCode('lease_held', /^lease "accounts": .* worker "late".*waitMs/),
    );
    for (const i of [3, 0, 5]) assert.equal(await client.release(`w${i}`), true);
    assert.equal(await stranger.lease('accounts', 's0'), 0);
    assert.deepEqual(await stranger.lease('accounts', 's1'), { user: 'x' });
    assert.deepEqual(await stranger.lease('accounts', 's2'), Buffer.alloc(0));
    assert.equal(await client.poolAdd('accounts', ['more', { user: 'y' }]), 8);
    assert.equal(await stranger.lease('accounts', 's3'), 'more');
  });

  test('a stored value: that, to one at a time', async (t) => {
    const { client, stranger } = startThree(t);
    await client.set('config', { port: 1 }, TTL);
    assert.deepEqual(await client.lease('config', 'a'), { port: 1 });
    await assert.rejects(stranger.lease('config', 'b'), withCode('lease_held'));
    await stranger.set('config', { port: 2 }, TTL);
    const waiting = stranger.lease('config', 'b', { waitMs: Infinity });
    await untilWaiting(client, 'config', 1);
    await client.release('a');
    assert.deepEqual(await waiting, { port: 2 });
  });

  test('a value that is gone when its turn comes: not_found, and the next one has a number', async (t) => {
    const { client, stranger } = startThree(t);
    await client.set('config', 1, TTL);
    await client.lease('config', 'a');
    const waiting = stranger.lease('config', 'b', { waitMs: Infinity });
    await untilWaiting(client, 'config', 1);
    await client.del('config');
    const refused = assert.rejects(waiting, withCode('not_found', /^lease "config": Its value/));
    await client.release('a');
    await refused;
    assert.equal(await client.lease('config', 'c'), 0);
  });

  test('a semaphore: one of n permits', async (t) => {
    const { client, stranger } = startThree(t);
    assert.equal(await client.limit('browsers', 2), true);
    await assert.rejects(client.limit('browsers', 5), withCode('conflict'));
    assert.equal(await client.lease('browsers', 'a'), 0);
    assert.equal(await stranger.lease('browsers', 'b'), 1);
    await assert.rejects(client.lease('browsers', 'c'), withCode('lease_held'));
    await client.release('a');
    assert.equal(await client.lease('browsers', 'c'), 0);
  });

  test('another kind for a key: kind_mismatch, saying what to do', async (t) => {
    const { client } = startThree(t);
    await client.set('value', 1, TTL);
    await client.pool('pool', [1]);
    await client.limit('limit', 1);
    await client.lease('numbers', 'a');
    const wrong = [
      () => client.pool('value', [1]),
      () => client.pool('limit', [1]),
      () => client.pool('numbers', [1]),
      () => client.poolAdd('limit', [1]),
      () => client.limit('value', 1),
      () => client.limit('pool', 1),
      () => client.limit('numbers', 1),
      () => client.set('pool', 1, TTL),
      () => client.set('numbers', 1, TTL),
      () => client.incr('limit', 1, TTL),
    ];
    for (const call of wrong) {
      await assert.rejects(call(), withCode('kind_mismatch', /del\(\)/), String(call));
    }
    await client.release('a');
    await client.set('numbers', 1, TTL);
  });

  test('del deletes a definition that nobody uses', async (t) => {
    const { client, stranger } = startThree(t);
    await client.pool('accounts', ['x']);
    await stranger.lease('accounts', 's');
    await assert.rejects(client.del('accounts'), withCode('lease_held', /^del "accounts": /));
    await stranger.release('s');
    assert.equal(await client.del('accounts'), true);
    assert.equal(await client.del('accounts'), false);
    assert.equal(await client.lease('accounts', 'a'), 0);
  });

  test('discard: an element leaves its pool, held or not, once', async (t) => {
    const { client } = startThree(t);
    await client.pool('accounts', ['x', 'y', Buffer.from('z')]);
    assert.equal(await client.lease('accounts', 'a'), 'x');
    assert.equal(await client.discard('accounts', 'x'), true);
    assert.equal(await client.discard('accounts', Buffer.from('z')), true);
    for (const element of ['x', 'z', 'never']) {
      await assert.rejects(
        client.discard('accounts', element),
        withCode('not_found', /^discard "accounts": .*element/),
      );
    }
    await assert.rejects(client.discard('none', 'x'), withCode('not_found'));
    await client.release('a');
    assert.equal(await client.lease('accounts', 'b'), 'y');
    await assert.rejects(client.lease('accounts', 'c'), withCode('lease_held'));
    assert.equal(await client.release('b', 'accounts', { discard: true }), true);
    await assert.rejects(client.lease('accounts', 'c'), withCode('lease_held'));
    assert.equal(await client.poolAdd('accounts', ['x']), 1, 'it may come back');
  });

  test('wrong elements and numbers are refused', async (t) => {
    const { client } = startThree(t);
    await client.pool('pool', [1]);
    await assert.rejects(client.pool('a', []), withCode('invalid_value', /different/));
    await assert.rejects(client.pool('a', [1, 2, 1]), withCode('invalid_value', /different/));
    await assert.rejects(client.poolAdd('pool', [2, 1]), withCode('conflict', /nothing was added/));
    assert.equal(await client.poolAdd('pool', [3]), 2);
    await assert.rejects(client.pool('a', [undefined]), withCode('invalid_value'));
    await assert.rejects(client.pool('a', 'text'), withCode('invalid_value', /array/));
    for (const n of [0, -1, 1.5, '3', 1_000_001, undefined]) {
      await assert.rejects(client.limit('a', n), withCode('invalid_request'), String(n));
    }
    assert.equal(await client.limit('a', 1_000_000), true);
  });
});

describe('queues', () => {
  test('first come, first served; nobody overtakes', async (t) => {
    const { client, stranger } = startThree(t);
    await client.pool('accounts', ['x']);
    await client.lease('accounts', 'first');
    const order = [];
    const waiting = [];
    for (let i = 0; i < 10; i++) {
      const who = [client, stranger][i % 2];
      const got = who.lease('accounts', `w${i}`, { waitMs: Infinity }).then(async () => {
        order.push(i);
        await assert.rejects(client.lease('accounts', 'barger'), withCode('lease_held'));
        await who.release(`w${i}`);
      });
      waiting.push(got);
      await untilWaiting(client, 'accounts', i + 1);
    }
    await client.release('first');
    await Promise.all(waiting);
    assert.deepEqual(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test('waitMs: wait_timeout, saying how long, and the place in the queue is free', async (t) => {
    const { client, stranger } = startThree(t);
    await client.lease('lone', 'a');
    await client.limit('one', 1);
    await client.lease('one', 'a');
    const start = performance.now();
    const message = /^lease "one": Nothing of it became free for worker "b" within 30 ms/;
    const brief = stranger.lease('one', 'b', { waitMs: 30 });
    const waiting = stranger.lease('one', 'c', { waitMs: Infinity });
    await assert.rejects(brief, withCode('wait_timeout', message));
    assert.ok(performance.now() - start >= 29);
    await untilWaiting(client, 'one', 1);
    await client.release('a');
    assert.equal(await waiting, 0);
    assert.throws(
      () => stranger.leaseSync('one', 'd', { waitMs: 20 }),
      withCode('wait_timeout', /^leaseSync "one": .* 20 ms/),
    );
  });

  test('waiting holds no other call of the connection back', async (t) => {
    const { client, stranger } = startThree(t);
    await client.limit('one', 1);
    await client.lease('one', 'a');
    const waiting = Array.from({ length: 100 }, (_, i) =>
      stranger.lease('one', `w${i}`, { waitMs: Infinity }).then(() => stranger.release(`w${i}`)),
    );
    await stranger.set('k', 1, TTL);
    assert.equal(await stranger.get('k'), 1);
    assert.equal(stranger.getSync('k'), 1);
    await untilWaiting(client, 'one', 100);
    await client.release('a');
    await Promise.all(waiting);
  });

  test('twenty thousand of one process wait in line, and give up at once', async (t) => {
    const { client, stranger } = startThree(t, { maxWaiters: 0 });
    await client.limit('one', 1);
    const held = await client.acquire('one');
    const controller = new AbortController();
    const options = { waitMs: Infinity, signal: controller.signal };
    // Together they are more than the socket takes at once.
    const warnings = [];
    const isOfLocking = ({ message }) => /can't be locked/.test(message);
    const onWarning = (warning) => isOfLocking(warning) || warnings.push(warning.name);
    process.on('warning', onWarning);
    t.after(() => process.off('warning', onWarning));
    const names = Array.from({ length: 20_000 }, (_, i) => `w${i}`.padEnd(200, '.'));
    const waits = names.map((name) => stranger.lease('one', name, options));
    const settled = Promise.allSettled(waits);
    await untilWaiting(client, 'one', names.length);
    await held.release();
    assert.equal(await waits[0], 0);
    await stranger.release(names[0]);
    assert.equal(await waits[1], 0);
    controller.abort();
    const outcomes = (await settled).map(({ status }) => status);
    assert.deepEqual(new Set(outcomes.slice(2)), new Set(['rejected']));
    await stranger.release(names[1]);
    assert.equal((await client.acquire('one')).value, 0);
    assert.equal((await client.leases()).length, 1);
    assert.ok(!warnings.includes('MaxListenersExceededWarning'));
  });

  test('an aborted wait rejects at once with the reason of its signal; the others move up', async (t) => {
    const { client, stranger } = startThree(t);
    await client.limit('one', 1);
    await client.lease('one', 'a');
    const controller = new AbortController();
    const { signal } = controller;
    const aborted = stranger.lease('one', 'b', { waitMs: Infinity, signal });
    const second = stranger.lease('one', 'c', { waitMs: Infinity });
    await untilWaiting(client, 'one', 2);
    const reason = new Error('enough');
    controller.abort(reason);
    await assert.rejects(aborted, (error) => error === reason);
    await untilWaiting(client, 'one', 1);
    await client.release('a');
    assert.equal(await second, 0);
    const before = stranger.lease('one', 'd', { waitMs: Infinity, signal });
    await assert.rejects(before, (error) => error === reason);
    await assert.rejects(
      stranger.lease('one', 'd', { signal: 'now' }),
      withCode('invalid_request', /AbortSignal/),
    );
  });

  test('a grant that meets an abort on its way is given back', async (t) => {
    const seed = 7;
    t.diagnostic(`seed ${seed}`);
    const random = randomFrom(seed);
    const { client, stranger } = startThree(t);
    await client.limit('one', 1);
    for (let round = 0; round < 200; round++) {
      await client.lease('one', 'a');
      const controller = new AbortController();
      const options = { waitMs: Infinity, signal: controller.signal };
      const kind = round % 2 === 0 ? 'lease' : 'acquire';
      const asked =
        kind === 'lease' ? stranger.lease('one', 'b', options) : stranger.acquire('one', options);
      const outcome = asked.then(
        (got) => (kind === 'lease' ? stranger.release('b') : got.release()),
        () => false,
      );
      const steps = Math.floor(random() * 6);
      const released = client.release('a');
      for (let i = 0; i < steps; i++) await client.ping();
      controller.abort();
      await Promise.all([outcome, released]);
      assert.equal(await client.lease('one', 'a', { waitMs: TTL }), 0, `round ${round}`);
    }
  });

  test('as many wait as maxWaiters allows', async (t) => {
    const { client, stranger } = startThree(t, { maxWaiters: 2 });
    await client.limit('one', 1);
    await client.lease('one', 'a');
    const controller = new AbortController();
    const options = { waitMs: Infinity, signal: controller.signal };
    const waiting = [stranger.lease('one', 'b', options), stranger.lease('one', 'c', options)];
    await untilWaiting(client, 'one', 2);
    await assert.rejects(
      stranger.lease('one', 'd', { waitMs: 1000 }),
      withCode('max_waiters', /^lease "one": .*maxWaiters/),
    );
    controller.abort();
    await Promise.allSettled(waiting);
  });

  test('a wait lasts beyond the timeout of calls; without a broker it does not begin', async (t) => {
    const { broker, client } = startPair(t);
    const timeout = stretched(500);
    const impatient = startStranger(t, broker, { timeout });
    await client.limit('one', 1);
    await client.lease('one', 'a');
    const start = performance.now();
    const waited = impatient.lease('one', 'b', { waitMs: timeout + 200 });
    await assert.rejects(waited, withCode('wait_timeout'));
    assert.ok(performance.now() - start >= timeout + 199);
    const lost = new PipeClient(`${broker.pipe}.none`, { timeout: 30 });
    t.after(() => lost.close());
    await assert.rejects(
      lost.lease('one', 'b', { waitMs: Infinity }),
      withCode('broker_gone', /No broker at/),
    );
  });

  test('when the broker stops, those who wait are told', async (t) => {
    const broker = new Broker({ exportEnv: false, secret: null });
    await broker.start();
    const client = broker.client();
    t.after(() => client.close());
    await client.limit('one', 1);
    await client.lease('one', 'a');
    const waiting = client.lease('one', 'b', { waitMs: Infinity });
    const outcome = waiting.then(
      () => 'granted',
      (error) => error.code,
    );
    await untilWaiting(client, 'one', 1);
    await broker.stop();
    assert.match(await outcome, /^(draining|broker_gone)$/);
  });
});

describe('renewal', () => {
  test('a lease ends with its TTL, and what was lost is told once and stays lost', async (t) => {
    const { client, stranger } = startThree(t);
    await client.limit('one', 1);
    await client.lease('one', 'a', 20);
    await client.lease('kept', 'a', TTL);
    await untilFree(stranger, 'one');
    const [{ token }] = (await client.leases('kept')).filter(({ workerId }) => workerId === 'a');
    const renewal = await client.renew('a');
    assert.equal(renewal.renewed, 1);
    assert.deepEqual(
      renewal.lost.map(({ key }) => key),
      ['one'],
    );
    assert.ok(renewal.lost[0].token < token);
    assert.deepEqual(await client.renew('a'), { renewed: 1, lost: [] });
    assert.equal(await client.lease('one', 'a'), 0);
  });

  test('renew extends all leases of a worker, or those of a key, for a TTL of its own or theirs', async (t) => {
    const { broker } = startPair(t);
    const client = startClient(t, broker, { workerId: 'me' });
    await client.lease('a', { ttl: 250_000 });
    await client.lease('b', { ttl: 250_000 });
    await client.lease('c', 'else', 250_000);
    assert.equal((await client.renew(undefined, { ttl: 500_000 })).renewed, 2);
    const ttls = async () => (await client.leases()).map(({ key, ttl }) => [key, ttl > 250_000]);
    assert.deepEqual(await ttls(), [
      ['a', true],
      ['b', true],
      ['c', false],
    ]);
    assert.equal((await client.renew({ key: 'c', ttl: 500_000 })).renewed, 0);
    assert.equal((await client.renew('else', { key: 'c', ttl: 500_000 })).renewed, 1);
    assert.equal((await client.renew('nobody')).renewed, 0);
    for (const ttl of [0, NaN, '5', -Infinity]) {
      await assert.rejects(client.renew({ ttl }), withCode('invalid_ttl', /^renew: /));
      await assert.rejects(client.lease('a', 'w', ttl), withCode('invalid_ttl', /^lease "a": /));
    }
  });

  test('what a broken connection took is told in the next renewal of its worker', async (t) => {
    const options = { exportEnv: false, secret: null, pipeId: `lease-${process.pid}` };
    const first = new Broker(options);
    const pipe = await first.start();
    const client = new PipeClient(pipe, { timeout: 30_000 });
    t.after(() => client.close());
    await client.lease('one', 'a');
    await client.lease('two', 'a');
    await client.lease('three', 'b');
    await client.lease('detached', 'a', { detached: true });
    await client.lease('released', 'a');
    await client.release('a', 'released');
    // A handle is told by its signal instead.
    const { signal } = await client.number('handle', { workerId: 'a' });
    await first.stop();
    assert.equal((await reasonOf(signal)).code, 'broker_gone');
    startBroker(t, options);
    const { renewed, lost } = await client.renew('a', { key: 'two' });
    assert.equal(renewed, 0);
    assert.deepEqual(
      lost.map(({ key }) => key),
      ['two'],
    );
    assert.deepEqual(
      (await client.renew('a')).lost.map(({ key }) => key),
      ['one'],
    );
    assert.deepEqual((await client.renew('a')).lost, []);
    assert.equal((await client.renew('b')).lost.length, 1);
  });
});

describe('release', () => {
  test('all of a worker, or one key; whether there was anything', async (t) => {
    const { broker } = startPair(t);
    const client = startClient(t, broker, { workerId: 'me' });
    for (const key of ['a', 'b', 'c']) await client.lease(key);
    assert.equal(await client.release(null, 'b'), true);
    assert.equal(await client.release(null, 'b'), false);
    assert.equal(await client.release('else'), false);
    assert.equal(await client.release(), true);
    assert.equal(await client.release(), false);
    assert.deepEqual(await client.leases(), []);
  });

  test('of another connection: lease_held, saying how; by force anybody', async (t) => {
    const { client, stranger } = startThree(t);
    await stranger.lease('one', 'a');
    await stranger.lease('two', 'a');
    const message = /^release "one": Another connection holds it for worker "a".*force/;
    await assert.rejects(client.release('a', 'one'), withCode('lease_held', message));
    await assert.rejects(client.release('a'), withCode('lease_held'));
    assert.equal(await client.release(null, 'one', { force: true }), true, 'whoever holds the key');
    assert.equal(
      await client.release('a', null, { force: true }),
      true,
      'whatever the worker holds',
    );
    assert.equal(await client.release('a', null, { force: true }), false);
    await assert.rejects(
      client.release(null, null, { force: true }),
      withCode('worker_required', /worker id or a key/),
    );
    const { lost } = await stranger.renew('a');
    assert.deepEqual(lost.map(({ key }) => key).sort(), ['one', 'two']);
  });

  test('detached: held by the worker id alone, whatever its connection does', async (t) => {
    const { broker, client } = startPair(t);
    const first = startStranger(t, broker);
    assert.equal(await first.lease('port', 'a', { detached: true }), 0);
    await first.close();
    await until(async () => (await client.stats()).connections === 1, 'its connection is closed');
    const second = startStranger(t, broker);
    assert.equal(await second.lease('port', 'a', { detached: true }), 0, 'the same holder');
    assert.equal(await second.lease('port', 'b'), 1);
    assert.equal((await client.leases('port'))[0].session, null);
    assert.deepEqual(await client.renew('a', { detached: true }), { renewed: 1, lost: [] });
    assert.equal(await client.release('a', 'port', { detached: true }), true);
    assert.equal(await second.lease('port', 'c'), 0);
  });
});

test('leases() tells who holds and who waits since when, sorted, and no values', async (t) => {
  const { client, stranger } = startThree(t);
  const before = Date.now();
  await client.pool('pool', ['hidden']);
  await client.lease('pool', 'holder', 50_000);
  await client.acquireLock('lock', { workerId: 'sharer', mode: 'shared' });
  const waiting = [
    stranger.lease('pool', 'first', { waitMs: 40_000 }),
    stranger.lease('pool', 'second', { waitMs: Infinity }),
  ];
  await untilWaiting(client, 'pool', 2);
  const lines = await client.leases();
  assert.deepEqual(
    lines.map(({ key, kind, state, workerId, shared }) => [key, kind, state, workerId, shared]),
    [
      ['lock', 'lock', 'held', 'sharer', true],
      ['pool', 'pool', 'held', 'holder', false],
      ['pool', 'pool', 'waiting', 'first', false],
      ['pool', 'pool', 'waiting', 'second', false],
    ],
  );
  const [, held, first, second] = lines;
  assert.ok(held.ttl > 40_000 && held.ttl <= 50_000 && held.token > 0 && held.session > 0);
  assert.ok(first.waitMs > 30_000 && first.waitMs <= 40_000 && first.token === null);
  assert.equal(second.waitMs, Infinity);
  assert.notEqual(first.session, held.session);
  for (const { since } of lines) assert.ok(since >= before - 5 && since <= Date.now() + 5);
  assert.doesNotMatch(JSON.stringify(lines), /hidden/);
  assert.deepEqual(
    (await client.leases('lo')).map(({ key }) => key),
    ['lock'],
  );
  await client.release('holder');
  await waiting[0];
  await stranger.release('first');
  await waiting[1];
});

test('a namespace is a prefix of everything that is leased', async (t) => {
  const { client, stranger } = startThree(t);
  const view = client.namespace('team');
  await view.pool('accounts', ['x']);
  assert.equal(await view.lease('accounts', 'a'), 'x');
  assert.equal(await client.lease('accounts', 'a'), 0);
  const lease = await view.number('port');
  assert.equal(lease.key, 'port');
  assert.deepEqual(
    (await client.leases('team:')).map(({ key }) => key),
    ['team:accounts', 'team:port'],
  );
  assert.deepEqual(
    (await view.leases()).map(({ key }) => key),
    ['accounts', 'port'],
  );
  await assert.rejects(
    stranger.namespace('team').lease('accounts', 'b'),
    (error) => error.key === 'team:accounts' && error.code === 'lease_held',
  );
  assert.equal(await view.release('a', 'accounts'), true);
  assert.equal(await view.lease('accounts', 'b', 20), 'x');
  await untilFree(stranger, 'team:accounts');
  assert.deepEqual(
    (await view.renew('b')).lost.map(({ key }) => key),
    ['accounts'],
  );
});

test('singleLease: one lease a worker', async (t) => {
  const { client, stranger } = startThree(t, { singleLease: true });
  assert.equal(await client.lease('a', 'w'), 0);
  assert.equal(await client.lease('a', 'w'), 0, 'renewed');
  await assert.rejects(
    client.lease('b', 'w'),
    withCode('worker_already_has_lease', /^lease "b": .*singleLease.*worker "w"/),
  );
  assert.equal(await stranger.lease('b', 'v'), 0);
  await client.release('w');
  assert.equal(await client.lease('b', 'w'), 1);
});

test('the worker id: option, else the environment, else the process', async (t) => {
  const { broker, client } = startPair(t);
  const holderOf = async (options) => {
    await startClient(t, broker, options).lease('k');
    const [line] = await client.leases('k');
    await client.release(line.workerId);
    return line.workerId;
  };
  const names = ['NODE_TEST_WORKER_ID', 'JEST_WORKER_ID', 'WORKER_ID', 'CLIENT_WORKER_ID'];
  t.after(() => names.forEach((name) => Reflect.deleteProperty(process.env, name)));
  assert.equal(await holderOf({}), String(process.pid));
  for (const name of names) {
    process.env[name] = `from ${name}`;
    assert.equal(await holderOf({}), `from ${name}`);
  }
  assert.equal(await holderOf({ workerId: 'é'.repeat(128) }), 'é'.repeat(128));
  for (const workerId of ['', 'é'.repeat(129), 5, '\ud800']) {
    await assert.rejects(client.lease('k', workerId), withCode('invalid_request', /worker id/));
    assert.throws(() => broker.client({ workerId }), withCode('invalid_request'));
  }
});

test('wrong arguments reject, and are not thrown', async (t) => {
  const { client } = startPair(t);
  const calls = [
    () => client.lease('k', 'w', { waitMs: -1 }),
    () => client.lease('k', 'w', { waitMs: '5' }),
    () => client.lease('k', 'w', { waitMs: NaN }),
    () => client.lease('k', 'w', 5, 6),
    () => client.lease('k', { ttl: 5 }, 5),
    () => client.lease('k', { worker: 'w' }),
    () => client.lease('k', 'w', { mode: 'shared' }),
    () => client.renew('w', { force: true }),
    () => client.release('w', 'k', { forced: true }),
    () => client.release({ force: true }),
    () => client.leases('k', { prefix: 'x' }),
    () => client.lease('k', 'w', { timeout: 0 }),
  ];
  for (const call of calls) {
    const promise = call();
    await assert.rejects(promise, withCode('invalid_request'), String(call));
  }
  await assert.rejects(client.lease(''), withCode('invalid_key', /^lease/));
  await assert.rejects(client.release('w', 5), withCode('invalid_key', /^release/));
  assert.throws(
    () => client.leaseSync('k', { signal: AbortSignal.abort() }),
    withCode('invalid_request', /leaseSync\(\) has no option "signal"/),
  );
});

'use strict';

// Worker processes that share test accounts and die at any moment: never two holders of one account,
// none lost, first come first served, the next in line after a death, one login for all.
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const {
  SECRET,
  randomFrom,
  startPair,
  temporaryDirectory,
  until,
} = require('../helpers/broker.js');
const { startWorker } = require('../helpers/workers.js');

const WORKERS = 20;
const ACCOUNTS = ['anna', 'ben', 'carla', 'dan', 'eva'];
const KILLS = 40;
const GRANTS = 400;
const KILL_CHANCE = 0.03;

const milliseconds = (nanoseconds) => (nanoseconds / 1e6).toFixed(1);

/** What the workers of one test share. */
class Team {
  constructor(t, broker, plan, pool) {
    this.t = t;
    this.broker = broker;
    this.began = process.hrtime.bigint();
    this.books = temporaryDirectory(t);
    this.settings = { plan, pool, books: this.books, began: String(this.began) };
  }

  now() {
    return Number(process.hrtime.bigint() - this.began);
  }

  start(seed, onMessage) {
    const settings = { ...this.settings, seed };
    return startWorker(this.t, 'account_worker.js', this.broker, settings, onMessage);
  }

  /** Says in the books that this one may die, then kills it; resolves when it did. */
  kill(worker) {
    fs.writeFileSync(path.join(this.books, `dead-${worker.pid}`), '');
    const at = this.now();
    return { at, gone: worker.kill() };
  }
}

/**
 * Whoever was queued before another one asked has a smaller token: tokens only grow, so they tell the
 * order of the grants. Returns how many pairs are known to be in order.
 */
function assertFirstComeFirstServed(grants) {
  let pairs = 0;
  for (const first of grants) {
    for (const second of grants.filter(({ asked }) => first.queued < asked)) {
      pairs++;
      if (first.token < second.token) continue;
      assert.fail(`${first.pid} was in the queue before ${second.pid}, and was served after it`);
    }
  }
  return pairs;
}

/** From each death of a holder to the next grant of its account. */
function handovers(grants, deaths) {
  const waits = deaths
    .filter(({ account }) => account !== undefined)
    .map(({ account, at }) => {
      const next = grants.filter((one) => one.account === account && one.granted > at);
      return Math.min(...next.map(({ granted }) => granted - at));
    });
  return waits.filter(Number.isFinite).sort((a, b) => a - b);
}

for (const secret of [null, SECRET]) {
  const how = secret === null ? 'without a secret' : 'with a secret';

  test(`20 workers, 5 accounts, killed at random moments, ${how}`, async (t) => {
    const { broker, client } = startPair(t, { secret });
    await client.pool('accounts', ACCOUNTS);
    const seed = Number(process.env.TEST_SEED ?? Math.floor(randomFrom(Date.now())() * 2 ** 31));
    t.diagnostic(`TEST_SEED=${seed}`);
    const random = randomFrom(seed);
    const team = new Team(t, broker, 'loop', 'accounts');
    const alive = new Set();
    const holding = new Map();
    const grants = [];
    const deaths = [];
    const violations = [];
    let started = 0;

    const enough = () => deaths.length >= KILLS && grants.length >= GRANTS;
    const killOne = () => {
      const everybody = [...alive];
      const holders = everybody.filter(({ pid }) => holding.has(pid));
      const some = holders.length > 0 && random() < 0.5 ? holders : everybody;
      const worker = some[Math.floor(random() * some.length)];
      alive.delete(worker);
      const { at, gone } = team.kill(worker);
      const death = { pid: worker.pid, at, account: undefined };
      deaths.push(death);
      gone.then(() => {
        death.account = holding.get(worker.pid);
        alive.add(team.start(seed + ++started, onMessage));
      });
    };
    function onMessage(message, worker) {
      if (message.type === 'violation') violations.push(message);
      if (message.type === 'held') {
        grants.push(message);
        holding.set(worker.pid, message.account);
      }
      if (message.type === 'gave') holding.delete(worker.pid);
      if (deaths.length < KILLS && alive.has(worker) && random() < KILL_CHANCE) killOne();
    }
    for (let i = 0; i < WORKERS; i++) alive.add(team.start(seed + ++started, onMessage));
    await until(() => enough() && alive.size === WORKERS, 'there was enough of everything');

    const last = [...alive];
    last.forEach((worker) => worker.send('finish'));
    for (const { status } of await Promise.all(last.map(({ ended }) => ended))) {
      assert.equal(status, 0);
    }
    assert.deepEqual(violations, []);
    await until(async () => (await client.leases()).length === 0, 'nothing is held any more');
    const every = await Promise.all(ACCOUNTS.map(() => client.acquire('accounts', { waitMs: 0 })));
    assert.deepEqual(every.map(({ value }) => value).sort(), ACCOUNTS);

    const tokens = new Set(grants.map(({ token }) => token));
    assert.equal(tokens.size, grants.length);
    const pairs = assertFirstComeFirstServed(grants);
    const waits = handovers(grants, deaths);
    assert.ok(waits.length > 0, 'no holder was killed');
    t.diagnostic(
      `${grants.length} grants, ${deaths.length} deaths, ${pairs} known to be in order; from the ` +
        `death of a holder to the next grant: median ${milliseconds(waits[waits.length >> 1])} ms, ` +
        `longest ${milliseconds(waits.at(-1))} ms (${waits.length})`,
    );
  });
}

test('the next in line has the account after a death, and the dead leave the line', async (t) => {
  const { broker, client } = startPair(t);
  await client.pool('accounts', ['anna']);
  const team = new Team(t, broker, 'hold', 'accounts');
  const line = [];
  for (let i = 0; i < 12; i++) {
    const worker = team.start(i);
    await worker.next('queued');
    line.push(worker);
  }
  await line[0].next('held');
  const order = (await client.leases()).map(({ state, workerId }) => `${state} ${workerId}`);
  assert.deepEqual(
    order,
    line.map(({ pid }, i) => `${i === 0 ? 'held' : 'waiting'} ${pid}`),
  );

  // Some die while they wait: they are passed over.
  await Promise.all([3, 4, 9].map((i) => team.kill(line[i]).gone));
  await until(async () => (await client.leases()).length === 9, 'the dead have left the line');
  const living = line.filter((_, i) => ![3, 4, 9].includes(i));
  const waits = [];
  for (const [i, worker] of living.entries()) {
    const { at, gone } = team.kill(worker);
    await gone;
    if (i + 1 === living.length) break;
    const { granted, account } = await living[i + 1].next('held');
    assert.equal(account, 'anna');
    waits.push(granted - at);
    const holders = (await client.leases()).filter(({ state }) => state === 'held');
    assert.deepEqual(
      holders.map(({ workerId }) => workerId),
      [String(living[i + 1].pid)],
    );
  }
  t.diagnostic(`from a death to the next grant, ms: ${waits.map(milliseconds).join(', ')}`);
  const lease = await client.acquire('accounts');
  assert.equal(lease.value, 'anna');
});

test('20 workers need a login: one logs in, and when it dies meanwhile, one other does', async (t) => {
  for (const dies of [false, true]) {
    const { broker, client } = startPair(t);
    const team = new Team(t, broker, 'login', 'session');
    const computing = [];
    const onMessage = (message, worker) => {
      if (message.type === 'computing') computing.push(worker);
    };
    let workers = Array.from({ length: WORKERS }, (_, i) => team.start(i, onMessage));
    await Promise.all(workers.map((worker) => worker.next('queued')));
    await until(() => computing.length === 1, 'somebody logs in');
    if (dies) {
      workers = workers.filter((worker) => worker !== computing[0]);
      await team.kill(computing[0]).gone;
      await until(() => computing.length === 2, 'somebody else logs in');
    }
    const one = computing.at(-1);
    one.send('the login is through');
    for (const worker of workers) {
      assert.deepEqual((await worker.next('value')).value, { token: `of ${one.pid}` });
    }
    const logins = fs.readFileSync(path.join(team.books, 'logins'), 'utf8').trim().split('\n');
    assert.deepEqual(
      logins,
      computing.map(({ pid }) => String(pid)),
    );
    assert.deepEqual(await client.get('session'), { token: `of ${one.pid}` });
    assert.deepEqual(await client.leases(), []);
  }
});

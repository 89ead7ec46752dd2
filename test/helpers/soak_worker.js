/**
 * A worker of the soak test: random operations until it has done its share, or is killed. It compares its
 * own keys with a local copy. For keys that it shares with other workers it checks the invariants that hold
 * for any interleaving.
 *
 * Messages: { done } now and then and at the end, { wrong } for each wrong answer.
 */
'use strict';

const assert = require('node:assert/strict');
const { randomFrom } = require('./broker.js');
const { inheritedClient } = require('./workers.js');

const { seed, operations, accounts, self } = JSON.parse(process.argv[2]);
const TTL = 600_000;
const OWN_KEYS = 20;
const IN_ONE_TICK = 8;
const REPORT_EVERY = 500;
const SHARED_KEYS = 5;
/** A shared value is complete if its text repeats a single character. */
const SHARED_CHARACTERS = 'abcdefgh';

const random = randomFrom(seed);
const below = (n) => Math.floor(random() * n);
const client = inheritedClient();
/** The contents of this worker's own keys. */
const own = new Map();
const numbers = new Map();
let tries = 0;

/** Keys with an operation under way: the result of a second one would be unpredictable. */
const busy = new Set();

/** An own key that is not busy: there are more keys than operations in one tick. */
function ownKey(kind = 'own') {
  for (;;) {
    const key = `${kind}:${self}:${process.pid}:${below(OWN_KEYS)}`;
    if (!busy.has(key)) return key;
  }
}

const shared = () => `shared:${below(SHARED_KEYS)}`;

/** The last tickets of this worker. */
const seen = new Set();
const SEEN_MAX = 10_000;

const OPERATIONS = {
  async set(key = ownKey()) {
    const value = `${key}=${++tries}${'.'.repeat(below(random() < 0.02 ? 50_000 : 300))}`;
    await alone(key, async () => {
      await client.set(key, value, TTL);
      own.set(key, value);
    });
  },

  async get(key = ownKey()) {
    await alone(key, async () => {
      const value = await client.get(key, { default: undefined });
      assert.equal(value, own.get(key), `${key} has its last value`);
    });
  },

  async del(key = ownKey()) {
    await alone(key, async () => {
      assert.equal(await client.del(key), own.delete(key), `${key} was there as far as we know`);
    });
  },

  async incr(key = ownKey('count')) {
    await alone(key, async () => {
      const expected = (numbers.get(key) ?? 0) + 1;
      assert.equal(await client.incr(key, 1, TTL), expected, `${key} counts`);
      numbers.set(key, expected);
    });
  },

  /** A counter shared by all workers never returns a number twice. */
  async count() {
    const number = await client.incr('ticket', 1, TTL);
    assert.ok(!seen.has(number), `the ticket ${number} was given once`);
    seen.add(number);
    if (seen.size > SEEN_MAX) seen.delete(seen.values().next().value);
  },

  async share() {
    const character = SHARED_CHARACTERS[below(SHARED_CHARACTERS.length)];
    await client.set(shared(), character.repeat(1 + below(2000)), TTL);
  },

  async look() {
    const value = await client.get(shared(), { default: 'a' });
    assert.match(value, /^(.)\1*$/, 'a shared value is one that was written');
  },

  /** Between grant and release no other worker may replace our name at the account. */
  async lease() {
    await client.withLease('accounts', async (account, lease) => {
      assert.ok(accounts.includes(account), `${account} is of the pool`);
      const mark = { pid: process.pid, token: lease.token };
      const before = await client.get(`holder:${account}`, { default: { token: 0 } });
      assert.ok(lease.token > before.token, 'tokens only grow');
      await client.set(`holder:${account}`, mark, TTL, { fence: lease.token });
      assert.deepEqual(await client.get(`holder:${account}`), mark, `${account} is ours alone`);
    });
  },

  async lock() {
    await client.lock('book', async () => {
      const count = await client.get('book', { default: 0 });
      await client.set('book', count + 1, TTL);
      assert.equal(await client.get('book'), count + 1, 'the lock keeps others out');
    });
  },

  async compute() {
    const key = `computed:${below(3)}`;
    const value = await client.getOrSet(key, '50ms', () => `value of ${key}`);
    assert.equal(value, `value of ${key}`);
  },

  async watch() {
    const key = `watched:${process.pid}:${++tries}`;
    const watch = client.watch(key);
    await watch.ready;
    const events = watch[Symbol.asyncIterator]();
    const written = client.set(key, tries, TTL);
    const { value: event } = await events.next();
    assert.deepEqual([event.type, event.key], ['set', key]);
    await written;
    await watch.close();
    await client.del(key);
  },
};

/** The operations and their shares in percent. */
const SHARES = {
  set: 26,
  get: 32,
  del: 8,
  incr: 10,
  count: 8,
  share: 4,
  look: 5,
  lease: 2,
  lock: 1,
  compute: 3,
  watch: 1,
};

const DRAWN = Object.entries(SHARES).flatMap(([name, share]) => Array(share).fill(name));

async function alone(key, run) {
  // An operation without effect would still be counted.
  assert.ok(!busy.has(key), `${key} is not in use`);
  busy.add(key);
  try {
    await run();
  } finally {
    busy.delete(key);
  }
}

/** A wrong answer ends the test, and so does any other error. */
async function attempt() {
  const name = DRAWN[below(DRAWN.length)];
  try {
    await OPERATIONS[name]();
  } catch (error) {
    process.send({ type: 'wrong', name, message: `${error.code}: ${error.message}` });
  }
}

async function soak() {
  let reported = 0;
  let done = 0;
  while (done < operations) {
    const round = Math.min(IN_ONE_TICK, operations - done);
    await Promise.all(Array.from({ length: round }, attempt));
    done += round;
    if (done - reported >= REPORT_EVERY || done === operations) {
      process.send({ type: 'done', count: done - reported });
      reported = done;
    }
  }
  // Only the own keys: those of killed workers stay.
  const keys = [...own.keys(), ...numbers.keys()];
  await Promise.all(keys.map((key) => client.del(key)));
  await client.close();
}

soak().then(() => process.disconnect());

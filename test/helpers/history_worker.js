/**
 * A process that records a history: random operations on shared keys, one after the other or several in
 * one tick, with the times of their calls and returns in nanoseconds since `began`.
 *
 * It sends "ready" when it is connected, waits for any message, sends its "history" and ends.
 * Plan `keys`: reads and writes of the keys. Plan `locks`: takes the lock of a key, and writes the key with
 * the tokens that this process has been granted.
 */
'use strict';

const { once } = require('node:events');
const { randomFrom } = require('./broker.js');
const { inheritedClient } = require('./workers.js');

const { plan, by, seed, began, keys, turns } = JSON.parse(process.argv[2]);
const TTL_MS = 600_000;
const IN_ONE_TICK = 3;
const WAIT_MS = 2;

const random = randomFrom(seed);
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];
const client = inheritedClient();
const now = () => Number(process.hrtime.bigint() - BigInt(began));

const history = [];
let values = 0;
const fresh = () => `${by}.${++values}`;

/** The code of a rejection if it is one of these; any other error ends the process. */
const orCode = (promise, ...codes) =>
  promise.catch((error) => {
    if (codes.includes(error.code)) return error.code;
    throw error;
  });

async function record(object, call, input, operation) {
  const start = now();
  const output = await operation;
  history.push({ object, by, call, input, output, start, end: now() });
  return output;
}

/** Versions that this process has seen, for ifVersion: current ones and stale ones. */
const versions = new Map(keys.map((key) => [key, []]));

function write(key, call, input, options) {
  const written = client.set(key, input.value, { ttl: TTL_MS, ...options }).then(() => 'ok');
  return record(key, call, input, orCode(written, 'conflict'));
}

const OF_KEYS = {
  get: (key) => record(key, 'get', undefined, client.get(key, { default: null })),
  has: (key) => record(key, 'has', undefined, client.has(key)),
  del: (key) => record(key, 'del', undefined, client.del(key)),
  set: (key) => write(key, 'set', { value: fresh() }, {}),
  setIfAbsent: (key) => write(key, 'setIfAbsent', { value: fresh() }, { ifAbsent: true }),
  incr(key) {
    const input = { by: 1 + below(9) };
    const sum = client.incr(key, input.by, { ttl: TTL_MS });
    return record(key, 'incr', input, orCode(sum, 'not_a_number'));
  },
  async getEntry(key) {
    const entry = client.getEntry(key).then(({ value, version }) => ({ value, version }));
    const read = orCode(entry, 'not_found').then((found) => (found === 'not_found' ? null : found));
    const output = await record(key, 'getEntry', undefined, read);
    if (output !== null) versions.get(key).push(output.version);
  },
  setIfVersion(key) {
    const version = versions.get(key).at(-1 - below(2));
    if (version === undefined) return OF_KEYS.getEntry(key);
    return write(key, 'setIfVersion', { value: fresh(), version }, { ifVersion: version });
  },
};

const KEY_CALLS = ['get', 'get', 'has', 'del', 'set', 'setIfAbsent', 'incr', 'incr'];
KEY_CALLS.push('getEntry', 'getEntry', 'setIfVersion', 'setIfVersion');

/** For each key the lease that this process holds, and its last token. */
const held = new Map();
const tokens = new Map();

const OF_LOCKS = {
  get: (key) => record(key, 'get', undefined, client.get(key, { default: null })),
  async lock(key) {
    const waitMs = pick([0, WAIT_MS]);
    let lease = null;
    const token = client.acquireLock(key, { waitMs, ttl: TTL_MS }).then((granted) => {
      lease = granted;
      return granted.token;
    });
    await record(key, 'lock', { waitMs }, orCode(token, 'lease_held', 'wait_timeout'));
    if (lease === null) return;
    held.set(key, lease);
    tokens.set(key, lease.token);
  },
  unlock(key) {
    const lease = held.get(key);
    if (lease === undefined) return OF_LOCKS.lock(key);
    held.delete(key);
    return record(key, 'unlock', { token: lease.token }, lease.release());
  },
  set(key) {
    const token = tokens.get(key);
    if (token === undefined) return OF_LOCKS.get(key);
    const input = { token, value: fresh() };
    const written = client.set(key, input.value, TTL_MS, { fence: token }).then(() => 'ok');
    return record(key, 'set', input, orCode(written, 'fenced'));
  },
};

const LOCK_CALLS = ['get', 'lock', 'unlock', 'unlock', 'set', 'set'];

async function main() {
  await client.ping();
  process.send({ type: 'ready' });
  await once(process, 'message');
  const [operations, calls] = plan === 'keys' ? [OF_KEYS, KEY_CALLS] : [OF_LOCKS, LOCK_CALLS];
  for (let turn = 0; turn < turns; turn++) {
    const inOneTick = 1 + below(IN_ONE_TICK);
    const running = Array.from({ length: inOneTick }, () => operations[pick(calls)](pick(keys)));
    await Promise.all(running);
  }
  for (const key of held.keys()) await OF_LOCKS.unlock(key);
  process.send({ type: 'history', history }, () => process.disconnect());
}

main();

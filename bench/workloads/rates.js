'use strict';

// Operations a second. Each `run` checks the replies and returns the number of operations.
const { textOf } = require('../common.js');

const KEY = 'bench:item';
// The number of operations between two readings of the clock, if a lap is not one operation.
const CLOCK_EVERY = 64;

/**
 * An operation: sends a request, and checks the reply. The promise of the peer's client is awaited directly:
 * a promise of ours would add to every figure.
 * @typedef {{ ask: (client: any, i: number) => Promise<any>, isRight: (reply: any) => boolean }} Operation
 */

/** The requests for a value of this size; SET and DEL is a pair with a separate key. */
const requestsOf = (bytes) => {
  const value = textOf(bytes);
  const set = { ask: (client) => client.set(KEY, value), isRight: () => true };
  return {
    prepare: (client) => client.set(KEY, value),
    get: { ask: (client) => client.get(KEY), isRight: (reply) => reply?.length === bytes },
    set,
    setAndDelete: {
      ask: async (client, i) => {
        const key = `bench:${process.pid}:${i}`;
        await client.set(key, value);
        return client.del(key);
      },
      isRight: Boolean,
    },
  };
};
/** About 1 KB of JSON, as a test's account may be. */
const ACCOUNT = {
  id: 42,
  email: 'account42@example.org',
  password: 'correct horse battery staple',
  profile: {
    first: 'Ann',
    last: 'Other',
    address: { street: '12 Long Street', city: 'Somewhere', zip: '12345', country: 'NL' },
    phones: ['+31 6 1234', '+31 6 5678'],
  },
  roles: [
    { name: 'admin', scopes: ['read', 'write', 'delete'] },
    { name: 'user', scopes: ['read'] },
  ],
  settings: { theme: 'dark', language: 'en', mails: { news: true, orders: false, security: true } },
  orders: [0, 1, 2, 3, 4].map((i) => ({
    id: i,
    total: i * 10 + 0.5,
    items: [i, i + 1],
    status: 'open',
    at: '2026-01-01T00:00:00.000Z',
  })),
  createdAt: 1_700_000_000_000,
  score: 99.5,
  parent: null,
};
const object = {
  prepare: (client) => client.set(KEY, ACCOUNT),
  get: { ask: (client) => client.get(KEY), isRight: (reply) => reply?.orders[4].total === 40.5 },
  set: { ask: (client) => client.set(KEY, ACCOUNT), isRight: () => true },
};
const incr = { ask: (client) => client.incr('bench:counter'), isRight: (reply) => reply > 0 };
const ping = { ask: (client) => client.ping(), isRight: Boolean };

/** @param {Operation} operation */
function check({ isRight }, reply) {
  if (!isRight(reply)) throw new Error('a reply is not what it should be');
}

const sequential = (operation) => async (client, clock) => {
  let operations = 0;
  do {
    check(operation, await operation.ask(client, 0));
    operations++;
  } while (clock.lap());
  return operations;
};

/** This number of loops at once, each with one request in flight. */
const inFlight = (loops) => (operation) => async (client, clock) => {
  let operations = 0;
  let running = true;
  const loop = async (i) => {
    while (running) {
      check(operation, await operation.ask(client, i));
      if (++operations % CLOCK_EVERY === 0) running = clock.running();
    }
  };
  await Promise.all(Array.from({ length: loops }, (_, i) => loop(i)));
  return operations;
};

/** This number of requests in one tick; the next lot follows when all replies have arrived. */
const inOneTick = (size) => (operation) => async (client, clock) => {
  const replies = new Array(size);
  let operations = 0;
  do {
    for (let i = 0; i < size; i++) replies[i] = operation.ask(client, i);
    for (const reply of await Promise.all(replies)) check(operation, reply);
    operations += size;
  } while (clock.running());
  return operations;
};

const both = ['one CPU', 'two CPUs'];
const everywhere = [...both, '8 processes'];
const small = requestsOf(100);
const large = requestsOf(64 * 1024);
const huge = requestsOf(256 * 1024);

/** The workloads of a kind of request; `more` has the feature it needs, and a preparation. */
const inEveryWay = (name, operation, more) => [
  { name: `sequential ${name}`, places: everywhere, run: sequential(operation), ...more },
  { name: `${name}, 64 in flight`, places: both, run: inFlight(64)(operation), ...more },
  { name: `${name}, 1,000 in one tick`, places: both, run: inOneTick(1_000)(operation), ...more },
];

const ofSize = (size, { get, set, prepare }) => [
  { name: `sequential GET, ${size}`, places: both, run: sequential(get), prepare },
  { name: `sequential SET, ${size}`, places: both, run: sequential(set) },
];

/** For clients that accept objects. */
const ofObjects = [
  { name: 'sequential GET, an object', run: sequential(object.get), prepare: object.prepare },
  { name: 'sequential SET, an object', run: sequential(object.set) },
  { name: 'SET, an object, 64 in flight', run: inFlight(64)(object.set) },
].map((workload) => ({ ...workload, places: both, needs: 'objects' }));

/** All peers run these workloads; only the main peers run the others. */
const FOR_ALL = [
  'sequential GET',
  'GET, 64 in flight',
  'GET, 1,000 in one tick',
  'sequential SET',
  'sequential GET, 64 KiB',
];

module.exports = [
  ...inEveryWay('GET', small.get, { prepare: small.prepare }),
  ...inEveryWay('SET', small.set),
  ...inEveryWay('SET and DEL', small.setAndDelete, { needs: 'del' }),
  ...inEveryWay('INCR', incr, { needs: 'incr' }),
  ...inEveryWay('PING', ping, { needs: 'ping' }),
  ...ofSize('64 KiB', large),
  {
    name: 'GET, 64 KiB, 64 in flight',
    places: both,
    run: inFlight(64)(large.get),
    prepare: large.prepare,
  },
  ...ofSize('256 KiB', huge),
  ...ofObjects,
].map((workload, order) => ({
  ...workload,
  order: order / 100,
  group: 'store',
  kind: 'rate',
  forAll: FOR_ALL.includes(workload.name),
}));

'use strict';

// Operations a second. Each `run` returns how many it finished and checks what comes back.
const { textOf } = require('../common');

const KEY = 'bench:item';
// How many operations pass between two looks at the clock where a lap is not one operation.
const CLOCK_EVERY = 64;

function check(isRight) {
  if (!isRight) throw new Error('a reply is not what it should be');
}

/** The requests that are about a value of so many bytes; SET and DEL is a pair, of a key of its own. */
const requestsOf = (bytes) => {
  const value = textOf(bytes);
  return {
    get: async (client) => check((await client.get(KEY))?.length === bytes),
    set: (client) => client.set(KEY, value),
    setAndDelete: async (client, i) => {
      const key = `bench:${process.pid}:${i}`;
      await client.set(key, value);
      check(await client.del(key));
    },
  };
};
const incr = async (client) => check((await client.incr('bench:counter')) > 0);
const ping = async (client) => check(await client.ping());

const sequential = (operation) => async (client, clock) => {
  let operations = 0;
  do {
    await operation(client, 0);
    operations++;
  } while (clock.lap());
  return operations;
};

/** So many loops at once, each with one request in flight. */
const inFlight = (loops) => (operation) => async (client, clock) => {
  let operations = 0;
  let running = true;
  const loop = async (i) => {
    while (running) {
      await operation(client, i);
      if (++operations % CLOCK_EVERY === 0) running = clock.running();
    }
  };
  await Promise.all(Array.from({ length: loops }, (_, i) => loop(i)));
  return operations;
};

/** So many requests made in one tick; the next lot when all replies are there. */
const inOneTick = (size) => (operation) => async (client, clock) => {
  const replies = new Array(size);
  let operations = 0;
  do {
    for (let i = 0; i < size; i++) replies[i] = operation(client, i);
    await Promise.all(replies);
    operations += size;
  } while (clock.running());
  return operations;
};

const both = ['one CPU', 'two CPUs'];
const everywhere = [...both, '8 processes'];
const small = requestsOf(100);
const large = requestsOf(64 * 1024);
const huge = requestsOf(256 * 1024);

/** A kind of request in every way, what is needed for it beside get and set, and what to store first. */
const inEveryWay = (name, operation, more) => [
  { name: `sequential ${name}`, places: everywhere, run: sequential(operation), ...more },
  { name: `${name}, 64 in flight`, places: both, run: inFlight(64)(operation), ...more },
  { name: `${name}, 1,000 in one tick`, places: both, run: inOneTick(1_000)(operation), ...more },
];

const ofSize = (size, { get, set }) => [
  { name: `sequential GET, ${size}`, places: both, run: sequential(get), prepare: set },
  { name: `sequential SET, ${size}`, places: both, run: sequential(set) },
];

/** All peers run these, the others the main ones only. */
const FOR_ALL = [
  'sequential GET',
  'GET, 64 in flight',
  'GET, 1,000 in one tick',
  'sequential SET',
  'sequential GET, 64 KiB',
];

module.exports = [
  ...inEveryWay('GET', small.get, { prepare: small.set }),
  ...inEveryWay('SET', small.set),
  ...inEveryWay('SET and DEL', small.setAndDelete, { needs: 'del' }),
  ...inEveryWay('INCR', incr, { needs: 'incr' }),
  ...inEveryWay('PING', ping, { needs: 'ping' }),
  ...ofSize('64 KiB', large),
  {
    name: 'GET, 64 KiB, 64 in flight',
    places: both,
    run: inFlight(64)(large.get),
    prepare: large.set,
  },
  ...ofSize('256 KiB', huge),
].map((workload, order) => ({
  ...workload,
  order: order / 100,
  group: 'store',
  kind: 'rate',
  forAll: FOR_ALL.includes(workload.name),
}));

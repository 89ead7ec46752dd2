'use strict';

// Operations a second. Each `run` returns how many it finished and checks what comes back.
const KEY = 'bench:item';
const VALUE = 'v'.repeat(100);
// How many operations pass between two looks at the clock where a lap is not one operation.
const CLOCK_EVERY = 64;

const get = async (client) => check(await client.get(KEY));
const set = (client) => client.set(KEY, VALUE);

function check(value) {
  if (value?.length !== VALUE.length) throw new Error('a reply does not hold what was stored');
}

const sequential = (operation) => async (client, clock) => {
  let operations = 0;
  do {
    await operation(client);
    operations++;
  } while (clock.lap());
  return operations;
};

/** So many loops at once, each with one request in flight. */
const inFlight = (loops) => async (client, clock) => {
  let operations = 0;
  let running = true;
  const loop = async () => {
    while (running) {
      check(await client.get(KEY));
      if (++operations % CLOCK_EVERY === 0) running = clock.running();
    }
  };
  await Promise.all(Array.from({ length: loops }, loop));
  return operations;
};

/** So many requests made in one tick; the next lot when all replies are there. */
const inOneTick = (size) => async (client, clock) => {
  const replies = new Array(size);
  let operations = 0;
  do {
    for (let i = 0; i < size; i++) replies[i] = client.get(KEY);
    (await Promise.all(replies)).forEach(check);
    operations += size;
  } while (clock.running());
  return operations;
};

const both = ['one CPU', 'two CPUs'];

module.exports = [
  { name: 'sequential GET', places: [...both, '8 processes'], run: sequential(get) },
  { name: 'sequential SET', places: both, run: sequential(set) },
  { name: '64 in flight', places: both, run: inFlight(64) },
  { name: '1,000 in one tick', places: both, run: inOneTick(1_000) },
].map((workload, order) => ({ ...workload, order, group: 'store', kind: 'rate', prepare: set }));

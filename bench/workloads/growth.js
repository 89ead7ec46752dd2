'use strict';

// How cost grows with the number of items, the number of connections, and the size of a value. The servers of
// all peers run at the same time, and at each point each peer is measured in turn, round after round. Figures
// are microseconds a request.
const { openClient, spread, stop, textOf } = require('../common.js');

const NAME = 'growth';
const ITEMS = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];
const CONNECTIONS = [1, 3, 10, 30, 100, 300, 1_000];
const SIZES = [16, 256, 4_096, 16_384, 65_536, 262_144, 1_048_576];
/** Requests made in one tick, so that they share a round trip and the cost of the store shows. */
const LOT = 500;
/** The number of connections that are opened at a time. */
const OPENING = 20;
const TTL_MS = 3_600_000;
/** The measuring time of a point, as a part of a rate's time. */
const PART = 1 / 4;

const keyOf = (i) => `bench:item:${i}`;
const VALUE = textOf(100);

async function inLots(first, count, size, act) {
  for (let from = first; from < first + count; from += size) {
    const length = Math.min(size, first + count - from);
    await Promise.all(Array.from({ length }, (_, i) => act(from + i)));
  }
}

/** Repeats a lot, which returns its number of requests; resolves microseconds a request. */
async function timed(ms, lot) {
  const began = performance.now();
  let count = 0;
  do count += await lot();
  while (performance.now() - began < ms);
  return { us: ((performance.now() - began) * 1_000) / count };
}

/** A lot of requests for random items. */
const randomLot = (count, act) => async () => {
  const any = () => keyOf(Math.floor(Math.random() * count));
  await Promise.all(Array.from({ length: LOT }, () => act(any())));
  return LOT;
};

/** A lot of one request. */
const alone = (act) => async () => {
  await act();
  return 1;
};

/** The state of a client process: its connections, and the value that it stores. */
const connections = [];
let value;

const tasks = {
  async fill(client, { first, count }) {
    await inLots(first, count, LOT, (i) => client.set(keyOf(i), VALUE, TTL_MS));
    return {};
  },
  getAny: (client, { count, ms }) =>
    timed(
      ms,
      randomLot(count, (key) => client.get(key)),
    ),
  setAny: (client, { count, ms }) =>
    timed(
      ms,
      randomLot(count, (key) => client.set(key, VALUE, TTL_MS)),
    ),

  async store(client, { size }) {
    value = textOf(size);
    await client.set(keyOf(0), value, TTL_MS);
    return {};
  },
  getOne: (client, { ms }) =>
    timed(
      ms,
      alone(() => client.get(keyOf(0))),
    ),
  setOne: (client, { ms }) =>
    timed(
      ms,
      alone(() => client.set(keyOf(0), value, TTL_MS)),
    ),

  async open(client, { file, name, address, first, count }) {
    const peer = require(file).find((one) => one.name === name);
    await inLots(
      first,
      count,
      OPENING,
      async (i) => (connections[i] = await peer.connect(address)),
    );
    return {};
  },
  getOnAll: (client, { ms }) =>
    timed(ms, async () => {
      await Promise.all(connections.map((one) => one.get(keyOf(0))));
      return connections.length;
    }),
};

/** Opens a peer's server and one client of it. */
async function openSide(peer, place) {
  const service = await peer.serve({ dir: place.dir, cpus: place.server });
  const client = await openClient(peer, service, place.client);
  const ask = (task, more) => client.ask({ workload: NAME, task, ...more });
  const close = async () => {
    await client.close();
    await stop(service.server);
  };
  return { peer, service, ask, close };
}

/** The microseconds of each peer over these rounds, with a different peer first in each round. */
async function compare(sides, { rounds, ms }, task, more) {
  const times = new Map(sides.map((side) => [side, []]));
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < sides.length; turn++) {
      const side = sides[(turn + round) % sides.length];
      times.get(side).push((await side.ask(task, { ms: ms * PART, ...more })).us);
    }
  }
  const entries = sides.map((side) => [side.peer.name, spread(times.get(side))]);
  return Object.fromEntries(entries);
}

/** One curve for each of `asked` ({ name: task }), over `points`; `reach` prepares each point in turn. */
async function curves({ peers, place, settings }, { asked, points, x, reach }) {
  const able = peers.filter(({ can = [] }) => can.includes('growth'));
  const sides = [];
  for (const peer of able) sides.push(await openSide(peer, place));
  const rows = Object.fromEntries(Object.keys(asked).map((name) => [name, []]));
  let last = 0;
  for (const at of points) {
    for (const side of sides) await reach(side, last, at);
    for (const [name, task] of Object.entries(asked)) {
      const figures = await compare(sides, settings, task, { count: at });
      rows[name].push({ what: at.toLocaleString('en'), at, figures });
    }
    last = at;
  }
  for (const side of sides) await side.close();
  return Object.keys(asked).map((name) => ({ name, unit: 'µs', rows: rows[name], curve: { x } }));
}

async function once({ peers, places, settings }) {
  const [oneCpu, twoCpus] = [places[0], places.at(-1)];
  const items = await curves(
    { peers, place: oneCpu, settings },
    {
      asked: { 'GET by items': 'getAny', 'SET by items': 'setAny' },
      points: ITEMS,
      x: 'items stored',
      reach: (side, first, count) => side.ask('fill', { first, count: count - first }),
    },
  );
  const clients = await curves(
    { peers, place: oneCpu, settings },
    {
      asked: { 'GET by connections': 'getOnAll' },
      points: CONNECTIONS,
      x: 'connections, each with one request',
      async reach({ peer, service, ask }, first, count) {
        if (first === 0) await ask('store', { size: VALUE.length });
        const { file, name } = peer;
        await ask('open', { file, name, address: service.address, first, count: count - first });
      },
    },
  );
  const sizes = await curves(
    { peers, place: twoCpus, settings },
    {
      asked: { 'GET by size': 'getOne', 'SET by size': 'setOne' },
      points: SIZES,
      x: 'bytes of the value',
      reach: (side, first, size) => side.ask('store', { size }),
    },
  );
  return [...items, ...clients, ...sizes];
}

module.exports = [{ name: NAME, order: 30, group: 'growth', kind: 'once', tasks, once }];

'use strict';

// The cost of a grant, a renewal and a release while 10 to 10,000 leases are held, and while the same number
// of requests wait for one permit: microseconds an operation, client included, on one CPU, and the CPU time
// of the broker alone. Lots of ten requests are made in one tick, so they share one wake-up of the broker. A
// lot of gets shows the part of the round trip in a figure.
const { cpuTimeMs, median, openClient, stop } = require('../common.js');

const NAME = 'cost of a lease';
const COUNTS = [10, 100, 1_000, 10_000];
const LOT = 10;
const TOGETHER = 500;
const LOTS_A_ROUND = 60;
const WARM_LOTS = 200;
const TTL_MS = 3_600_000;
const ITEM = 'bench:item';
const KEY = 'bench:lease';
const PERMIT = 'bench:permit';

const of = (count, make) => Array.from({ length: count }, (_, i) => make(i));

/** Makes many calls, a limited number of them in one tick. */
async function inParts(count, call) {
  for (let first = 0; first < count; first += TOGETHER) {
    const size = Math.min(TOGETHER, count - first);
    await Promise.all(of(size, (i) => call(first + i)));
  }
}

/** Measures lots: records microseconds an operation by its name, and sums the broker's CPU time. */
class Lots {
  #broker;
  #times = {};
  #cpu = {};

  /** @param {number} broker the broker's process id */
  constructor(broker) {
    this.#broker = broker;
  }

  async lot(name, call) {
    const cpuBefore = cpuTimeMs(this.#broker);
    const began = performance.now();
    await Promise.all(of(LOT, call));
    const ms = performance.now() - began;
    const cpuMs = cpuTimeMs(this.#broker) - cpuBefore;
    (this.#times[name] ??= []).push((ms * 1_000) / LOT);
    this.#cpu[name] = (this.#cpu[name] ?? 0) + cpuMs * 1_000;
  }

  /** Discards the figures of the warm-up. */
  clear() {
    this.#times = {};
    this.#cpu = {};
  }

  figures() {
    const entries = Object.entries(this.#times).flatMap(([name, times]) => [
      [name, median(times)],
      [`${name}: CPU time of the broker`, this.#cpu[name] / times.length / LOT],
    ]);
    return Object.fromEntries(entries);
  }
}

/** Repeats a cycle of lots, first as a warm-up. */
async function cycles(lots, rounds, cycle) {
  for (let i = 0; i < WARM_LOTS; i++) await cycle();
  lots.clear();
  for (let i = 0; i < rounds * LOTS_A_ROUND; i++) await cycle();
}

/** The kinds of leases that are held. */
const KINDS = {
  'numbers of a key': { key: () => KEY, define: async () => {} },
  'elements of a pool': {
    key: () => KEY,
    define: (client, count) => client.pool(KEY, of(count + LOT, String)),
  },
  'keys with a value each': {
    key: (i) => `${KEY}:${i}`,
    define: (client, count) => inParts(count + LOT, (i) => client.set(`${KEY}:${i}`, i, TTL_MS)),
  },
};

async function held({ client }, { kind, count, rounds, broker }) {
  const { key, define } = KINDS[kind];
  await client.set(ITEM, 1, TTL_MS);
  await define(client, count);
  const lease = (i) => client.lease(key(i), `w${i}`, TTL_MS);
  await inParts(count, lease);
  const lots = new Lots(broker);
  await cycles(lots, rounds, async () => {
    await lots.lot('grant', (i) => lease(count + i));
    await lots.lot('renew', (i) => client.renew(`w${count + i}`));
    await lots.lot('release', (i) => client.release(`w${count + i}`, key(count + i)));
    await lots.lot('get', () => client.get(ITEM));
  });
  return lots.figures();
}

/**
 * The queue of one permit; the first one holds the permit. Entries that left stay in the list, because
 * removing them would cost more here than at the broker.
 */
class Queue {
  #client;
  #line = [];
  #first = 0;

  constructor(client) {
    this.#client = client;
  }

  join() {
    const leaving = new AbortController();
    const workerId = `w${this.#line.length}`;
    const options = { ttl: TTL_MS, waitMs: Infinity, signal: leaving.signal };
    const turn = this.#client.lease(PERMIT, workerId, options);
    turn.catch(() => {});
    this.#line.push({ workerId, turn, leaving });
  }

  /** The place of the next entry from `place` on that has not left. */
  #from(place) {
    let at = place;
    while (this.#line[at].leaving.signal.aborted) at++;
    return at;
  }

  renewFirst() {
    return this.#client.renew(this.#line[this.#first].workerId);
  }

  /** Releases the permit; resolves when the next in line has it. */
  handOver() {
    const { workerId } = this.#line[this.#first];
    this.#first = this.#from(this.#first + 1);
    return Promise.all([this.#client.release(workerId, PERMIT), this.#line[this.#first].turn]);
  }

  /** A random waiting request leaves. */
  leave() {
    const others = this.#line.length - this.#first - LOT;
    const at = this.#from(this.#first + 1 + Math.floor(Math.random() * others));
    this.#line[at].leaving.abort();
  }
}

async function waiting({ client }, { count, rounds, broker }) {
  await client.set(ITEM, 1, TTL_MS);
  await client.limit(PERMIT, 1);
  const queue = new Queue(client);
  queue.join();
  await inParts(count, () => queue.join());
  const lots = new Lots(broker);
  // An operation without a reply is done when the broker has answered a later call.
  const told = (act) => (i) => {
    act();
    return i === LOT - 1 ? client.ping() : undefined;
  };
  await cycles(lots, rounds, async () => {
    await lots.lot(
      'join the queue',
      told(() => queue.join()),
    );
    await lots.lot('release, the next has it', () => queue.handOver());
    await lots.lot('renew', () => queue.renewFirst());
    await lots.lot('get', () => client.get(ITEM));
    of(LOT, () => queue.join());
    await client.ping();
    await lots.lot(
      'leave the queue',
      told(() => queue.leave()),
    );
  });
  return lots.figures();
}

async function play(peer, place, job) {
  const options = { maxItems: 0, maxWaiters: 0 };
  const service = await peer.serve({ dir: place.dir, cpus: place.server, options });
  const client = await openClient(peer, service, place.client);
  const figures = await client.ask({ workload: NAME, ...job, broker: service.server.pid });
  await client.close();
  await stop(service.server);
  return figures;
}

async function once({ peers, places, settings }) {
  const [peer] = peers.filter(({ can = [] }) => can.includes('leases'));
  if (peer === undefined) return [];
  const jobs = [
    ...Object.keys(KINDS).map((kind) => ({ what: `held: ${kind}`, task: 'held', kind })),
    { what: 'waiting for one permit', task: 'waiting' },
  ];
  const tables = [];
  for (const { what, ...job } of jobs) {
    const rows = new Map();
    for (const count of COUNTS) {
      const task = { ...job, count, rounds: settings.rounds };
      const figures = await play(peer, places[0], task);
      for (const [operation, us] of Object.entries(figures)) {
        if (!rows.has(operation)) rows.set(operation, { what: operation, figures: {} });
        // Not a plain number, which would come first in the order of an object's members.
        rows.get(operation).figures[`${count.toLocaleString('en')} ${job.task}`] = us;
      }
    }
    tables.push({ name: what, unit: 'µs', rows: [...rows.values()] });
  }
  return tables;
}

const tasks = { held, waiting };
module.exports = [{ name: NAME, order: 22, group: 'leases', kind: 'once', tasks, once }];

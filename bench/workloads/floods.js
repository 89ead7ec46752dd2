'use strict';

// The latency of a polite client while four others pipeline without a pause: sequential gets of a separate
// process, alone and next to the floods. A flood keeps a fixed number of requests under way, and reads its
// replies.
const { Clock } = require('../clock.js');
const { openClient, stop } = require('../common.js');

const NAME = 'four floods beside a polite client';
const FLOODS = 4;
const UNDER_WAY = 1_000;
const TTL_MS = 3_600_000;
const ITEM = 'bench:item';
const LARGE = 'bench:large';
const LARGE_BYTES = 16 * 1024;
const HUGE = 'bench:huge';
const HUGE_BYTES = 256 * 1024;
const LISTED = 'bench:listed:';
const LISTED_ITEMS = 100_000;
const WATCHES = 200;
const POOL = 'bench:pool';
const ELEMENTS = 130_000;
const PATIENT = { timeout: 600_000 };
/** The requests of the floods, and how many are under way at a time. */
const KINDS = {
  'small gets': { underWay: UNDER_WAY, ask: (client) => client.get(ITEM, PATIENT) },
  'gets of 16 KiB': { underWay: UNDER_WAY, ask: (client) => client.get(LARGE, PATIENT) },
  'values of 256 KiB': {
    underWay: 16,
    ask: (client, number) =>
      number % 2 === 0
        ? client.get(HUGE, PATIENT)
        : client.set(HUGE, Buffer.alloc(HUGE_BYTES, number), TTL_MS, PATIENT),
  },
  'lists of 100,000 items': { underWay: 1, ask: (client) => client.list(LISTED, PATIENT) },
  'watches left unread': {
    underWay: 100,
    begin: (client) => {
      for (let i = 0; i < WATCHES; i++) client.watch('bench:');
    },
    ask: (client, number) => client.set(`bench:watched:${number % 100}`, number, TTL_MS, PATIENT),
  },
  'pools of 130,000 elements': { underWay: 1, ask: changePool },
};

/**
 * In turn defines a pool of this flood, replaces its list by another one that shares half of the elements,
 * and deletes the pool.
 */
function changePool(client, number) {
  const key = `${POOL}:${process.pid}`;
  if (number % 3 === 2) return client.del(key, PATIENT);
  const first = (number % 3) * (ELEMENTS / 2);
  const elements = Array.from({ length: ELEMENTS }, (_, i) => first + i);
  return client.pool(key, elements, { ...PATIENT, replace: true });
}

async function prepare({ client }, { kind }) {
  await client.set(ITEM, 'x'.repeat(100), TTL_MS);
  await client.set(LARGE, Buffer.alloc(LARGE_BYTES, 7), TTL_MS);
  await client.set(HUGE, Buffer.alloc(HUGE_BYTES, 7), TTL_MS);
  if (!kind.startsWith('lists')) return {};
  for (let i = 0; i < LISTED_ITEMS; i += UNDER_WAY) {
    const some = Array.from({ length: UNDER_WAY }, (_, j) => `${LISTED}${i + j}`);
    await Promise.all(some.map((key) => client.set(key, 1, TTL_MS)));
  }
  return {};
}

/** Starts a flood that runs until its process is closed. */
async function flood({ client }, { kind }) {
  const { begin, ask, underWay } = KINDS[kind];
  let number = 0;
  begin?.(client);
  const next = () =>
    ask(client, number++).then(next, () => {
      // The broker has ended.
    });
  for (let i = 0; i < underWay; i++) next();
  return {};
}

/** Sequential gets for `ms`; resolves milliseconds. */
async function observe({ client }, { ms }) {
  const clock = new Clock(ms);
  do await client.get(ITEM, { timeout: 600_000 });
  while (clock.lap());
  const [p50, p99, longest] = clock.quantiles(0.5, 0.99, 1).map((us) => us / 1_000);
  return { p50, p99, longest, gets: clock.count };
}

async function play(peer, place, settings, kind) {
  const service = await peer.serve({ dir: place.dir, cpus: place.server });
  const clients = [];
  const join = async (cpus) => {
    clients.push(await openClient(peer, service, cpus));
    return clients.at(-1);
  };
  const polite = await join(place.server);
  await polite.ask({ workload: NAME, task: 'prepare', kind });
  const ms = settings.rounds * settings.ms;
  const look = { workload: NAME, task: 'observe', ms };
  await polite.ask(look);
  const alone = await polite.ask(look);
  for (let i = 0; i < FLOODS; i++) {
    await (await join(place.client)).ask({ workload: NAME, task: 'flood', kind });
  }
  await polite.ask(look);
  const beside = await polite.ask(look);
  await Promise.all(clients.map((client) => client.close()));
  await stop(service.server);
  return { alone, beside };
}

async function once({ peers, places, settings }) {
  const able = peers.filter(({ can = [] }) => can.includes('leases'));
  const rows = [];
  for (const place of places.filter(({ name }) => name !== 'one CPU')) {
    for (const peer of able) {
      for (const kind of Object.keys(KINDS)) {
        const { alone, beside } = await play(peer, place, settings, kind);
        const where = place.clients > 1 ? 'all anywhere' : 'floods on a CPU of their own';
        rows.push({ what: `${peer.name}, alone`, figures: alone });
        rows.push({ what: `${peer.name}, beside floods of ${kind}, ${where}`, figures: beside });
      }
    }
  }
  return { name: NAME, unit: 'ms', rows };
}

const tasks = { flood, observe, prepare };
module.exports = [{ name: NAME, order: 25, group: 'floods', kind: 'once', tasks, once }];

'use strict';

// What a polite client feels while four others pipeline without end: sequential gets of a process of
// its own, alone and beside the floods. A flood has always so many requests under way, and reads its
// replies.
const { Clock } = require('../clock');
const { openClient, stop } = require('../common');

const NAME = 'four floods beside a polite client';
const FLOODS = 4;
const UNDER_WAY = 1_000;
const TTL_MS = 3_600_000;
const ITEM = 'bench:item';
const LARGE = 'bench:large';
const LARGE_BYTES = 16 * 1024;
/** What the floods ask for. */
const KINDS = { 'small gets': ITEM, 'gets of 16 KiB': LARGE };

async function prepare({ client }) {
  await client.set(ITEM, 'x'.repeat(100), TTL_MS);
  await client.set(LARGE, Buffer.alloc(LARGE_BYTES, 7), TTL_MS);
  return {};
}

/** Answers at once and goes on until its process is closed. */
async function flood({ client }, { key }) {
  const ask = () =>
    client.get(key, { timeout: 600_000 }).then(ask, () => {
      // The broker has ended.
    });
  for (let i = 0; i < UNDER_WAY; i++) ask();
  return {};
}

/** Milliseconds of each of many gets. */
async function observe({ client }, { ms }) {
  const clock = new Clock(ms);
  do await client.get(ITEM, { timeout: 600_000 });
  while (clock.lap());
  const [p50, p99, longest] = clock.quantiles(0.5, 0.99, 1).map((us) => us / 1_000);
  return { p50, p99, longest, gets: clock.count };
}

async function play(peer, place, settings, key) {
  const service = await peer.serve({ dir: place.dir, cpus: place.server });
  const clients = [];
  const join = async (cpus) => {
    clients.push(await openClient(peer, service, cpus));
    return clients.at(-1);
  };
  const polite = await join(place.server);
  await polite.ask({ workload: NAME, task: 'prepare' });
  const ms = settings.rounds * settings.ms;
  const look = { workload: NAME, task: 'observe', ms };
  await polite.ask(look);
  const alone = await polite.ask(look);
  for (let i = 0; i < FLOODS; i++) {
    await (await join(place.client)).ask({ workload: NAME, task: 'flood', key });
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
      for (const [kind, key] of Object.entries(KINDS)) {
        const { alone, beside } = await play(peer, place, settings, key);
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

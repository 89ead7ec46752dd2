'use strict';

// The memory of an item of 100 bytes at 100,000 items: by the resident memory of the server's process and by
// the server's own count. Our items always have a TTL; every peer is measured with and, if possible, without
// one.
const { setTimeout: delay } = require('node:timers/promises');
const { openClient, residentBytes, rowOrFailure, spread, stop, within } = require('../common.js');

const NAME = 'bytes an item';
const ITEMS = 100_000;
const SETTLING_ITEMS = 2_000;
const SETTLING_MS = 300;
const LOT = 500;
/** The number of servers, because Node's own memory sometimes grows by half a megabyte. */
const TIMES = 3;
/** The time limit of a slow peer. */
const PATIENCE_MS = 30_000;
const TTL_MS = 600_000;
const VALUE = 'v'.repeat(100);

async function fill(client, { first, count, ttlMs }) {
  for (let lot = first; lot < first + count; lot += LOT) {
    const keys = Array.from({ length: LOT }, (_, i) => `bench:item:${lot + i}`);
    await Promise.all(keys.map((key) => client.set(key, VALUE, ttlMs)));
  }
  return {};
}

async function measure(peer, place, ttlMs) {
  const { items = ITEMS } = peer;
  const service = await peer.serve({ dir: place.dir, cpus: place.server });
  const store = async (first, count) => {
    const client = await openClient(peer, service, place.client);
    await client.ask({ workload: NAME, task: 'fill', first, count, ttlMs });
    const counted = await client.ask({ memory: true });
    await client.close();
    // The server frees the memory of the connection.
    await delay(SETTLING_MS);
    if (!service.server) return counted;
    return { 'resident memory': residentBytes(service.server.pid), ...counted };
  };
  const before = await store(0, SETTLING_ITEMS);
  const after = await store(SETTLING_ITEMS, items);
  await stop(service.server);
  const names = Object.keys(before);
  return Object.fromEntries(names.map((name) => [name, (after[name] - before[name]) / items]));
}

/** The medians of several servers. */
async function measureOften(...args) {
  const all = [];
  while (all.length < TIMES) all.push(await within(PATIENCE_MS, measure(...args)));
  const names = Object.keys(all[0]);
  return Object.fromEntries(names.map((name) => [name, spread(all.map((one) => one[name]))]));
}

/** Without and with a TTL, if the peer supports both. */
function ttlsOf({ ttl = 'either' }) {
  return { always: [TTL_MS], never: [undefined], either: [undefined, TTL_MS] }[ttl];
}

async function once({ peers, places }) {
  const rows = [];
  for (const peer of peers.filter(({ only, sharesServer }) => !only && !sharesServer)) {
    for (const ttlMs of ttlsOf(peer)) {
      const what = `${peer.name}${ttlMs ? ', with a TTL' : ''}`;
      rows.push(await rowOrFailure(what, measureOften(peer, places.at(-1), ttlMs)));
    }
  }
  return { unit: 'bytes', rows };
}

module.exports = [{ name: NAME, order: 10, group: 'store', kind: 'once', tasks: { fill }, once }];

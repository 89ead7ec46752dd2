'use strict';

// Bytes an item of 100 bytes costs at 100,000 items: by the resident memory of the server's process
// and by the server's own count. Our items always have a TTL; every peer is measured without (where
// it can) and with one.
const { openClient, residentBytes, stop } = require('../common');

const NAME = 'bytes an item';
const ITEMS = 100_000;
const SETTLING_ITEMS = 2_000;
const LOT = 500;
const TTL_MS = 600_000;
const VALUE = 'v'.repeat(100);

/** Stores items; what the worker runs. */
async function run(client, clock, { first, count, ttlMs }) {
  for (let lot = first; lot < first + count; lot += LOT) {
    const keys = Array.from({ length: LOT }, (_, i) => `bench:item:${lot + i}`);
    await Promise.all(keys.map((key) => client.set(key, VALUE, ttlMs)));
  }
  return count;
}

async function measure(peer, place, ttlMs) {
  const service = await peer.serve({ dir: place.dir, cpus: place.server });
  const client = await openClient(peer, service, place.client);
  const figures = async () => ({
    'resident memory': residentBytes(service.server.pid),
    ...(await client.ask({ memory: true })),
  });
  const fill = (first, count) => client.ask({ workload: NAME, first, count, ttlMs });

  await fill(0, SETTLING_ITEMS);
  const before = await figures();
  await fill(SETTLING_ITEMS, ITEMS);
  const after = await figures();
  await client.close();
  await stop(service.server);
  const names = Object.keys(before);
  return Object.fromEntries(names.map((name) => [name, (after[name] - before[name]) / ITEMS]));
}

async function once({ peers, places }) {
  const rows = [];
  for (const peer of peers.filter(({ only }) => !only)) {
    for (const ttlMs of peer.ttlAlways ? [TTL_MS] : [undefined, TTL_MS]) {
      const what = `${peer.name}${ttlMs ? ', with a TTL' : ''}`;
      rows.push({ what, figures: await measure(peer, places.at(-1), ttlMs) });
    }
  }
  return { unit: 'bytes', rows };
}

module.exports = [{ name: NAME, order: 10, group: 'store', kind: 'once', run, once }];

'use strict';

// Bytes an item of 100 bytes costs at 100,000 items: by the resident memory of the server's process
// and by the server's own count. Our items always have a TTL; every peer is measured without (where
// it can) and with one.
const { openClient, residentBytes, rowOrFailure, stop, within } = require('../common');

const NAME = 'bytes an item';
const ITEMS = 100_000;
const SETTLING_ITEMS = 2_000;
const LOT = 500;
/** What a slow peer may take. */
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
  const client = await openClient(peer, service, place.client);
  const resident = () =>
    service.server ? { 'resident memory': residentBytes(service.server.pid) } : {};
  const figures = async () => ({ ...resident(), ...(await client.ask({ memory: true })) });
  const store = (first, count) => client.ask({ workload: NAME, task: 'fill', first, count, ttlMs });

  await store(0, SETTLING_ITEMS);
  const before = await figures();
  await store(SETTLING_ITEMS, items);
  const after = await figures();
  await client.close();
  await stop(service.server);
  const names = Object.keys(before);
  return Object.fromEntries(names.map((name) => [name, (after[name] - before[name]) / items]));
}

/** Without and with a TTL, as far as the peer leaves the choice. */
function ttlsOf({ ttl = 'either' }) {
  return { always: [TTL_MS], never: [undefined], either: [undefined, TTL_MS] }[ttl];
}

async function once({ peers, places }) {
  const rows = [];
  for (const peer of peers.filter(({ only, sharesServer }) => !only && !sharesServer)) {
    for (const ttlMs of ttlsOf(peer)) {
      const what = `${peer.name}${ttlMs ? ', with a TTL' : ''}`;
      const work = measure(peer, places.at(-1), ttlMs);
      rows.push(await rowOrFailure(what, within(PATIENCE_MS, work)));
    }
  }
  return { unit: 'bytes', rows };
}

module.exports = [{ name: NAME, order: 10, group: 'store', kind: 'once', tasks: { fill }, once }];

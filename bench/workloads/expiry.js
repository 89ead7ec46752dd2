'use strict';

// What other clients feel while 100,000 items come to their end in the same millisecond: sequential
// gets of a process of its own, before that and across it, until the server has taken them back.
const { openClient, quantile, stop } = require('../common');

const NAME = '100,000 items that expire at once';
const ITEMS = 100_000;
const LOT = 500;
const FILL_MS = 8_000;
const AFTER_MS = 1_500;
const ITEM = 'bench:item';
const VALUE = 'x'.repeat(100);
const TARGET_MS = 5;

/** Stores items that all end at one moment. */
async function fill(client, { endsAt }) {
  for (let first = 0; first < ITEMS; first += LOT) {
    const keys = Array.from({ length: LOT }, (_, i) => `bench:due:${first + i}`);
    await Promise.all(keys.map((key) => client.set(key, VALUE, endsAt - Date.now())));
  }
  return { leftMs: endsAt - Date.now() };
}

/** Milliseconds of each of many gets up to a moment. */
async function observe(client, { until }) {
  const times = [];
  await client.set(ITEM, VALUE, 600_000);
  for (let last = performance.now(); Date.now() < until;) {
    await client.get(ITEM);
    const now = performance.now();
    times.push(now - last);
    last = now;
  }
  const [p50, p99, longest] = [0.5, 0.99, 1].map((part) => quantile(times, part));
  return { p50, p99, longest };
}

async function play(peer, place) {
  const service = await peer.serve({ dir: place.dir, cpus: place.server });
  const join = () => openClient(peer, service, place.client);
  const [filler, other] = [await join(), await join()];
  const look = (until) => other.ask({ workload: NAME, task: 'observe', until });

  await look(Date.now() + AFTER_MS);
  const before = await look(Date.now() + AFTER_MS);
  const endsAt = Date.now() + FILL_MS;
  const { leftMs } = await filler.ask({ workload: NAME, task: 'fill', endsAt });
  if (leftMs <= 0) throw new Error('the items ended before all of them were stored');
  await filler.close();
  const across = await look(endsAt + AFTER_MS);
  await other.close();
  await stop(service.server);
  return { before, across };
}

async function once({ peers, places }) {
  const rows = [];
  for (const peer of peers.filter(({ only }) => !only)) {
    const { before, across } = await play(peer, places.at(-1));
    rows.push({ what: `${peer.name}, before`, figures: before });
    rows.push({ what: `${peer.name}, while they expire`, figures: across });
  }
  return { name: `${NAME} (the longest is to stay below ${TARGET_MS} ms)`, unit: 'ms', rows };
}

const tasks = { fill, observe };
module.exports = [{ name: NAME, order: 11, group: 'store', kind: 'once', tasks, once }];

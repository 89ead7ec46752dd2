'use strict';

// The time from the SIGKILL of the holder to the grant of the next in line, as its JavaScript sees it. The
// first half of the rounds runs on an idle machine, the second half while every CPU is busy.
const { spawn } = require('node:child_process');
const { setTimeout: delay } = require('node:timers/promises');
const { openClient, quantile, stop } = require('../common.js');

const NAME = 'from a SIGKILL to the next grant';
const DEATHS_A_ROUND = 10;
const LOOK_MS = 2;
const BUSY = 2;
const LOCK = 'bench:account';

const now = () => Number(process.hrtime.bigint());

async function acquire({ client }) {
  await client.acquireLock(LOCK);
  return { at: now() };
}

async function waiting({ client }) {
  return { waiting: (await client.stats()).waiting };
}

/** Kills the holder `count` times; resolves the milliseconds until the next one had the lock. */
async function deaths(peer, place, count) {
  const service = await peer.serve({ dir: place.dir, cpus: place.server });
  const open = () => openClient(peer, service, place.client);
  const job = (task) => ({ workload: NAME, task });
  const observer = await open();
  const times = [];
  let holder = await open();
  await holder.ask(job('acquire'));
  while (times.length < count) {
    const next = await open();
    const turn = next.ask(job('acquire'));
    while ((await observer.ask(job('waiting'))).waiting === 0) await delay(LOOK_MS);
    const killed = now();
    await holder.kill();
    times.push(((await turn).at - killed) / 1e6);
    holder = next;
  }
  await holder.close();
  await observer.close();
  await stop(service.server);
  return times;
}

async function once({ peers, places, settings }) {
  const peer = peers.find(({ can = [] }) => can.includes('leases'));
  if (peer === undefined) return [];
  const place = places.find(({ clients }) => clients > 1) ?? places[0];
  const rows = [];
  for (const busy of [0, BUSY]) {
    const load = Array.from({ length: busy }, () => spawn(process.execPath, ['-e', 'for (;;);']));
    try {
      const times = await deaths(peer, place, settings.rounds * DEATHS_A_ROUND);
      const [p50, p99, longest] = [0.5, 0.99, 1].map((part) => quantile(times, part));
      const what = busy === 0 ? 'idle machine' : `${busy} other processes use all they get`;
      rows.push({ what, figures: { p50, p99, longest, deaths: times.length } });
    } finally {
      load.forEach((child) => child.kill('SIGKILL'));
    }
  }
  return { unit: 'ms', rows };
}

const tasks = { acquire, waiting };
module.exports = [{ name: NAME, order: 25, group: 'leases', kind: 'once', tasks, once }];

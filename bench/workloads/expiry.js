'use strict';

// 100,000 items expire at the same moment. Measures the longest get of another client from shortly before
// to some time after this moment, the longest get in the same span of calm time, and the longest pause of
// programs that only read the clock. A peer that removes expired items only when they are requested has no
// work at this moment, and keeps the memory.
const { execFile } = require('node:child_process');
const { setTimeout: delay } = require('node:timers/promises');
const { promisify } = require('node:util');
const { Clock } = require('../clock.js');
const { compile, openClient, rowOrFailure, signalAll, spread, stop } = require('../common.js');

const NAME = 'longest pause while 100,000 items expire';
const ITEMS = 100_000;
const LOT = 500;
const FILL_MS_LEAST = 1_000;
const WARM_MS = 2_000;
const BEFORE_MS = 200;
const AFTER_MS = 1_300;
const TTL_MS = 3_600_000;
const ITEM = 'bench:item';
const VALUE = 'v'.repeat(100);

const keyOf = (i) => `bench:short:${i}`;

const tasks = {
  async fill(client, { end }) {
    for (let lot = 0; lot < ITEMS; lot += LOT) {
      const ttlMs = end - Date.now();
      if (ttlMs <= BEFORE_MS) throw new Error('it took too long to store the items');
      const keys = Array.from({ length: LOT }, (_, i) => keyOf(lot + i));
      await Promise.all(keys.map((key) => client.set(key, VALUE, ttlMs)));
    }
    return {};
  },

  async isGone(client) {
    const value = await client.get(keyOf(0)).catch(() => null);
    return { isGone: value === null || value === undefined };
  },

  /** Sequential gets until a point in time; resolves milliseconds. */
  async observe(client, { until }) {
    await client.set(ITEM, VALUE, TTL_MS);
    const clock = new Clock(until - Date.now());
    do await client.get(ITEM);
    while (clock.lap());
    const [p999, longest] = clock.quantiles(0.999, 1).map((us) => us / 1_000);
    return { longest, p999 };
  },
};

async function play(peer, place) {
  const service = await peer.serve({ dir: place.dir, cpus: place.server });
  const open = () => openClient(peer, service, place.client);
  const [owner, observer] = [await open(), await open()];
  const ask = (client, task, more) => client.ask({ workload: NAME, task, ...more });
  // The other client is stopped meanwhile, because an idle Node collects garbage.
  const look = async (until) => {
    signalAll([owner.pid], 'SIGSTOP');
    const seen = await ask(observer, 'observe', { until });
    signalAll([owner.pid], 'SIGCONT');
    return seen;
  };

  await look(Date.now() + WARM_MS);
  const calm = await look(Date.now() + BEFORE_MS + AFTER_MS);
  // The first fill measures the time to store: the TTL must not end before the last item is stored.
  const began = Date.now();
  await ask(owner, 'fill', { end: began + TTL_MS });
  const end = Date.now() + Math.max(FILL_MS_LEAST, 2 * (Date.now() - began));
  await ask(owner, 'fill', { end });
  await delay(end - BEFORE_MS - Date.now());
  const expiring = await look(end + AFTER_MS);
  const { isGone } = await ask(owner, 'isGone');
  await owner.close();
  await observer.close();
  await stop(service.server);
  if (!isGone) throw new Error(`${peer.name} still has an item that has ended`);
  return { calm, expiring };
}

/** Plays all rounds of a peer. */
async function playRounds(peer, place, rounds) {
  const seen = [];
  for (let round = 0; round < rounds; round++) seen.push(await play(peer, place));
  const of = (when) => ({
    longest: spread(seen.map((one) => one[when].longest)),
    'p99.9': spread(seen.map((one) => one[when].p999)),
  });
  return { calm: of('calm'), expiring: of('expiring') };
}

const execute = promisify(execFile);

/** Reads the clock on both CPUs for the same span: the longest time between two readings. */
async function playClock({ client, server, dir }, rounds) {
  const program = compile(dir, 'gaps');
  const gap = async (cpu) => {
    const args = ['-c', cpu, program, String(BEFORE_MS + AFTER_MS)];
    return JSON.parse((await execute('taskset', args)).stdout).longest;
  };
  const longest = [];
  for (let round = 0; round < rounds; round++) {
    longest.push(Math.max(...(await Promise.all([client, server].map(gap)))));
  }
  return { longest: spread(longest) };
}

async function once({ peers, places, settings }) {
  const rows = [];
  for (const peer of peers.filter(({ can = [] }) => can.includes('expiry'))) {
    const playing = playRounds(peer, places.at(-1), settings.rounds);
    for (const [when, told] of Object.entries({
      calm: 'nothing expires',
      expiring: 'all expire',
    })) {
      const figures = playing.then((both) => both[when]);
      rows.push(await rowOrFailure(`${peer.name}, ${told}`, figures));
    }
  }
  rows.push(
    await rowOrFailure('both CPUs read the clock', playClock(places.at(-1), settings.rounds)),
  );
  return { unit: 'ms', rows };
}

module.exports = [{ name: NAME, order: 12, group: 'expiry', kind: 'once', tasks, once }];

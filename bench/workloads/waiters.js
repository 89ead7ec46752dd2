'use strict';

// The cost of very many waiting requests: the gets of another process before, while and after 10,000 waiters
// are killed at once (and eight, to measure the end of eight processes alone), the memory of the broker, and
// the CPU time of all processes while they are idle.
const fs = require('node:fs');
const path = require('node:path');
const { setTimeout: delay } = require('node:timers/promises');
const {
  cpuTimeMs,
  median,
  openClient,
  quantile,
  residentBytes,
  sleeps,
  stop,
} = require('../common.js');

const CRASH = '10,000 waiters killed at once';
const IDLE = 'waiting costs nothing';
const PROCESSES = 8;
const CALM_MS = 2_000;
const LOOK_MS = 2;
const IDLE_MS = 10_000;
/** The time after which Node has finished the work of its start. */
const SETTLE_MS = 10_000;
const TTL_MS = 3_600_000;
const ITEM = 'bench:item';
const LOCK = 'bench:busy';
const MIB = 1024 * 1024;

const now = () => Number(process.hrtime.bigint());

/** Opens `connections` connections, each with `each` requests that wait for the lock. */
async function wait({ another }, { dir, pipe, connections, each }) {
  const clients = Array.from({ length: connections }, (_, i) => {
    // Clients with the same path share one connection.
    const name = path.join(dir, `${process.pid}-${i}`);
    fs.symlinkSync(pipe, name);
    return another(name);
  });
  for (const [c, client] of clients.entries()) {
    for (let i = 0; i < each; i++) {
      const workerId = `${process.pid} ${c} ${i}`;
      client.acquireLock(LOCK, { workerId, ttl: TTL_MS, timeout: 60_000 });
    }
    await client.ping();
  }
  return {};
}

function percentiles(all) {
  if (all.length === 0) throw new Error('no get was answered at all');
  const [p50, p99, longest] = [0.5, 0.99, 1].map((part) => quantile(all, part));
  return { p50, p99, longest, gets: all.length };
}

/** The gets of the last observation: the end and the microseconds of each. */
let seen = [];

async function observe({ client }, { ms }) {
  await client.set(ITEM, 'value', TTL_MS);
  seen = [];
  for (let last = now(), until = last + ms * 1e6; last < until;) {
    await client.get(ITEM);
    const at = now();
    seen.push({ at, us: (at - last) / 1_000 });
    last = at;
  }
  return {};
}

/** The microseconds of every get that was under way during a span. */
async function times(client, { from = 0, until = Infinity }) {
  const during = seen.filter(({ at, us }) => at >= from && at - us * 1_000 <= until);
  return during.map(({ us }) => us);
}

async function summary(client) {
  return percentiles(await times(client, {}));
}

async function hold({ client }) {
  await client.acquireLock(LOCK, { ttl: TTL_MS });
  return {};
}

/** A broker, a holder of the lock, and processes that wait for it. */
class Scene {
  constructor(peer, place, name) {
    this.peer = peer;
    this.place = place;
    this.workload = name;
    this.clients = [];
  }

  async begin() {
    const { dir, server } = this.place;
    const options = { maxWaiters: 0, maxConnections: 0 };
    this.service = await this.peer.serve({ dir, cpus: server, options });
    this.holder = await this.client();
    await this.ask(this.holder, { task: 'hold' });
  }

  async client() {
    const client = await openClient(this.peer, this.service, this.place.client);
    this.clients.push(client);
    return client;
  }

  ask(client, job) {
    return client.ask({ workload: this.workload, ...job });
  }

  /** Opens processes that wait. */
  async crowd(processes, connections, each) {
    const job = { task: 'wait', dir: this.place.dir, pipe: this.service.address };
    const crowd = [];
    for (let i = 0; i < processes; i++) crowd.push(await this.client());
    await Promise.all(crowd.map((client) => this.ask(client, { ...job, connections, each })));
    return crowd;
  }

  async stats() {
    const { waiting, memory, reservedMemory } = await this.ask(this.holder, { task: 'stats' });
    const resident = residentBytes(this.service.server.pid);
    return {
      waiting,
      'stats().memory': memory / MIB,
      'stats().reservedMemory': reservedMemory / MIB,
      'resident memory': resident / MIB,
    };
  }

  async end() {
    await Promise.all(this.clients.map((client) => client.close()));
    await stop(this.service.server);
  }
}

/** Kills a crowd during an observation; resolves the gets and the time until the crowd was gone. */
async function killAll(scene, observer, crowd) {
  const watching = scene.ask(observer, { task: 'observe', ms: CALM_MS });
  await delay(CALM_MS / 10);
  const from = now();
  const ends = Promise.all(crowd.map((client) => client.kill()));
  while ((await scene.stats()).waiting > 0) await delay(LOOK_MS);
  await ends;
  const until = now();
  const left = await scene.stats();
  await watching;
  const span = { task: 'times', from, until };
  return { times: await scene.ask(observer, span), goneMs: (until - from) / 1e6, left };
}

/** Kills one kind of crowd repeatedly; resolves rows for the two tables. */
async function crash(peer, place, rounds, { connections, each }) {
  const scene = new Scene(peer, place, CRASH);
  await scene.begin();
  const observer = await scene.client();
  const calm = async () => {
    await scene.ask(observer, { task: 'observe', ms: CALM_MS });
    return scene.ask(observer, { task: 'summary' });
  };

  await calm();
  const rows = [['before', await calm(), await scene.stats()]];
  const deaths = [];
  for (let round = 0; round < rounds; round++) {
    const crowd = await scene.crowd(PROCESSES, connections, each);
    if (round === 0) rows.push(['while they wait', await calm(), await scene.stats()]);
    deaths.push(await killAll(scene, observer, crowd));
  }
  const together = percentiles(deaths.flatMap((death) => death.times));
  const goneMs = median(deaths.map((death) => death.goneMs));
  rows.push(['while they die', { ...together, 'gone after, ms': goneMs }, deaths[0].left]);
  rows.push(['after', await calm(), await scene.stats()]);
  await scene.end();
  return rows;
}

function leaseholder(peers) {
  return peers.find(({ can = [] }) => can.includes('leases'));
}

/** The placement where all processes share the CPUs, as in real use. */
const anywhere = (places) => places.find(({ clients }) => clients > 1) ?? places[0];

async function killed({ peers, places, settings }) {
  const peer = leaseholder(peers);
  if (peer === undefined) return [];
  const crowds = [
    { connections: 1, each: 1, what: '8 in 8 processes' },
    { connections: 1, each: 1_250, what: '10,000 on 8 connections' },
    { connections: 63, each: 20, what: '10,080 on 504 connections' },
  ];
  const latencies = [];
  const memories = [];
  for (const { what, ...crowd } of crowds) {
    const rows = await crash(peer, anywhere(places), settings.rounds, crowd);
    for (const [when, figures, memory] of rows) {
      latencies.push({ what: `${what}, ${when}`, figures });
      memories.push({ what: `${what}, ${when}`, figures: memory });
    }
  }
  return [
    { name: `${CRASH}: gets of another process`, unit: 'µs', rows: latencies },
    { name: `${CRASH}: the broker`, unit: 'MiB', rows: memories },
  ];
}

async function idle({ peers, places }) {
  const peer = leaseholder(peers);
  if (peer === undefined) return [];
  const scene = new Scene(peer, anywhere(places), IDLE);
  await scene.begin();
  const observer = await scene.client();
  const [alone] = await scene.crowd(1, 1, 1);
  const [crowded] = await scene.crowd(PROCESSES, 125, 1);
  const watched = {
    'the broker, 1,001 connections wait': scene.service.server.pid,
    'a process that is connected': observer.pid,
    'a process that waits once': alone.pid,
    'a process that waits on 125 connections': crowded.pid,
  };
  await delay(SETTLE_MS);
  const effort = () => Object.values(watched).map((pid) => [cpuTimeMs(pid), sleeps(pid)]);
  const before = effort();
  await delay(IDLE_MS);
  const after = effort();
  const rows = Object.keys(watched).map((what, i) => ({
    what,
    figures: {
      'CPU time in 10 s, ms': after[i][0] - before[i][0],
      'wake-ups': after[i][1] - before[i][1],
    },
  }));
  await scene.end();
  return { unit: '', rows };
}

async function stats({ client }) {
  return client.stats();
}

const tasks = { hold, observe, stats, summary, times, wait };
const common = { group: 'leases', kind: 'once', tasks };

module.exports = [
  { ...common, name: CRASH, order: 23, once: killed },
  { ...common, name: IDLE, order: 24, once: idle },
];

'use strict';

// Measures rates in rounds. In a round every peer runs every workload it supports, at every placement, in
// fresh processes. The time for a workload is divided into slots. The peers take turns, with a different
// peer first in each slot, so that disturbances of the machine affect all peers: the CPUs of a virtual
// machine are half as fast for some tenths of a second when their host has other work.
const fs = require('node:fs');
const { openClient, signalAll, stop, sum, within } = require('./common.js');

const CROWD = 8;
/** The factor of the warm-up of a process's first workload, in which its code is compiled. */
const FIRST_WARMS = 4;
/** The additional factor if processes share the CPUs. */
const CROWD_WARMS = 3;
/** The slots of the first workload that don't count: a client is slow for a while after its first pause. */
const COLD_SLOTS = 5;
/** The warm-up of later slots: other peers have used the CPU's caches in between. */
const SETTLE_MS = 5;
/** The time that a peer may take for a workload in addition to its measuring time. */
const PATIENCE_MS = 10_000;

const say = (text) => process.stderr.write(`${text}\n`);

/** The CPUs that this process may use, from a list such as `0-3,8`. */
function allowedCpus() {
  const status = fs.readFileSync('/proc/self/status', 'utf8');
  const ranges = /^Cpus_allowed_list:\s*(\S+)/m.exec(status)[1].split(',');
  return ranges.flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => String(first + i));
  });
}

function placements(dir) {
  const [a, b] = allowedCpus();
  const one = { name: 'one CPU', server: a, client: a, clients: 1, dir };
  if (b === undefined) return [one];
  const all = `${a},${b}`;
  return [
    one,
    { name: `${CROWD} processes`, server: all, client: all, clients: CROWD, dir },
    { name: 'two CPUs', server: b, client: a, clients: 1, dir },
  ];
}

/**
 * A server and its clients: `measure(workload, settings)` and `close()`. They are stopped during the turns of
 * other teams, because an idle Node collects garbage.
 */
async function openTeam(peer, place) {
  const service = await peer.serve({ dir: place.dir, cpus: place.server });
  const openOne = () => openClient(peer, service, place.client);
  const opening = Promise.all(Array.from({ length: place.clients }, openOne));
  const clients = await opening.catch(async (error) => {
    await stop(service.server);
    throw error;
  });
  const pids = [service.server, ...clients].flatMap((one) => one?.pid ?? []);
  let isFirst = true;
  const measure = async (workload, { ms, warmMs }) => {
    signalAll(pids, 'SIGCONT');
    const warms = (isFirst ? FIRST_WARMS : 1) * (clients.length > 1 ? CROWD_WARMS : 1);
    const job = { workload: workload.name, ms, warmMs: warmMs * warms };
    isFirst = false;
    const answers = await Promise.all(clients.map((client) => client.ask(job)));
    signalAll(pids, 'SIGSTOP');
    return {
      perSecond: sum(answers.map((one) => (1_000 * one.operations) / one.ms)),
      cpuUs: sum(answers.map((one) => one.cpuUs)) / answers.length,
      percentiles: answers.length === 1 ? answers[0].percentiles : null,
    };
  };
  const close = async () => {
    signalAll(pids, 'SIGCONT');
    await Promise.all(clients.map((client) => client.close()));
    await stop(service.server);
  };
  return { measure, close };
}

/** Whether a peer takes a workload: each may restrict the other, and a workload may need a feature. */
function takes(peer, { name, forAll, needs }, place) {
  if (peer.places && !peer.places.includes(place.name)) return false;
  if (peer.only) return peer.only.includes(name);
  return (forAll || peer.main) && (needs === undefined || (peer.can ?? []).includes(needs));
}

/** The teams of a round at one placement. A failed team is never used again. */
class Teams {
  #place;
  #open = new Map();

  constructor(place) {
    this.#place = place;
  }

  async measure(peer, workload, settings) {
    const work = async () => {
      if (!this.#open.has(peer)) {
        this.#open.set(peer, await (peer.openTeam ?? ((at) => openTeam(peer, at)))(this.#place));
      }
      return this.#open.get(peer).measure(workload, settings);
    };
    try {
      return await within(PATIENCE_MS + settings.ms, work());
    } catch (error) {
      await this.close(peer);
      return { failed: error.message.split('\n')[0] };
    }
  }

  async close(peer) {
    await this.#open.get(peer)?.close();
    this.#open.delete(peer);
  }

  async closeAll() {
    for (const peer of [...this.#open.keys()]) await this.close(peer);
  }
}

/** The figures of all rounds, by workload and placement. */
class Results {
  #rows = new Map();

  row(workload, place) {
    const id = `${workload.name}, ${place.name}`;
    const fresh = { workload: workload.name, place: place.name, slots: {}, failed: {} };
    if (!this.#rows.has(id)) this.#rows.set(id, fresh);
    return this.#rows.get(id);
  }

  /** A peer that fails once loses all its figures of the row: a ratio needs both figures of each slot. */
  add(row, peer, { failed, ...figures }) {
    if (failed) {
      say(`${row.workload}, ${row.place}: ${peer.name} failed: ${failed}`);
      row.failed[peer.name] = failed;
      delete row.slots[peer.name];
    } else {
      (row.slots[peer.name] ??= []).push(figures);
    }
  }

  all() {
    return [...this.#rows.values()];
  }
}

/** The slots of a workload in a round. A crowd has one slot: to save memory, one crowd exists at a time. */
function slotsOf({ ms, warmMs, slots }, isFirst, isCrowd) {
  if (isCrowd) return [{ ms, warmMs, counts: true }];
  const cold = isFirst ? COLD_SLOTS : 0;
  return Array.from({ length: cold + slots }, (_, slot) => ({
    ms: ms / slots,
    warmMs: slot === 0 ? warmMs : SETTLE_MS,
    counts: slot >= cold,
  }));
}

/** One round at one placement. */
async function playRound(round, place, { workloads, peers, settings }, results) {
  const teams = new Teams(place);
  const isCrowd = place.clients > 1;
  const here = workloads.filter(({ places }) => places.includes(place.name));
  for (const workload of here) {
    const row = results.row(workload, place);
    const slots = slotsOf(settings, workload === here[0], isCrowd);
    for (const [slot, times] of slots.entries()) {
      const takers = peers.filter((peer) => takes(peer, workload, place) && !row.failed[peer.name]);
      for (let turn = 0; turn < takers.length; turn++) {
        const peer = takers[(turn + round * slots.length + slot) % takers.length];
        const figures = await teams.measure(peer, workload, times);
        if (times.counts || figures.failed) results.add(row, peer, figures);
        if (isCrowd) await teams.close(peer);
      }
    }
  }
  await teams.closeAll();
}

/** @returns {Promise<object[]>} rows of `{ workload, place, slots, failed }` for report.js */
async function playRounds(plan) {
  const results = new Results();
  if (plan.workloads.length === 0) return [];
  for (let round = 0; round < plan.settings.rounds; round++) {
    say(`round ${round + 1} of ${plan.settings.rounds}`);
    for (const place of plan.places) await playRound(round, place, plan, results);
  }
  return results.all();
}

module.exports = { placements, playRounds, say };

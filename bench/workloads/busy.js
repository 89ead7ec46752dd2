'use strict';

// The cost of requests for processes with other work: eight processes compute a fixed amount on two CPUs and
// get a value after each part. The broker and its clients spin for a reply before they sleep; this must not
// take time from the other processes.
const { cpuTimeMs, openClient, spread, stop, sum } = require('../common.js');

const NAME = "eight processes' own work";
const PARTS = 100;
/** The steps of a part: some milliseconds of computing. */
const STEPS = 2_000_000;
const ITEM = 'bench:item';
const ALONE = 'no requests';

function compute() {
  let state = 1;
  for (let i = 0; i < STEPS; i++) state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
  return state;
}

const tasks = {
  async prepare(client) {
    await client.set(ITEM, 'value', 600_000);
    compute();
    return {};
  },

  async work(client, { asks }) {
    for (let part = 0; part < PARTS; part++) {
      compute();
      if (asks) await client.get(ITEM);
    }
    return {};
  },
};

async function play({ peer, asks }, place) {
  const service = await peer.serve({ dir: place.dir, cpus: place.server });
  const open = () => openClient(peer, service, place.client);
  const clients = await Promise.all(Array.from({ length: 8 }, open));
  const all = (task) =>
    Promise.all(clients.map((client) => client.ask({ workload: NAME, task, asks })));
  const pids = clients.map(({ pid }) => pid);
  const cpu = () => [sum(pids.map(cpuTimeMs)), service.server ? cpuTimeMs(service.server.pid) : 0];
  await all('prepare');
  const before = cpu();
  const began = performance.now();
  await all('work');
  const wall = performance.now() - began;
  const after = cpu();
  await Promise.all(clients.map((client) => client.close()));
  await stop(service.server);
  return { wall, workers: after[0] - before[0], server: after[1] - before[1] };
}

/** The ratio of a figure to that without requests in the same round. */
const ratios = (rounds, alone, of) =>
  spread(rounds.map((one, round) => of(one) / of(alone[round])));

async function once({ peers, places, settings }) {
  const main = peers.filter((peer) => peer.main);
  const place = places.find(({ clients }) => clients > 1) ?? places[0];
  if (main.length === 0) return [];
  const sides = [
    { what: ALONE, peer: main.at(-1), asks: false },
    ...main.map((peer) => ({ what: peer.name, peer, asks: true })),
  ].map((side) => ({ ...side, seen: [] }));
  for (let round = 0; round < settings.rounds; round++) {
    for (let turn = 0; turn < sides.length; turn++) {
      const side = sides[(turn + round) % sides.length];
      side.seen.push(await play(side, place));
    }
  }
  const alone = sides[0].seen;
  const rows = sides.map(({ what, seen }) => ({
    what,
    figures: {
      'wall time, ms': spread(seen.map(({ wall }) => wall)),
      'CPU time of the eight, ms': spread(seen.map(({ workers }) => workers)),
      'CPU time of the server, ms': spread(seen.map(({ server }) => server)),
      'wall time, ratio': ratios(seen, alone, ({ wall }) => wall),
      'all CPU time, ratio': ratios(seen, alone, ({ workers, server }) => workers + server),
    },
  }));
  return { unit: `${PARTS} parts each, a get after each`, rows };
}

module.exports = [{ name: NAME, order: 13, group: 'busy', kind: 'once', tasks, once }];

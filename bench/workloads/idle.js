'use strict';

// The cost of an idle broker and an idle client: the number of wake-ups of their threads, and their memory
// beyond an empty Node process. Some processes of each kind run at the same time.
const path = require('node:path');
const { setTimeout: delay } = require('node:timers/promises');
const {
  cpuTimeMs,
  median,
  pinned,
  residentBytes,
  residentBytesBesideProgram,
  sleeps,
  spread,
  stop,
} = require('../common.js');

const NAME = 'idle';
const ROOT = path.join(__dirname, '../..');
const CLI = path.join(ROOT, 'bin/ephemeral-pipe-broker.js');
const LIBRARY = JSON.stringify(ROOT);
const OF_EACH = 3;
/** The time after which Node has finished the work of its start. */
const SETTLE_MS = 10_000;
const IDLE_MS = 10_000;
const MIB = 1024 * 1024;
/** Keeps a process alive for longer than the whole measurement. */
const STAY = 'setTimeout(() => {}, 120_000);';

/** The arguments of node, given the pipe of a broker. */
const KINDS = {
  'an empty Node process': () => ['-e', STAY],
  // Node's process becomes the broker.
  'the broker of start': () => [CLI, 'start'],
  'a Broker in a program': () => ['-e', `new (require(${LIBRARY}).Broker)().start(); ${STAY}`],
  'a client after a get': (pipe) => [
    '-e',
    `new (require(${LIBRARY}).PipeClient)('${pipe}').get('nothing').catch(() => {}); ${STAY}`,
  ],
};

async function once({ peers, places }) {
  const peer = peers.find(({ isOurs }) => isOurs);
  if (peer === undefined) return [];
  const { dir, server: cpus } = places.find(({ clients }) => clients > 1) ?? places[0];
  const service = await peer.serve({ dir, cpus });
  const env = { ...process.env, ...service.env, TMPDIR: dir };
  const start = (args) =>
    pinned(cpus, process.execPath, args, { env, stdio: ['pipe', 'ignore', 'inherit'] });
  const started = Object.entries(KINDS).map(([what, args]) => {
    const children = Array.from({ length: OF_EACH }, () => start(args(service.address)));
    return { what, children, pids: children.map(({ pid }) => pid) };
  });
  await delay(SETTLE_MS);
  const efforts = () => started.map(({ pids }) => [pids.map(sleeps), pids.map(cpuTimeMs)]);
  const before = efforts();
  await delay(IDLE_MS);
  const after = efforts();
  const memories = started.map(({ pids }) => pids.map(residentBytes));
  const own = started.map(({ pids }) => pids.map(residentBytesBesideProgram));
  const empty = median(own[0]);
  const rows = started.map(({ what }, i) => {
    const grown = (which) => after[i][which].map((count, j) => count - before[i][which][j]);
    return {
      what,
      figures: {
        'wake-ups in 10 s': median(grown(0)),
        'CPU time in 10 s, ms': median(grown(1)),
        'resident memory, MiB': spread(memories[i].map((bytes) => bytes / MIB)),
        'beyond Node, MiB': median(own[i].map((bytes) => (bytes - empty) / MIB)),
      },
    };
  });
  await Promise.all(started.flatMap(({ children }) => children.map(stop)));
  await stop(service.server);
  return { unit: `medians of ${OF_EACH} processes`, rows };
}

module.exports = [{ name: NAME, order: 14, group: 'idle', kind: 'once', once }];

'use strict';

// The cost of `start -- true` over an empty Node process, called by Node, and over `true`, called directly; and
// that of a worker that only makes one get: medians of the wall time, interleaved. And the time from the end of
// a command to the end of its broker.
const fs = require('node:fs');
const path = require('node:path');
const { once } = require('node:events');
const { spawn, spawnSync } = require('node:child_process');
const { openClient, spread, stop } = require('../common.js');

const START = 'start -- true';
const COLD = 'a cold worker gets a value';
const END = 'the end of the command to the end of its broker';
const OURS = 'broker';
const CLI = path.join(__dirname, '../../bin/ephemeral-pipe-broker.js');
const PROGRAM = path.join(__dirname, '../../build/Release/epb');
const HOLLOW = 'as many empty modules, and the addon';
const EMPTY = { what: 'node -e 0', args: ['-e', '0'] };
const TRUE = { what: 'true', file: 'true', args: [] };
/** Many, because the times of process starts scatter and each is short. */
const TIMES_A_ROUND = 8;
const ENDS_A_ROUND = 40;
const LIMIT_MS = 10_000;
/** Prints the broker's process id, and stays. */
const COMMAND = ['sh', '-c', 'echo "$EPHEMERAL_BROKER_PID"; exec sleep 60'];

function wallMs({ file = process.execPath, args, env }) {
  const began = performance.now();
  const settings = { encoding: 'utf8', timeout: LIMIT_MS, env: { ...process.env, ...env } };
  const { status, signal, stderr } = spawnSync(file, args, settings);
  if (status !== 0)
    throw new Error(`${file} ${args.join(' ')} ended with ${status ?? signal}: ${stderr}`);
  return performance.now() - began;
}

/** Starts each once, with a different one first each time, and alternately forwards and backwards. */
function lap(starts, round) {
  const times = [];
  const step = round % 2 === 0 ? 1 : starts.length - 1;
  for (let turn = 0; turn < starts.length; turn++) {
    const which = (round + turn * step) % starts.length;
    times[which] = wallMs(starts[which]);
  }
  return times;
}

/** Compares the others with the first. */
function compare(starts, rounds, over = 'over node -e 0') {
  starts.forEach(wallMs);
  const times = Array.from({ length: rounds * TIMES_A_ROUND }, (_, round) => lap(starts, round));
  return starts.map(({ what }, i) => ({
    what,
    figures: {
      'wall time': spread(times.map((round) => round[i])),
      [over]: spread(times.map((round) => round[i] - round[0])).value,
    },
  }));
}

const PRINT_MODULES = `
process.on('exit', () => {
  const modules = Object.keys(require.cache).filter((file) => file !== __filename);
  process.stdout.write(JSON.stringify(modules));
});`;

/**
 * A program that shows Node's own time for this number of modules: it loads the same addon, and an empty
 * module in place of each other module.
 */
function hollow({ args, env }, dir) {
  const folder = fs.mkdtempSync(path.join(dir, 'hollow-'));
  const write = (name, text) => {
    fs.writeFileSync(path.join(folder, name), text);
    return path.join(folder, name);
  };
  const settings = { encoding: 'utf8', env: { ...process.env, ...env } };
  const printing = ['-r', write('print.js', PRINT_MODULES), ...args];
  const modules = JSON.parse(spawnSync(process.execPath, printing, settings).stdout);
  const addon = modules.find((file) => file.endsWith('.node'));
  const others = modules.filter((file) => file !== addon);
  const files = others.map((_, i) => write(`${i}.js`, "'use strict';\n"));
  const main = write('main.js', [...files, addon].map((file) => `require('${file}');\n`).join(''));
  return { what: HOLLOW, args: [main] };
}

function startCommand({ settings }) {
  const byNode = [
    EMPTY,
    { what: START, args: [CLI, 'start', '--', 'true'] },
    { what: 'start --no-auth -- true', args: [CLI, 'start', '--no-auth', '--', 'true'] },
  ];
  const direct = [
    TRUE,
    { what: 'epb start -- true', file: PROGRAM, args: ['start', '--', 'true'] },
    {
      what: 'epb start --no-sandbox -- true',
      file: PROGRAM,
      args: ['start', '--no-sandbox', '--', 'true'],
    },
  ];
  const rows = [
    ...compare(byNode, settings.rounds),
    ...compare(direct, settings.rounds, 'over true'),
  ];
  return { unit: 'ms', rows };
}

/** A zombie has ended. @param {number} pid */
function runs(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat[stat.lastIndexOf(')') + 2] !== 'Z';
  } catch {
    return false;
  }
}

/** Kills a command, and polls until its broker has ended. */
async function endMs() {
  const child = spawn(PROGRAM, ['start', '--', ...COMMAND], { stdio: ['ignore', 'pipe', 2] });
  const exited = once(child, 'exit');
  const [text] = await once(child.stdout, 'data');
  const broker = Number(text);
  const began = performance.now();
  child.kill('SIGKILL');
  while (runs(broker)) {
    if (performance.now() - began > LIMIT_MS) throw new Error('the broker has not ended');
  }
  const took = performance.now() - began;
  await exited;
  return took;
}

async function endOfBroker({ settings }) {
  const times = [];
  for (let i = 0; i < settings.rounds * ENDS_A_ROUND; i++) times.push(await endMs());
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))];
  return {
    unit: 'ms',
    rows: [{ what: 'epb start -- COMMAND', figures: { p50: at(0.5), p99: at(0.99) } }],
  };
}

async function prepare(client) {
  await client.set('bench:item', 'value', 600_000);
  return {};
}

async function coldWorker({ peers, places, settings }) {
  const place = places.at(-1);
  const services = [];
  const starts = [EMPTY];
  for (const peer of peers.filter(({ cold }) => cold)) {
    const service = await peer.serve({ dir: place.dir, cpus: place.server });
    const client = await openClient(peer, service, place.client);
    await client.ask({ workload: COLD, task: 'prepare' });
    await client.close();
    services.push(service);
    starts.push({ what: peer.name, args: ['-e', peer.cold(service.address)], env: service.env });
  }
  const ours = starts.find(({ what }) => what === OURS);
  if (ours !== undefined) starts.push(hollow(ours, place.dir));
  const rows = compare(starts, settings.rounds);
  for (const { server } of services) await stop(server);
  return { unit: 'ms', rows };
}

const common = { group: 'start', kind: 'once' };

module.exports = [
  { ...common, name: START, order: 11, once: async (plan) => startCommand(plan) },
  { ...common, name: END, order: 11.05, once: endOfBroker },
  { ...common, name: COLD, order: 11.1, tasks: { prepare }, once: coldWorker },
];

'use strict';

// npm run bench -- [GROUP ...] [--quick] [--json FILE] [--rounds N] [--peers 'A;B'] [--workloads 'A;B']
//
// In each round and placement every peer gets fresh processes; a workload is run by one peer after
// the other, another one going first in each round, so that what disturbs the machine hits all of
// them. A ratio compares two peers within one round; medians are over the rounds.
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const { parseArgs } = require('node:util');
const { load, openClient, stop } = require('./common');
const { markdown, summarise } = require('./report');

const FULL = { rounds: 9, ms: 1_000, warmMs: 300 };
const QUICK = { rounds: 3, ms: 200, warmMs: 200 };
const CROWD = 8;

const say = (text) => process.stderr.write(`${text}\n`);

/** Brings the peers' client libraries; nothing when they are there already. */
function install() {
  const { dependencies } = require('./package.json');
  const there = ([name, version]) => {
    const file = path.join(__dirname, 'node_modules', name, 'package.json');
    return fs.existsSync(file) && JSON.parse(fs.readFileSync(file, 'utf8')).version === version;
  };
  if (Object.entries(dependencies).every(there)) return;
  say('installing the peers of the benchmark');
  execFileSync('npm', ['ci', '--ignore-scripts'], { cwd: __dirname, stdio: ['ignore', 2, 2] });
}

/** The CPUs we may use, from a list such as `0-3,8`. */
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

async function open(peer, place) {
  const service = await peer.serve({ dir: place.dir, cpus: place.server });
  const openOne = () => openClient(peer, service, place.client);
  const clients = await Promise.all(Array.from({ length: place.clients }, openOne));
  const close = async () => {
    await Promise.all(clients.map((client) => client.close()));
    await stop(service.server);
  };
  return { clients, close };
}

async function runOnce({ clients }, workload, { ms, warmMs }) {
  // Processes that share the CPUs take as much longer until their code is compiled.
  const job = { workload: workload.name, ms, warmMs: warmMs * clients.length };
  const answers = await Promise.all(clients.map((client) => client.ask(job)));
  const perSecond = answers.reduce((sum, one) => sum + (1_000 * one.operations) / one.ms, 0);
  const cpuUs = answers.reduce((sum, one) => sum + one.cpuUs, 0) / answers.length;
  return { perSecond, cpuUs, percentiles: answers.length === 1 ? answers[0].percentiles : null };
}

/** A peer may have few workloads that it is for, a workload may need what few peers can do. */
function takes({ only, can = [] }, { name, needs }) {
  return (only?.includes(name) ?? true) && (needs === undefined || can.includes(needs));
}

/** One round at one placement. A crowd exists one at a time, to save memory. */
async function playRound(round, place, { workloads, peers, settings }, record) {
  const teams = new Map();
  for (const workload of workloads.filter(({ places }) => places.includes(place.name))) {
    const takers = peers.filter((peer) => takes(peer, workload));
    for (let turn = 0; turn < takers.length; turn++) {
      const peer = takers[(turn + round) % takers.length];
      if (!teams.has(peer)) teams.set(peer, await open(peer, place));
      record(workload, place, peer, await runOnce(teams.get(peer), workload, settings));
      if (place.clients === 1) continue;
      await teams.get(peer).close();
      teams.delete(peer);
    }
  }
  for (const team of teams.values()) await team.close();
}

async function playRounds(plan) {
  const results = new Map();
  const record = (workload, place, peer, figures) => {
    const id = `${workload.name}, ${place.name}`;
    const fresh = { workload: workload.name, place: place.name, rounds: {} };
    if (!results.has(id)) results.set(id, fresh);
    (results.get(id).rounds[peer.name] ??= []).push(figures);
  };
  for (let round = 0; round < plan.settings.rounds; round++) {
    say(`round ${round + 1} of ${plan.settings.rounds}`);
    for (const place of plan.places) await playRound(round, place, plan, record);
  }
  return [...results.values()];
}

function usable(peer) {
  const why = peer.missing();
  if (why) say(`without ${peer.name}: ${why}`);
  return !why;
}

function describeMachine(peers) {
  const cpus = `${os.cpus().length} × ${os.cpus()[0].model}`;
  const facts = { cpus, kernel: os.release(), 'load before': os.loadavg()[0] };
  return Object.assign(facts, { node: process.version }, ...peers.map((peer) => peer.versions()));
}

function readArguments() {
  const text = { type: 'string' };
  const { values, positionals: groups } = parseArgs({
    allowPositionals: true,
    options: { quick: { type: 'boolean' }, json: text, rounds: text, peers: text, workloads: text },
  });
  const settings = { ...(values.quick ? QUICK : FULL) };
  if (values.rounds !== undefined) settings.rounds = Number(values.rounds);
  if (!(settings.rounds >= 1)) throw new Error('--rounds takes a number from 1');
  // Names hold commas, so semicolons part them.
  const chosen = (names) => (one) => names?.split(';').includes(one.name) ?? true;
  const { json, peers, workloads } = values;
  const isNamed = chosen(workloads);
  const isWorkload = (one) => isNamed(one) && (groups.length === 0 || groups.includes(one.group));
  return { json, settings, isPeer: chosen(peers), isWorkload };
}

async function main() {
  const { json, settings, isPeer, isWorkload } = readArguments();
  install();
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'epb-bench-'));
  process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

  const peers = load('peers').filter(isPeer).filter(usable);
  if (peers.length === 0) throw new Error('no peer to measure');
  const machine = describeMachine(peers);
  const places = placements(dir);
  const all = load('workloads').filter(isWorkload);
  if (all.length === 0) throw new Error('no such workload');
  const workloads = all.filter(({ kind }) => kind === 'rate');
  const rates = summarise(await playRounds({ workloads, peers, places, settings }), peers);
  const single = [];
  for (const { name, once } of all.filter(({ kind }) => kind === 'once')) {
    say(name);
    const tables = [await once({ peers, places, settings })].flat();
    single.push(...tables.map((table) => ({ name, ...table })));
  }
  const report = { machine, settings, rates, single };
  process.stdout.write(markdown(report, peers));
  if (json) fs.writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`);
}

main().catch((error) => {
  say(`bench: ${error.stack}`);
  process.exit(1);
});

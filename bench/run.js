'use strict';

// npm run bench -- [GROUP ...] [--quick] [--json FILE] [--write]
//                  [--rounds N] [--peers 'A;B'] [--workloads 'A;B'] [--from FILE ...]
//
// Measures, prints a report, and with --write writes BENCHMARKS.md, all figures and plots. With --from nothing is
// measured: the report combines earlier runs, for example of one group each.
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const { parseArgs } = require('node:util');
const { killAll, load, within } = require('./common.js');
const { GOALS } = require('./goals.js');
const { markdown, merge, summarise } = require('./report.js');
const { placements, playRounds, say } = require('./rounds.js');
const { write } = require('./write.js');

/** `ms` is the time for each workload in a round, divided into `slots` (see rounds.js). */
const FULL = { rounds: 5, ms: 400, warmMs: 150, slots: 10 };
const QUICK = { rounds: 2, ms: 100, warmMs: 100, slots: 2 };
/** The time limit of a workload of kind `once`. */
const PATIENCE_MS = 5 * 60_000;

/** Installs the peers' client libraries unless they are installed. */
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
  const flag = { type: 'boolean' };
  const { values, positionals: groups } = parseArgs({
    allowPositionals: true,
    options: {
      quick: flag,
      write: flag,
      json: text,
      rounds: text,
      peers: text,
      workloads: text,
      from: { type: 'string', multiple: true },
    },
  });
  const settings = { ...(values.quick ? QUICK : FULL) };
  if (values.rounds !== undefined) settings.rounds = Number(values.rounds);
  if (!(settings.rounds >= 1)) throw new Error('--rounds takes a number from 1');
  // Names contain commas, so semicolons separate them.
  const chosen = (names) => (one) => names?.split(';').includes(one.name) ?? true;
  const isNamed = chosen(values.workloads);
  const isWorkload = (one) => isNamed(one) && (groups.length === 0 || groups.includes(one.group));
  return { ...values, settings, isPeer: chosen(values.peers), isWorkload };
}

/** A workload that fails is reported as failed, and the others continue. */
async function playOnce({ name, once }, plan) {
  say(name);
  try {
    const tables = [await within(PATIENCE_MS, once(plan))].flat();
    return tables.map((table) => ({ workload: name, name, ...table }));
  } catch (error) {
    killAll();
    say(`${name} failed: ${error.stack}`);
    return [
      {
        workload: name,
        name,
        unit: 'failed',
        rows: [{ what: error.message.split('\n')[0], figures: {} }],
      },
    ];
  }
}

async function measure({ settings, isPeer, isWorkload }) {
  install();
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'epb-bench-'));
  process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

  const peers = load('peers').filter(isPeer).filter(usable);
  if (peers.length === 0) throw new Error('no peer to measure');
  const machine = describeMachine(peers);
  const all = load('workloads').filter(isWorkload);
  if (all.length === 0) throw new Error('no such workload');
  const plan = { peers, places: placements(dir), settings };
  const workloads = all.filter(({ kind }) => kind === 'rate');
  const rates = summarise(await playRounds({ ...plan, workloads }), peers);
  const single = [];
  for (const workload of all.filter(({ kind }) => kind === 'once')) {
    single.push(...(await playOnce(workload, plan)));
  }
  const shown = peers.map((peer) => ({ name: peer.name, main: peer.main, aside: peer.aside }));
  return { machine, settings, peers: shown, rates, single };
}

async function main() {
  const settings = readArguments();
  const { from, json } = settings;
  const read = (file) => JSON.parse(fs.readFileSync(file, 'utf8'));
  const report = from ? merge(from.map(read)) : await measure(settings);
  process.stdout.write(markdown(report, GOALS));
  if (json) fs.writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`);
  if (settings.write) await write(report);
}

main().then(
  // A client library of a peer may keep the process alive.
  () => process.exit(0),
  (error) => {
    say(`bench: ${error.stack}`);
    process.exit(1);
  },
);

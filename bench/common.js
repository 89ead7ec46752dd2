'use strict';

// Shared functions: peers and workloads found by pattern, pinned processes, statistics.
const fs = require('node:fs');
const path = require('node:path');
const { execFileSync, spawn, spawnSync } = require('node:child_process');
const { once } = require('node:events');
const { setTimeout: delay } = require('node:timers/promises');

const STOP_MS = 5_000;
const LOOK_MS = 5;
const children = new Set();
const killAll = () => children.forEach((child) => child.kill('SIGKILL'));
process.on('exit', killAll);

/** All exports of the files in a folder; a new peer or workload is a new file. */
function load(folder) {
  const names = fs.readdirSync(path.join(__dirname, folder)).filter((name) => name.endsWith('.js'));
  const files = names.map((name) => path.join(__dirname, folder, name));
  const found = files.flatMap((file) => require(file).map((one) => ({ ...one, file })));
  return found.sort((a, b) => a.order - b.order);
}

/**
 * Spawns a command on these CPUs only (`0`, `0,1`). The command is killed when this process ends in any
 * way, even while the command is stopped. setpriv execs taskset, which execs the command: the pid is the
 * command's.
 */
function pinned(cpus, command, args, options) {
  const pin = ['--pdeathsig', 'KILL', 'taskset', '-c', cpus];
  const child = spawn('setpriv', [...pin, command, ...args], options);
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

/** Resolves the next IPC message; rejects if it is an error or the child ends first. */
async function nextMessage(child) {
  const over = new AbortController();
  const ended = once(child, 'exit', { signal: over.signal }).then(([code, signal]) => {
    throw new Error(`a process of the benchmark ended early (${signal ?? code})`);
  });
  try {
    const [message] = await Promise.race([once(child, 'message', { signal: over.signal }), ended]);
    if (message.error) throw new Error(message.error);
    return message;
  } finally {
    over.abort();
  }
}

/** Rejects if the promise takes longer than `ms`; the work behind the promise continues. */
async function within(ms, promise) {
  const over = new AbortController();
  const late = delay(ms, undefined, { signal: over.signal }).then(() => {
    throw new Error(`not done after ${ms / 1_000} s`);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    over.abort();
    late.catch(() => {});
  }
}

/** Resolves when the socket of a server that was just started exists. */
async function appears(file, server) {
  while (!fs.existsSync(file)) {
    if (server.exitCode !== null) throw new Error(`${server.spawnfile} ended early`);
    await delay(LOOK_MS);
  }
}

/** The reason why this command can't run, as a sentence; null if it can. */
function missingCommand(command, flag, where) {
  const { status } = spawnSync(command, [flag], { stdio: 'ignore' });
  return status === 0 ? null : `${command} is not installed (Debian: apt-get install ${where})`;
}

/** The exact version of a package that the benchmark installs. */
const versionOf = (name) => require('./package.json').dependencies[name];

/**
 * Starts a server in JavaScript: `file` is also a program that sends its `{ address }` over IPC, and ends
 * with its parent.
 */
async function serveFile(file, { cpus, env = {}, options = {} }) {
  const server = pinned(cpus, process.execPath, [file, JSON.stringify(options)], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const { address } = await nextMessage(server);
  return { address, server, env };
}

/** The server's side of serveFile: `start(options)` resolves `{ address, stop? }`. */
async function beServer(start) {
  const { address, stop: end = () => {} } = await start(JSON.parse(process.argv[2]));
  const leave = () => Promise.resolve(end()).finally(() => process.exit(0));
  process.once('SIGTERM', leave);
  process.once('disconnect', leave);
  process.send({ address });
}

/** Compiles a C program of `c/`, once a run; returns the path of the program. */
function compile(dir, name, args = []) {
  const program = path.join(dir, name);
  if (fs.existsSync(program)) return program;
  const source = path.join(__dirname, 'c', `${name}.c`);
  execFileSync('cc', ['-std=c11', '-O2', '-D_GNU_SOURCE', '-o', program, source, ...args]);
  return program;
}

/** Text that doesn't compress well, the same in every process. */
function textOf(length) {
  let state = 1;
  const next = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0);
  const bytes = Uint8Array.from({ length: Math.ceil((length * 3) / 4) }, () => next() >>> 24);
  return Buffer.from(bytes).toString('base64').slice(0, length);
}

/** Ends a process; `child` is undefined for peers without a server. */
async function stop(child) {
  if (!child) return;
  if (child.exitCode !== null || child.signalCode !== null) return;
  const last = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
  clearTimeout(last);
}

/**
 * Opens a client process of a peer: `ask(job)` resolves the answer of worker.js, `close()` ends the process,
 * `kill()` kills it.
 */
async function openClient(peer, service, cpus) {
  const child = pinned(cpus, process.execPath, [path.join(__dirname, 'worker.js')], {
    env: { ...process.env, ...service.env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const ask = (message) => {
    child.send(message);
    return nextMessage(child);
  };
  await ask({ file: peer.file, name: peer.name, address: service.address }).catch((error) => {
    child.kill('SIGKILL');
    throw error;
  });
  const kill = () => {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    return ended;
  };
  return { ask, close: () => stop(child), kill, pid: child.pid };
}

/** Sends a signal to processes, some of which may have ended. */
function signalAll(pids, name) {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  }
}

const ascending = (numbers) => [...numbers].sort((a, b) => a - b);

function median(numbers) {
  const sorted = ascending(numbers);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Median absolute deviation from the median, in percent of the median. */
function deviationPercent(numbers) {
  const centre = median(numbers);
  const deviation = median(numbers.map((number) => Math.abs(number - centre)));
  return deviation === 0 ? 0 : (100 * deviation) / centre;
}

/** A row of a table, or the same row with the reason why it has no figures. */
async function rowOrFailure(what, figures) {
  try {
    return { what, figures: await figures };
  } catch (error) {
    return { what: `${what}: failed: ${error.message.split('\n')[0]}`, figures: {} };
  }
}

/** A figure of several measurements: their median, and their deviation from it in percent. */
const spread = (numbers) => ({ value: median(numbers), deviation: deviationPercent(numbers) });

/** The quantile of the numbers at this part (0 to 1). */
function quantile(numbers, part) {
  return ascending(numbers)[Math.min(numbers.length - 1, Math.floor(numbers.length * part))];
}

/** A number of a line `Name:   123` in /proc/PID/status. */
function statusNumber(text, name) {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)[1]);
}

function residentBytes(pid) {
  return 1024 * statusNumber(fs.readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmRSS');
}

/** Resident memory without the pages of the program's own file, which all its processes share. */
function residentBytesBesideProgram(pid) {
  const program = fs.readlinkSync(`/proc/${pid}/exe`);
  let kib = 0;
  let isProgram = false;
  for (const line of fs.readFileSync(`/proc/${pid}/smaps`, 'latin1').split('\n')) {
    if (/^[0-9a-f]+-/.test(line)) isProgram = line.endsWith(` ${program}`);
    else if (!isProgram) kib += Number(/^Rss:\s+(\d+)/.exec(line)?.[1] ?? 0);
  }
  return kib * 1024;
}

/** The contents of a /proc file, for every thread of a process. */
function ofThreads(pid, name) {
  const threads = fs.readdirSync(`/proc/${pid}/task`);
  return threads.map((thread) => fs.readFileSync(`/proc/${pid}/task/${thread}/${name}`, 'utf8'));
}

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

/** The CPU time of all threads of a process. */
function cpuTimeMs(pid) {
  return sum(ofThreads(pid, 'schedstat').map((text) => Number(text.split(' ')[0]))) / 1e6;
}

/** How often the threads of a process have fallen asleep. */
function sleeps(pid) {
  const name = 'voluntary_ctxt_switches';
  return sum(ofThreads(pid, 'status').map((text) => statusNumber(text, name)));
}

module.exports = {
  appears,
  beServer,
  compile,
  cpuTimeMs,
  deviationPercent,
  killAll,
  load,
  median,
  missingCommand,
  nextMessage,
  openClient,
  pinned,
  quantile,
  residentBytes,
  residentBytesBesideProgram,
  rowOrFailure,
  serveFile,
  signalAll,
  sleeps,
  spread,
  stop,
  sum,
  textOf,
  versionOf,
  within,
};

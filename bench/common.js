'use strict';

// What the parts share: peers and workloads found by pattern, pinned processes, statistics.
const fs = require('node:fs');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { once } = require('node:events');

const STOP_MS = 5_000;
const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

/** Everything the files of a folder export; a new peer or workload is a new file. */
function load(folder) {
  const names = fs.readdirSync(path.join(__dirname, folder)).filter((name) => name.endsWith('.js'));
  const files = names.map((name) => path.join(__dirname, folder, name));
  const found = files.flatMap((file) => require(file).map((one) => ({ ...one, file })));
  return found.sort((a, b) => a.order - b.order);
}

/** Spawns a command on these CPUs only (`0`, `0,1`). taskset becomes the command: the pid is its. */
function pinned(cpus, command, args, options) {
  const child = spawn('taskset', ['-c', cpus, command, ...args], options);
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

/** The next IPC message; rejects when it is an error or the child ends first. */
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

async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const last = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
  clearTimeout(last);
}

/**
 * A client process of a peer: `ask(job)` resolves what worker.js answers, `close()` ends it, `kill()`
 * kills it.
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
  await ask({ file: peer.file, name: peer.name, address: service.address });
  const kill = () => {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    return ended;
  };
  return { ask, close: () => stop(child), kill, pid: child.pid };
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
  return (100 * median(numbers.map((number) => Math.abs(number - centre)))) / centre;
}

/** The number that this part (0 to 1) of all do not exceed. */
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

/** A file of every thread of a process. */
function ofThreads(pid, name) {
  const threads = fs.readdirSync(`/proc/${pid}/task`);
  return threads.map((thread) => fs.readFileSync(`/proc/${pid}/task/${thread}/${name}`, 'utf8'));
}

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

/** What all threads of a process have used of the CPUs. */
function cpuTimeMs(pid) {
  return sum(ofThreads(pid, 'schedstat').map((text) => Number(text.split(' ')[0]))) / 1e6;
}

/** How often the threads of a process have fallen asleep. */
function sleeps(pid) {
  const name = 'voluntary_ctxt_switches';
  return sum(ofThreads(pid, 'status').map((text) => statusNumber(text, name)));
}

module.exports = {
  cpuTimeMs,
  deviationPercent,
  load,
  median,
  nextMessage,
  openClient,
  pinned,
  quantile,
  residentBytes,
  sleeps,
  stop,
};

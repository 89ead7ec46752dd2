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

/** A client process of a peer: `ask(job)` resolves what worker.js answers, `close()` ends it. */
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
  return { ask, close: () => stop(child) };
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

module.exports = { deviationPercent, load, median, nextMessage, openClient, pinned, stop };

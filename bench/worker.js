'use strict';

// A client process. Its first message says which peer to connect to; every further one is a job for
// a workload: warm up, measure, answer operations, milliseconds, this process's CPU time an operation
// and the percentiles of the laps; or one of the workload's own tasks.
const { load } = require('./common');

// So many laps are kept, the latest; a power of two, so that the index can be masked.
const LAPS = 1 << 20;
/** Those of the latest clock. Made once: Node collects garbage when so much is made. */
const laps = new Float64Array(LAPS);

/** Says when a measurement is over and keeps how many microseconds each lap took. */
class Clock {
  constructor(ms) {
    this.count = 0;
    this.last = this.began = performance.now();
    this.until = this.began + ms;
  }

  running() {
    return performance.now() < this.until;
  }

  /** Ends a lap; whether there is time for one more. */
  lap() {
    const now = performance.now();
    laps[this.count++ & (LAPS - 1)] = (now - this.last) * 1_000;
    this.last = now;
    return now < this.until;
  }

  percentiles() {
    const sorted = laps.subarray(0, Math.min(this.count, LAPS)).sort();
    const at = (q) => sorted[Math.floor(sorted.length * q)];
    return this.count > 0 ? { p50: at(0.5), p95: at(0.95), p99: at(0.99) } : null;
  }
}

const workloadOf = (job) => load('workloads').find(({ name }) => name === job.workload);

async function measure(client, job) {
  const workload = workloadOf(job);
  await workload.prepare?.(client);
  if (job.warmMs > 0) await workload.run(client, new Clock(job.warmMs), job);
  const before = process.cpuUsage();
  const clock = new Clock(job.ms);
  const operations = await workload.run(client, clock, job);
  const ms = performance.now() - clock.began;
  const { user, system } = process.cpuUsage(before);
  const cpuUs = (user + system) / operations;
  return { operations, ms, cpuUs, percentiles: clock.percentiles() };
}

let client = null;

async function answer(message) {
  if (message.memory) return client.memory?.() ?? {};
  if (message.task) return workloadOf(message).tasks[message.task](client, message);
  if (message.workload) return measure(client, message);
  const peer = require(message.file).find(({ name }) => name === message.name);
  client = await peer.connect(message.address);
  return {};
}

process.on('disconnect', () => process.exit(0));
process.on('message', (message) => {
  answer(message).then(
    (result) => process.send(result),
    (error) => process.send({ error: error.stack }),
  );
});

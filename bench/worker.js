'use strict';

// A client process. Its first message names the peer to connect to. Every further message is a job: one of
// the workload's own tasks, or a measurement after a warm-up. A measurement is answered with the number of
// operations, the milliseconds, this process's CPU time an operation and the percentiles of the laps.
const { Clock } = require('./clock.js');
const { load } = require('./common.js');

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

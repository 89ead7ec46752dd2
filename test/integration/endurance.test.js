/**
 * Much of everything, with kills: many operations of processes of which one dies every second, and
 * brokers and workers that are killed again and again. `scripts/soak` runs the long variants, by the
 * variables EPB_SOAK_OPERATIONS and EPB_SOAK_KILLS.
 */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { setTimeout: pause } = require('node:timers/promises');
const {
  PipeClient,
  SECRET,
  randomFrom,
  startWorker,
  temporaryDirectory,
  until,
  withCode,
} = require('../helpers/broker.js');
const { hasEnded, launchCli, standalone } = require('../helpers/cli.js');
const { startProgram } = require('../helpers/program.js');
const { ACCOUNTS, Soak, residentBytes } = require('../helpers/soak.js');

const OPERATIONS = Number(process.env.EPB_SOAK_OPERATIONS ?? 100_000);
const KILLS = Number(process.env.EPB_SOAK_KILLS ?? 20);
const WORKERS = 8;
const STARTS_AT_ONCE = 5;
const KILL_EVERY_MS = 1000;
/** Where a second is enough for more of them. */
const KILL_EVERY_OPERATIONS = 20_000;
const DRIFT_MAX_BYTES = 8 * 1024 * 1024;
const TTL = 60_000;
/** How long a client looks for a broker that has gone. */
const GONE_MS = 100;

const linux = { skip: process.platform !== 'linux' && 'reads /proc' };

/** Said with the result, so that a run can be done again. */
function seeded(t) {
  const seed = Number(process.env.EPB_SOAK_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed} (EPB_SOAK_SEED)`);
  return seed;
}

const inMiB = (bytes) => (bytes / 1024 / 1024).toFixed(1);

test(
  `${OPERATIONS} operations of ${WORKERS} processes, one killed every second or sooner`,
  linux,
  async (t) => {
    const { running, env } = await standalone(t);
    const broker = { pid: running.pid, pipe: env.EPHEMERAL_PIPE, secret: env.EPHEMERAL_SECRET };
    const client = new PipeClient(broker.pipe, { secret: broker.secret });
    t.after(() => client.close());
    await client.pool('accounts', ACCOUNTS);
    const plan = { seed: seeded(t), workers: WORKERS, operations: OPERATIONS };
    const soak = new Soak(t, broker, {
      ...plan,
      killEveryMs: KILL_EVERY_MS,
      killEveryOperations: KILL_EVERY_OPERATIONS,
    });
    const began = performance.now();
    await soak.run();
    const seconds = (performance.now() - began) / 1000;
    assert.deepEqual(soak.wrong, [], 'every answer is right');
    assert.ok(soak.done >= OPERATIONS);
    const kills = Math.max((seconds * 1000) / KILL_EVERY_MS, OPERATIONS / KILL_EVERY_OPERATIONS);
    assert.ok(soak.kills >= Math.floor(kills / 2), `only ${soak.kills} kills in ${seconds} s`);

    const stats = async () => client.stats();
    const quiet = async () => (await stats()).connections === 1;
    await until(quiet, 'all workers have gone');
    const { leases, waiting, watchers } = await stats();
    assert.deepEqual({ leases, waiting, watchers }, { leases: 0, waiting: 0, watchers: 0 });
    const free = await Promise.all(ACCOUNTS.map(() => client.acquire('accounts', { waitMs: 0 })));
    assert.deepEqual(free.map(({ value }) => value).sort(), ACCOUNTS, 'no account is lost');
    for (const lease of free) await lease.release();
    for (const { key } of await client.list()) await client.del(key);
    assert.equal((await stats()).items, 0);
    const drift = residentBytes(broker.pid) - soak.warmBytes;
    const speed = Math.round(soak.done / seconds);
    t.diagnostic(`${speed} operations a second, ${soak.kills} kills, drift ${inMiB(drift)} MiB`);
    assert.ok(drift < DRIFT_MAX_BYTES, `the broker grew by ${inMiB(drift)} MiB`);
  },
);

/** Brokers of one folder, killed at all moments of their lives, their starts included. */
class BriefLives {
  /** What a start took, from the process's beginning and from that of the broker, in ms. */
  #whole = 0;
  #start = 0;
  counts = { before: 0, during: 0, after: 0 };

  constructor(t, folder, random) {
    this.t = t;
    this.env = { TMPDIR: folder };
    this.random = random;
  }

  /** It is up, is used, and is killed. `others` are clients of its name. */
  async live(options, others, round) {
    const began = performance.now();
    let starting = began;
    const started = startProgram(this.t, { ...options, secret: SECRET }, { env: this.env });
    void started.starting.then(() => (starting = performance.now()));
    const program = await started;
    this.#start = performance.now() - starting;
    this.#whole = performance.now() - began;
    this.counts.after++;
    const own = new PipeClient(program.pipe, { secret: SECRET });
    for (const user of [own, ...others]) await user.set('k', round, TTL);
    for (const other of others) assert.equal(await other.get('k'), round, 'it reaches the new one');
    const held = own.get('k').then(() => own.waitFor('nothing'));
    held.catch(() => {});
    await own.ping();
    await program.kill();
    await assert.rejects(held, withCode('broker_gone'));
    await assert.rejects(own.get('k', { timeout: GONE_MS }), withCode('broker_gone'));
    await own.close();
  }

  /** It is killed when `moment` has come, be it up or not. */
  async die(options, moment) {
    const started = startProgram(this.t, { ...options, secret: SECRET }, { env: this.env });
    let reached = 'before';
    void started.starting.then(() => (reached = 'during'));
    void started.then(() => (reached = 'after'));
    await this[moment](started);
    await started.program.kill();
    this.counts[reached]++;
  }

  async atOnce() {}

  /** At any time of its start, or soon after. */
  anyTime() {
    return pause(this.random() * 1.5 * this.#whole);
  }

  /** While it makes its socket, its thread and its memory. */
  async starting({ starting }) {
    await starting;
    const end = performance.now() + this.random() * this.#start;
    while (performance.now() < end) continue;
  }

  async up(started) {
    await started;
  }
}

const MOMENTS = ['atOnce', 'starting', 'anyTime', 'up'];

test(`${KILLS} brokers killed in one folder leave nothing behind`, linux, async (t) => {
  const folder = temporaryDirectory(t);
  const shared = () => fs.readdirSync('/dev/shm').sort();
  const before = shared();
  const lives = new BriefLives(t, folder, randomFrom(seeded(t)));
  const client = new PipeClient(`${folder}/broker-endurance.sock`, { secret: SECRET });
  t.after(() => client.close());
  const kinds = [
    [{}, []],
    [{ pipeId: 'endurance' }, [client]],
  ];
  for (let round = 0; round < KILLS; round++) {
    // Every other one lives, of both kinds, and each kind is killed at all moments.
    const [options, others] = kinds[(round >> 1) % 2];
    if (round % 2 === 0) await lives.live(options, others, round);
    else await lives.die(options, MOMENTS[(round >> 2) % MOMENTS.length]);
    // What was being made is left alone while it is new.
    const left = fs.readdirSync(folder).filter((name) => !name.startsWith('.epb-'));
    assert.ok(left.length <= 3, `the killed ones are collected: ${left}`);
  }
  const { counts } = lives;
  t.diagnostic(`killed before, during, after the start: ${Object.values(counts).join(', ')}`);
  assert.equal(counts.before + counts.during + counts.after, KILLS);
  assert.ok(counts.after >= KILLS / 2, 'half of them were up');
  // As if the last of them were of yesterday.
  for (const name of fs.readdirSync(folder)) fs.lutimesSync(`${folder}/${name}`, 1e9, 1e9);
  const some = await startProgram(t, {}, { env: { TMPDIR: folder } });
  const last = await startProgram(t, { pipeId: 'endurance' }, { env: { TMPDIR: folder } });
  await Promise.all([some.ask('stop'), last.ask('stop')]);
  assert.deepEqual(fs.readdirSync(folder), []);
  assert.deepEqual(shared(), before);
});

test(`the commands of ${KILLS} killed starts end`, linux, async (t) => {
  const folder = temporaryDirectory(t);
  for (let killed = 0; killed < KILLS; killed += STARTS_AT_ONCE) {
    const command = ['sh', '-c', 'echo pid $$; exec sleep 1000'];
    const starts = Array.from({ length: STARTS_AT_ONCE }, () =>
      launchCli(['start', '--', ...command], { env: { TMPDIR: folder } }),
    );
    const pids = await Promise.all(
      starts.map(async (start) => Number((await start.sees(/^pid (\d+)$/m))[1])),
    );
    for (const start of starts) start.child.kill('SIGKILL');
    await Promise.all(starts.map((start) => start.closed));
    await until(() => pids.every(hasEnded), 'the commands have ended');
  }
  const last = await startProgram(t, {}, { env: { TMPDIR: folder } });
  await last.ask('stop');
  assert.deepEqual(fs.readdirSync(folder), []);
});

const HOLDER = `
  (async () => {
    await client.acquire('accounts');
    client.lock('door', () => new Promise(() => {})).catch(() => {});
    await client.ping();
    tell('holds');
  })();`;

test(`${KILLS} workers killed with leases and waiting requests leave none`, linux, async (t) => {
  const program = await startProgram(t, { secret: SECRET });
  const client = new PipeClient(program.pipe, { secret: SECRET });
  t.after(() => client.close());
  const broker = {
    env: () => ({ EPHEMERAL_PIPE: program.pipe, EPHEMERAL_SECRET: SECRET }),
  };
  await client.pool('accounts', ACCOUNTS);
  for (let killed = 0; killed < KILLS; killed += ACCOUNTS.length) {
    const workers = ACCOUNTS.map(() => startWorker(t, broker, HOLDER));
    for (const worker of workers) assert.equal(await worker.told(), 'holds');
    await assert.rejects(client.acquire('accounts', { waitMs: 0 }), withCode('lease_held'));
    await Promise.all(workers.map((worker) => worker.kill()));
    const free = await Promise.all(ACCOUNTS.map(() => client.acquire('accounts')));
    assert.equal(new Set(free.map(({ value }) => value)).size, ACCOUNTS.length);
    await Promise.all(free.map((lease) => lease.release()));
    await client.lock('door', () => {});
  }
  const { leases, waiting, connections } = await client.stats();
  assert.deepEqual([leases, waiting, connections], [0, 0, 1]);
});

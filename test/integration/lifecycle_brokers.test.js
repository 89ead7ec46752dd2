/**
 * Brokers that live together in a process and its worker threads, and end in any order and in any way;
 * brokers that nobody holds any more; and one whose process stands still for a while.
 */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { once } = require('node:events');
const { Worker } = require('node:worker_threads');
const { test } = require('node:test');

const {
  PipeClient,
  ROOT,
  SECRET,
  randomFrom,
  runNode,
  startBroker,
  temporaryDirectory,
  untilWaiting,
  withCode,
} = require('../helpers/broker.js');
const { startProgram } = require('../helpers/program.js');
const { Broker } = require(ROOT);

const TTL_MS = 600_000;
const TURNS = 4;
const BRIEF_MS = 1500;

/** A broker in a worker thread of its own: it stops when it is told to, as often as it is told. */
const IN_THREAD = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { Broker } = require(workerData.root);
  const broker = new Broker({ exportEnv: false, secret: workerData.secret });
  parentPort.postMessage(broker.startSync());
  parentPort.on('message', async () => {
    await broker.stop({ drainMs: 0 });
    parentPort.postMessage('stopped');
  });
`;

async function inThread(secret) {
  const worker = new Worker(IN_THREAD, { eval: true, workerData: { root: ROOT, secret } });
  const exit = once(worker, 'exit');
  const [pipe] = await once(worker, 'message');
  const stopped = async () => {
    worker.postMessage('stop');
    await once(worker, 'message');
  };
  const ends = {
    terminate: () => worker.terminate(),
    stop: async () => {
      await stopped();
      await worker.terminate();
    },
    'stop and terminate': async () => {
      worker.postMessage('stop');
      await worker.terminate();
      await exit;
    },
    'stop twice': async () => {
      await stopped();
      await stopped();
      await worker.terminate();
    },
  };
  return { pipe, secret, ends };
}

async function here(secret) {
  const broker = new Broker({ exportEnv: false, secret });
  const pipe = await broker.start();
  const ends = {
    stop: () => broker.stop(),
    stopSync: () => broker.stopSync(),
    'stop twice': async () => {
      await broker.stop({ drainMs: 0 });
      await broker.stop();
    },
    'stop twice at once': () => Promise.all([broker.stop(), broker.stop({ drainMs: 0 })]),
    'stop and stopSync': async () => {
      const stopping = broker.stop();
      broker.stopSync();
      await stopping;
    },
    'stop and start': async () => {
      const stopping = broker.stop({ drainMs: 0 });
      await assert.rejects(broker.start(), withCode('invalid_request'));
      await stopping;
      await assert.rejects(broker.start(), withCode('invalid_request'));
    },
    dispose: () => broker[Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')](),
  };
  return { pipe, secret, ends };
}

const takeOne = (list, random) => list.splice(Math.floor(random() * list.length), 1)[0];

test('brokers of a process and its threads end in any order and way, and disturb no other', async (t) => {
  const seed = Number(process.env.EPB_LIFECYCLE_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`EPB_LIFECYCLE_SEED=${seed}`);
  const random = randomFrom(seed);
  for (let turn = 0; turn < TURNS; turn++) {
    const places = [here, here, here, here, inThread, inThread, inThread];
    const brokers = await Promise.all(
      places.map((place, i) => place(i % 2 ? null : `${SECRET} of ${turn} ${i}`)),
    );
    const running = brokers.map(({ pipe, secret, ends }, i) => {
      const client = new PipeClient(pipe, { secret, timeout: 20_000 });
      return { pipe, ends, client, own: `${turn} ${i}` };
    });
    for (const { client, own } of running) await client.set('own', own, TTL_MS);
    while (running.length > 0) {
      const { pipe, ends, client } = takeOne(running, random);
      const how = takeOne(Object.keys(ends), random);
      t.diagnostic(`${places[brokers.findIndex((broker) => broker.pipe === pipe)].name}: ${how}`);
      const waiting = client.waitFor('never', { timeout: TTL_MS }).catch((error) => error.code);
      await client.ping();
      await ends[how]();
      assert.match(await waiting, /^(draining|broker_gone)$/, how);
      assert.equal(fs.existsSync(pipe), false, how);
      for (const other of running) {
        assert.equal(await other.client.get('own'), other.own);
        assert.equal(other.client.getSync('own'), other.own);
      }
      await client.close();
    }
  }
});

test('stop while start is under way: it ends, or has never been', async (t) => {
  const folder = temporaryDirectory(t);
  const script = `
    const { Broker } = require(ROOT);
    (async () => {
      for (let i = 0; i < 50; i++) {
        const broker = new Broker({ exportEnv: false, pipeId: 'same' });
        const started = broker.start();
        await Promise.all([started, broker.stop(), broker.stop({ drainMs: 0 })]);
        if (broker.pipe !== null) throw new Error('it runs');
        const never = new Broker({ exportEnv: false, pipeId: 'same' });
        const stopped = never.stop();
        await never.start().then(() => { throw new Error('it runs'); }, (error) => {
          if (error.code !== 'invalid_request') throw error;
        });
        await stopped;
      }
      console.log('done');
    })();
  `;
  const ended = await runNode(script, { env: { TMPDIR: folder } });
  assert.deepEqual(ended, { status: 0, signal: null, stdout: 'done\n', stderr: '' });
  assert.deepEqual(fs.readdirSync(folder), []);
});

test('a broker that runs is not collected; one that was never started, or has ended, is', async (t) => {
  const folder = temporaryDirectory(t);
  const script = `
    const { Broker, PipeClient } = require(ROOT);
    const gone = [];
    const registry = new FinalizationRegistry((name) => gone.push(name));
    const options = { exportEnv: false, secret: null };
    async function make(name, live) {
      const broker = new Broker(options);
      registry.register(broker, name);
      return live(broker);
    }
    (async () => {
      const pipe = await make('running', (broker) => broker.start());
      await make('new', () => {});
      await make('stopped', async (broker) => { await broker.start(); await broker.stop(); });
      await make('stopped at once', (broker) => { broker.startSync(); broker.stopSync(); });
      await make('stopped twice', async (broker) => {
        broker.startSync();
        const stopping = broker.stop();
        broker.stopSync();
        await stopping;
      });
      const client = new PipeClient(pipe, { secret: null });
      for (let round = 0; gone.length < 4 && round < 1000; round++) {
        gc();
        await new Promise((resolve) => setImmediate(resolve));
        await client.incr('n', 1, 60000);
      }
      for (let i = 0; i < 20; i++) {
        gc();
        await client.incr('n', 1, 60000);
      }
      console.log(gone.sort().join());
      process.exit(3);
    })();
  `;
  const ended = await runNode(script, { args: ['--expose-gc'], env: { TMPDIR: folder } });
  const stdout = 'new,stopped,stopped at once,stopped twice\n';
  assert.deepEqual(ended, { status: 3, signal: null, stdout, stderr: '' });
  assert.deepEqual(fs.readdirSync(folder), []);
});

test('process.exit() with brokers running everywhere leaves nothing', async (t) => {
  const folder = temporaryDirectory(t);
  const script = `
    const { Worker } = require('node:worker_threads');
    const { Broker, PipeClient } = require(ROOT);
    const source = ${JSON.stringify(IN_THREAD)};
    (async () => {
      const pipes = [];
      for (let i = 0; i < 4; i++) {
        const broker = new Broker({ exportEnv: false, secret: null, pipeId: 'exit-' + i });
        pipes.push(await broker.start());
        if (i === 3) broker.stop();
        const worker = new Worker(source, { eval: true, workerData: { root: ROOT, secret: null } });
        pipes.push(await new Promise((resolve) => worker.once('message', resolve)));
        if (i === 3) worker.postMessage('stop');
      }
      for (const pipe of pipes.slice(0, 6)) {
        const client = new PipeClient(pipe, { secret: null });
        await client.set('k', 'v'.repeat(100000), 60000);
        client.acquireLock('l').then(() => client.acquireLock('l', { workerId: 'other' }));
      }
      process.exit(3);
    })();
  `;
  const ended = await runNode(script, { env: { TMPDIR: folder } });
  assert.deepEqual(ended, { status: 3, signal: null, stdout: '', stderr: '' });
  assert.deepEqual(fs.readdirSync(folder), []);
});

const posix = { skip: process.platform === 'win32' && 'POSIX only' };

test('a broker that stood still beyond all deadlines gives no wrong answer', posix, async (t) => {
  const { pipe, secret, child } = await startProgram(t, { secret: SECRET });
  // Another spelling of the path is another connection.
  const spelled = path.dirname(pipe) + '//' + path.basename(pipe);
  const holder = new PipeClient(pipe, { secret, workerId: 'holder' });
  const other = new PipeClient(spelled, { secret, workerId: 'other' });
  const clock = startBroker(t).client();
  t.after(() => Promise.all([holder, other, clock].map((client) => client.close())));
  const alarm = clock.watch('alarm');
  await alarm.ready;

  await holder.set('long', 'v', TTL_MS);
  const lasting = await holder.acquireLock('lasting', { ttl: TTL_MS });
  const lease = await holder.acquireLock('lock', { ttl: BRIEF_MS });
  const lost = once(lease.signal, 'abort');
  const next = other.acquireLock('lock', { ttl: TTL_MS });
  await untilWaiting(other, 'lock', 1);
  await holder.set('brief', 'v', BRIEF_MS);
  child.kill('SIGSTOP');
  // What another broker holds for longer is overdue later.
  await clock.set('alarm', 'v', BRIEF_MS + 500);
  for await (const { type } of alarm) if (type === 'expire') break;

  // These, and renewals of the lease, are there before the broker knows how late it is.
  const asked = [
    holder.get('brief'),
    holder.getEntry('brief'),
    holder.ttl('brief'),
    holder.set('fenced', 1, TTL_MS, { fence: lease.token }),
    lease.renew(),
    holder.get('long'),
  ];
  const answers = asked.map((answer) => answer.catch((error) => error.code));
  child.kill('SIGCONT');
  const expected = ['not_found', 'not_found', 'not_found', 'fenced', 'lease_lost', 'v'];
  assert.deepEqual(await Promise.all(answers), expected);
  const taken = await next;
  assert.ok(taken.token > lease.token);
  await lost;
  assert.deepEqual([lease.lost, await lease.release()], [true, false]);
  const keys = (await other.list()).map(({ key }) => key);
  assert.deepEqual(keys, ['long']);
  assert.equal(await holder.set('fenced', 2, TTL_MS, { fence: lasting.token }), true);
  assert.equal(await lasting.release(), true);
  assert.equal(await taken.release(), true);
});

/** A program with two brokers gets a signal; one that heeds it goes on, and says so. */
async function signalled(t, signal, { before = '', after = '' }) {
  const folder = temporaryDirectory(t);
  const script = `
    const { Broker } = require(ROOT);
    ${before}
    for (const pipeId of ['same', null]) new Broker({ exportEnv: false, pipeId }).startSync();
    ${after}
    process.kill(process.pid, '${signal}');
    setTimeout(() => process.exit(3), 120_000);
  `;
  const { status, signal: ended } = await runNode(script, { env: { TMPDIR: folder } });
  const names = fs.readdirSync(folder).filter((name) => name.startsWith('broker-'));
  return { status, signal: ended, names };
}

// hardenProcess: SIGQUIT and SIGABRT would leave a core dump.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGABRT', 'SIGUSR2']) {
  test(`${signal}, which the program does not heed: it ends by it, and leaves no name`, async (t) => {
    const before =
      "require(require('node:path').join(ROOT, 'lib/binding.js')).load().hardenProcess();";
    const ended = await signalled(t, signal, { before });
    assert.deepEqual(ended, { status: null, signal, names: [] });
  });
}

for (const when of ['before', 'after']) {
  test(`a signal that is listened to from ${when} the start: the broker goes on`, async (t) => {
    const listen = `
      process.once('SIGTERM', () => {
        const names = require('node:fs').readdirSync(process.env.TMPDIR);
        process.exit(names.filter((name) => /^broker-.*sock$/.test(name)).length);
      });`;
    const ended = await signalled(t, 'SIGTERM', { [when]: listen });
    assert.deepEqual(ended, { status: 2, signal: null, names: [] });
  });
}

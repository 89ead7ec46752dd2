/**
 * A worker thread or process that ends in the middle of an activity. Its settings (workerData, or argv[2] as
 * JSON): `life`, the name of the activity; `name`, the name of its lock, pool or key; a broker's `pipe` and
 * `secret`; `onPipes`: its client switches to pipes first; `inThread`, of a process: the activity runs in a
 * worker thread of the process.
 *
 * It sends "ready" in the middle of the activity, and ends by message: "throw", "reject", or "exit" with
 * status 7. A process with a thread ends only the thread when it gets { thread: "throw" } (or another of
 * these), or { thread: "terminate" }; it then sends "thread ended" and continues.
 */
'use strict';

const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');
const { Broker, PipeClient } = require('../..');
const { stretched } = require('./time_limits.js');
const { goOver } = require('./pipes.js');

const given = isMainThread ? JSON.parse(process.argv[2]) : workerData;
const { name, pipe, secret, life, inThread } = given;
const TTL_MS = 600_000;
const EXIT_STATUS = 7;

const say = (message) => (isMainThread ? process.send(message) : parentPort.postMessage(message));
const newClient = (options) => new PipeClient(pipe, { secret, workerId: 'life', ...options });
const settledClient = async () => (given.onPipes ? goOver(newClient()) : newClient());

const LIVES = {
  /** Calls are pending all the time. */
  async calling() {
    const client = await settledClient();
    const again = () => client.incr(name, 1, TTL_MS).then(again);
    for (let i = 0; i < 20; i++) again();
    client.ping().then(() => say('ready'));
  },

  /** It waits for a lock. */
  async waiting() {
    const client = await settledClient();
    client.acquireLock(name, { ttl: TTL_MS });
    client.ping().then(() => say('ready'));
  },

  /** It holds two locks: one with a long TTL, one that is renewed a few times a second. */
  async holding() {
    const client = await settledClient();
    const held = await client.acquireLock(name, { ttl: TTL_MS });
    const brief = await client.acquireLock(`${name} brief`, { ttl: stretched(1000) });
    for (const { signal } of [held, brief]) signal.addEventListener('abort', () => say('lost'));
    say('ready');
  },

  async watching() {
    const watch = (await settledClient()).watch(name);
    await watch.ready;
    say('ready');
    for await (const event of watch) if (event.type === 'none') return;
  },

  /** The thread makes synchronous calls without a pause. */
  asking() {
    const client = newClient();
    say('ready');
    for (;;) client.getSync(name, { default: null });
  },

  /** The thread is blocked: the listener at its pipe never answers. */
  unanswered() {
    newClient({ timeout: TTL_MS }).getSync(name);
  },

  /** The thread is blocked: another client holds the lease. */
  blocked() {
    newClient().leaseSync(name, 'life', TTL_MS, { waitMs: Infinity });
  },

  /** It is a broker with a client. */
  async serving() {
    const broker = new Broker({ exportEnv: false, secret: 'auto' });
    await broker.start();
    const client = broker.client();
    const again = () => client.incr(name, 1, TTL_MS).then(again);
    again();
    say({ pipe: broker.pipe, secret: broker.secret });
  },

  /** It starts and stops brokers without a pause. */
  async turning() {
    for (let turn = 0; ; turn++) {
      const brokers = Array.from({ length: 3 }, () => new Broker({ exportEnv: false }));
      const clients = brokers.map((broker) => {
        broker.startSync();
        return broker.client();
      });
      await Promise.all(clients.map((client) => client.set(name, turn, TTL_MS)));
      const waits = clients.map((client) => client.waitFor(`no ${name}`, { timeout: TTL_MS }));
      const settled = Promise.allSettled(waits);
      if (turn === 0) say('ready');
      await Promise.all(brokers.map((broker) => broker.stop({ drainMs: 1 })));
      await settled;
      for (const client of clients) client.close();
    }
  },
};

const ENDS = {
  exit: () => process.exit(EXIT_STATUS),
  throw: () =>
    setImmediate(() => {
      throw new Error('the end');
    }),
  reject: () => void Promise.reject(new Error('the end')),
};

/** Runs the life in a thread. */
function runInThread() {
  const worker = new Worker(__filename, { workerData: given });
  worker.on('message', say);
  return (end) => {
    worker.on('error', () => {}).once('exit', () => say('thread ended'));
    if (end === 'terminate') worker.terminate();
    else worker.postMessage(end);
  };
}

let endThread = null;
if (isMainThread && inThread) endThread = runInThread();
else LIVES[life]();
if (isMainThread)
  process.on('message', (end) => (end.thread ? endThread(end.thread) : ENDS[end]()));
else parentPort.on('message', (end) => ENDS[end]());

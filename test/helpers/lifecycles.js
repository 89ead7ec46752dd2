/**
 * Scenarios of processes and threads (lifecycle_process.js) that end in the middle of an activity. The broker
 * must then serve all other clients as before, and grant the ended one's leases to the next client.
 */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { Worker } = require('node:worker_threads');
const {
  PipeClient,
  SECRET,
  startBroker,
  startClient,
  temporaryDirectory,
  untilWaiting,
  withCode,
} = require('./broker.js');
const { withoutLockNotice } = require('./lock_notice.js');

const PROGRAM = path.join(__dirname, 'lifecycle_process.js');
const TTL_MS = 600_000;

/** A broker in a separate folder, where sockets left behind can be seen. */
function startScene(t) {
  const folder = temporaryDirectory(t);
  const { TMPDIR } = process.env;
  process.env.TMPDIR = folder;
  t.after(() => {
    if (TMPDIR === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = TMPDIR;
  });
  const broker = startBroker(t, { secret: SECRET });
  const client = startClient(t, broker, { workerId: 'main' });
  let lives = 0;
  return {
    client,
    pipe: broker.pipe,
    secret: SECRET,
    names: () => fs.readdirSync(folder),
    newName: () => `life ${lives++}`,
    file: (name) => path.join(folder, name),
  };
}

/** The next message of a thread or process; rejects if it ends before. */
function nextMessage(from, why) {
  return new Promise((resolve, reject) => {
    const onExit = () => reject(new Error('It has ended.', { cause: why() }));
    from.once('exit', onExit);
    from.once('message', (message) => {
      from.off('exit', onExit);
      resolve(message);
    });
  });
}

/** A worker thread of this process. */
class Thread {
  constructor(given) {
    this.worker = new Worker(PROGRAM, { workerData: given, stderr: true });
    this.worker.on('error', (error) => (this.error = error));
    this.exit = new Promise((resolve) => {
      this.worker.once('exit', (status) => resolve(status));
    });
  }

  heard() {
    return nextMessage(this.worker, () => this.error);
  }

  /** Resolves the thread's status. */
  async end(how) {
    if (how === 'terminate') return this.worker.terminate();
    this.worker.postMessage(how);
    return this.exit;
  }
}

/** A process. */
class Process {
  stderr = '';

  constructor(given) {
    this.child = spawn(process.execPath, [PROGRAM, JSON.stringify(given)], {
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    });
    this.child.stderr.setEncoding('utf8').on('data', (text) => (this.stderr += text));
    this.closed = once(this.child, 'close');
  }

  heard() {
    return nextMessage(this.child, () => this.stderr);
  }

  /** Resolves its status or signal, and its output. */
  async end(how) {
    this.child.send(how);
    const [status, signal] = await this.closed;
    return { status, signal, stderr: withoutLockNotice(this.stderr) };
  }
}

/** A listener that never answers; resolves when a client has sent a request. */
async function listenInSilence(pipe) {
  const sockets = [];
  const server = net.createServer((socket) => {
    sockets.push(socket.on('error', () => {}));
    socket.once('data', () => server.emit('asked'));
  });
  server.listen(pipe);
  await once(server, 'listening');
  const close = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    return once(server, 'close');
  };
  return { asked: once(server, 'asked'), close };
}

/**
 * The scenarios. `begin(given)` starts a life, `life.heard()` resolves its next message, `end(life)` ends it.
 * Each scenario asserts its invariants.
 */
const SCENARIOS = {
  async calling({ begin, end, client, name }) {
    const life = begin({});
    assert.equal(await life.heard(), 'ready');
    await end(life);
    assert.ok((await client.get(name)) >= 0);
  },

  async waiting({ begin, end, client, name }) {
    const held = await client.acquireLock(name);
    const life = begin({});
    assert.equal(await life.heard(), 'ready');
    const next = client.acquireLock(name, { workerId: 'next' });
    await untilWaiting(client, name, 2);
    await end(life);
    await held.release();
    await (await next).release();
  },

  async holding({ begin, end, client, name }) {
    const life = begin({});
    assert.equal(await life.heard(), 'ready');
    const next = [name, `${name} brief`].map((lock) => client.acquireLock(lock));
    for (const lock of [name, `${name} brief`]) await untilWaiting(client, lock, 1);
    await end(life);
    for (const lock of await Promise.all(next)) await lock.release();
  },

  async watching({ begin, end, client, name }) {
    const life = begin({});
    assert.equal(await life.heard(), 'ready');
    const sets = Array.from({ length: 50 }, (_, i) => client.set(name, i, TTL_MS));
    await end(life);
    await Promise.all(sets);
    assert.equal(await client.get(name), 49);
  },

  async asking({ begin, end, client, name }) {
    const life = begin({});
    assert.equal(await life.heard(), 'ready');
    await end(life);
    assert.equal(await client.has(name), false);
  },

  async unanswered({ begin, end, file }) {
    const pipe = file('silent.sock');
    const silent = await listenInSilence(pipe);
    const life = begin({ pipe });
    await silent.asked;
    await end(life);
    await silent.close();
  },

  async blocked({ begin, end, client, name }) {
    await client.pool(name, ['only']);
    const held = await client.acquire(name);
    const life = begin({});
    await untilWaiting(client, name, 1);
    const next = client.acquire(name, { workerId: 'next' });
    await untilWaiting(client, name, 2);
    await end(life);
    await held.release();
    await (await next).release();
  },

  async serving({ begin, end, name }) {
    const life = begin({});
    const { pipe, secret } = await life.heard();
    const guest = new PipeClient(pipe, { secret });
    await guest.set(`of ${name}`, 1, TTL_MS);
    const lock = await guest.acquireLock(name, { ttl: TTL_MS });
    const lost = once(lock.signal, 'abort');
    const waiting = guest.waitFor(`no ${name}`, { timeout: TTL_MS });
    const gone = assert.rejects(waiting, withCode('broker_gone'));
    await guest.ping();
    await end(life);
    await Promise.all([gone, lost]);
    assert.equal(fs.existsSync(pipe), false);
    await guest.close();
  },

  async turning({ begin, end }) {
    const life = begin({});
    assert.equal(await life.heard(), 'ready');
    await end(life);
  },
};

/** Scenarios in which the life's thread receives no message until its call returns. */
const UNRESPONSIVE = ['asking', 'unanswered', 'blocked'];

/** Runs a scenario; other clients must be served as before, and no socket may remain. */
async function run(scene, life, Place, end, given = {}) {
  const { client, pipe, secret } = scene;
  const name = scene.newName();
  await SCENARIOS[life]({
    ...scene,
    name,
    end,
    begin: (more) => new Place({ life, name, pipe, secret, ...given, ...more }),
  });
  await client.set('others', name, TTL_MS);
  assert.equal(await client.get('others'), name);
  assert.equal(client.getSync('others'), name);
  const left = scene.names().filter((left_) => left_ !== path.basename(pipe));
  assert.deepEqual(left, [], `${life} left something behind`);
}

module.exports = { SCENARIOS, UNRESPONSIVE, Process, Thread, run, startScene };

/**
 * A broker for a test, and clients of it. The variables of a broker around the tests (they may run under
 * `start`) are removed from the environment first.
 */
'use strict';

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { once } = require('node:events');
const { withoutLockNotice } = require('./lock_notice.js');
const { TimeLimit } = require('./time_limits.js');

for (const name of Object.keys(process.env)) {
  if (/^((EPHEMERAL|BROKER|CLIENT)_|NODE_TEST_WORKER_ID$)/.test(name)) delete process.env[name];
}
// On a slow machine a test must not fail by a timeout, unless timeouts are its subject.
process.env.CLIENT_TIMEOUT = '120s';

const ROOT = path.join(__dirname, '..', '..');
const { Broker, PipeClient } = require(ROOT);

let strangers = 0;
const SECRET = 'a secret for tests, not a short one';

/**
 * A running broker that ends with the test. Without options it has no secret.
 * @param {import('node:test').TestContext} t
 */
function startBroker(t, options = {}) {
  const broker = new Broker({ exportEnv: false, secret: null, ...options });
  broker.startSync();
  t.after(() => broker.stop({ drainMs: 0 }));
  return broker;
}

/** A client of a broker that ends with the test. */
function startClient(t, broker, options = {}) {
  const client = broker.client(options);
  t.after(() => client.close());
  return client;
}

/**
 * A client with a separate connection. Clients of one thread with the same pipe share a connection; they
 * treat another spelling of the path as another pipe.
 */
function startStranger(t, broker, options = {}) {
  const slashes = '/'.repeat(2 + (strangers++ % 16));
  const spelling = path.dirname(broker.pipe) + slashes + path.basename(broker.pipe);
  const client = new PipeClient(spelling, { secret: broker.secret, ...options });
  t.after(() => client.close());
  return client;
}

/** A broker and a client, for tests that need only these. */
function startPair(t, options = {}) {
  const broker = startBroker(t, options);
  return { broker, client: startClient(t, broker) };
}

/** A directory that is removed after the test. */
function temporaryDirectory(t) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'epb-test-'));
  t.after(() => fs.rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/**
 * Runs a script in a separate Node process, where ROOT is the package.
 * @returns {Promise<{ status: number | null, signal: string | null, stdout: string, stderr: string }>}
 */
async function runNode(script, { env = {}, args = [], onChild = undefined } = {}) {
  const source = `'use strict';const ROOT=${JSON.stringify(ROOT)};${script}`;
  const child = spawn(process.execPath, [...args, '-e', source], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => (output[name] += text));
  }
  onChild?.(child);
  const [status, signal] = await once(child, 'close');
  return { status, signal, stdout: output.stdout, stderr: withoutLockNotice(output.stderr) };
}

/**
 * A worker: a Node process with a client and an IPC channel to the test. Its script can use `client` and
 * `tell`; `ask` resolves the result of its `on[name]`. The process is killed after the test.
 */
class WorkerProcess {
  #told = [];
  #wake = () => {};

  constructor(t, broker, script, { workerId = undefined, env = {} } = {}) {
    const source = `'use strict';
      const ROOT = ${JSON.stringify(ROOT)};
      const { PipeClient, BrokerError } = require(ROOT);
      const client = new PipeClient();
      const tell = (message) => process.send(message);
      const on = {};
      process.on('message', async ([name, ...args]) => tell({ answer: await on[name](...args) }));
      ${script}`;
    const identity = workerId === undefined ? {} : { WORKER_ID: workerId };
    this.child = spawn(process.execPath, ['-e', source], {
      env: { ...process.env, ...broker.env(), ...identity, ...env },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.exit = once(this.child, 'exit');
    t.after(() => this.kill());
    this.child.on('message', (message) => {
      this.#told.push(message);
      this.#wake();
    });
  }

  /** Resolves the next message of the worker. */
  async told() {
    while (this.#told.length === 0) {
      await new Promise((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#told.shift();
  }

  async ask(...question) {
    this.child.send(question);
    return (await this.told()).answer;
  }

  signal(name) {
    this.child.kill(name);
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.exit;
  }
}

function startWorker(t, broker, script, options) {
  return new WorkerProcess(t, broker, script, options);
}

/** Resolves the reason of a signal when it aborts. Keeps the process alive until then. */
async function reasonOf(signal) {
  const alive = setInterval(() => {}, 1000);
  if (!signal.aborted) await once(signal, 'abort');
  clearInterval(alive);
  return signal.reason;
}

/** Resolves when this number of requests waits for the key. */
function untilWaiting(client, key, count) {
  const wait = async () => {
    const lines = await client.leases(key);
    return lines.filter((line) => line.key === key && line.state === 'waiting').length === count;
  };
  return until(wait, `${count} wait for ${key}`);
}

/** Polls until `condition` is true, for conditions without an event. Fails after a while. */
async function until(condition, what) {
  const limit = new TimeLimit();
  for (;;) {
    const result = await condition();
    if (result) return result;
    if (limit.over) throw new Error(`it never came that ${what}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 2);
    });
  }
}

/** For assert.rejects and assert.throws. */
function withCode(code, pattern = /./) {
  return (error) =>
    error.name === 'BrokerError' && error.code === code && pattern.test(error.message);
}

/** A small, fast, seeded generator of numbers in [0, 1): mulberry32. */
function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x100000000;
  };
}

module.exports = {
  PipeClient,
  ROOT,
  SECRET,
  randomFrom,
  reasonOf,
  runNode,
  startBroker,
  startClient,
  startPair,
  startStranger,
  startWorker,
  temporaryDirectory,
  until,
  untilWaiting,
  withCode,
};

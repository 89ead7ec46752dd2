/** Processes of a test that report their progress by messages. */
'use strict';

const path = require('node:path');
const { fork } = require('node:child_process');
const { once } = require('node:events');
const { PipeClient } = require('./broker.js');

/** A process and its messages, which are kept in order until they are taken by type. */
class Worker {
  #kept = [];
  #takers = [];
  #over = null;

  constructor(child, onMessage) {
    this.child = child;
    this.pid = child.pid;
    // Not at "exit": the last message may not have arrived then.
    this.ended = once(child, 'close').then(([status, signal]) => ({ status, signal }));
    child.on('message', (message) => {
      onMessage?.(message, this);
      const index = this.#takers.findIndex(({ type }) => type === message.type);
      if (index < 0) this.#kept.push(message);
      else this.#takers.splice(index, 1)[0].resolve(message);
    });
    child.once('close', (status, signal) => {
      this.#over = new Error(`worker ${this.pid} ended early: ${signal ?? status}`);
      for (const { reject } of this.#takers) reject(this.#over);
    });
  }

  /** The next message of a type; rejects if the process ends before it sends one. */
  next(type) {
    const index = this.#kept.findIndex((message) => message.type === type);
    if (index >= 0) return Promise.resolve(this.#kept.splice(index, 1)[0]);
    if (this.#over !== null) return Promise.reject(this.#over);
    return new Promise((resolve, reject) => {
      this.#takers.push({ type, resolve, reject });
    });
  }

  send(message) {
    this.child.send(message);
  }

  /** Kills the process; resolves when it has ended. */
  kill() {
    this.child.kill('SIGKILL');
    return this.ended;
  }
}

/**
 * Starts a program of this folder with settings: argv[2], as JSON. Its inheritedClient() is a client of the
 * broker. The program is killed after the test.
 * @param {import('node:test').TestContext} t
 * @param {(message: object, worker: Worker) => void} [onMessage] receives every message first
 */
function startWorker(t, program, broker, settings, onMessage) {
  const env = { ...process.env, TEST_PIPE: broker.pipe };
  // Not as EPHEMERAL_SECRET, which test/helpers/broker.js removes from every environment.
  if (broker.secret !== null) env.TEST_SECRET = broker.secret;
  const child = fork(path.join(__dirname, program), [JSON.stringify(settings)], { env });
  t.after(() => child.kill('SIGKILL'));
  return new Worker(child, onMessage);
}

/** Called in such a program: a client of the broker. Its worker id is the process id. */
function inheritedClient() {
  const { TEST_PIPE, TEST_SECRET = null } = process.env;
  return new PipeClient(TEST_PIPE, { secret: TEST_SECRET, workerId: String(process.pid) });
}

module.exports = { inheritedClient, startWorker };

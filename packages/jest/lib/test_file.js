/** One test file: its tokens, and the clients that it makes. */
'use strict';

const path = require('node:path');
const { takeTokens } = require('ephemeral-pipe-broker/adapter');
const { clientOfWorker, whileJestRuns, workerId } = require('./worker_client.js');

/** The library adds the connections of this realm to a set of this name. */
const SCOPE = Symbol.for('ephemeral-pipe-broker.scope');

/**
 * @typedef {import('ephemeral-pipe-broker/adapter').RunOptions} RunOptions
 * @typedef {Pick<RunOptions, 'tokens' | 'envVars' | 'waitMs' | 'noticeMs'> & { known?: string[] }} FileOptions
 */

class TestFile {
  #options;
  #name;
  /** @type {Set<{ end: () => void }>} */
  #connections;
  /** @type {import('ephemeral-pipe-broker/adapter').Taken | null} */
  #taken = null;
  /** Puts the environment back. @type {(() => void)[]} */
  #undo = [];

  /**
   * @param {FileOptions} options
   * @param {string} file
   * @param {any} global of the realm
   */
  constructor(options, file, global) {
    this.#options = options;
    this.#name = path.basename(file);
    this.#connections = new global.Set();
    Object.defineProperty(global, SCOPE, { value: this.#connections, configurable: true });
  }

  /** @param {any} global */
  async begin(global) {
    const { tokens = {}, envVars, waitMs, noticeMs, known } = this.#options;
    const client = clientOfWorker();
    this.#taken = await whileJestRuns((signal) =>
      takeTokens(client, tokens, { workerId: workerId(), waitMs, noticeMs, known, signal }),
    );
    const { values } = this.#taken;
    const own = Object.entries(values).map(([alias, value]) => [alias, ofRealm(value, global)]);
    const brokerTokens = global.Object.fromEntries(own);
    global.brokerTokens = brokerTokens;
    this.#export(this.#taken.env(envVars), global);
  }

  /**
   * Tests see a copy of `process.env`, and the processes that they start inherit the real one.
   * @param {Record<string, string>} env
   * @param {any} global
   */
  #export(env, global) {
    for (const [name, value] of Object.entries(env)) {
      const before = process.env[name];
      process.env[name] = value;
      global.process.env[name] = value;
      this.#undo.push(() => {
        if (before === undefined) delete process.env[name];
        else process.env[name] = before;
      });
    }
  }

  /**
   * Fails a test whose token was lost while it ran.
   * @param {{ name: string, test?: any }} event of jest-circus
   */
  onEvent({ name, test }) {
    if (name === 'test_done') this.#check(test);
    // No code of the file runs any more.
    if (name === 'run_finish') this.#endConnections();
  }

  /** @param {any} test */
  #check(test) {
    try {
      this.#taken?.check(JSON.stringify(test.name));
    } catch (error) {
      test.errors.push([error, test.asyncError]);
    }
  }

  #endConnections() {
    for (const connection of [...this.#connections]) connection.end();
  }

  async end() {
    for (const undo of this.#undo.splice(0)) undo();
    this.#endConnections();
    await this.#taken?.release({ during: this.#name });
  }
}

/**
 * The value as the code of the file would have made it, so that `instanceof` is true.
 * @param {unknown} value
 * @param {any} global
 */
function ofRealm(value, global) {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  return global.JSON.parse(JSON.stringify(value));
}

module.exports = { TestFile };

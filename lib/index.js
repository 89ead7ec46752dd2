/** The exports of `require('ephemeral-pipe-broker')`. */
'use strict';

const { PipeClient, Client, BrokerError } = require('./client/client.js');

/**
 * The class of ./broker.js. Its code is loaded with the first object, because most processes are only clients
 * and must start fast. It is a class rather than a lazy getter, so that tests can replace the export or its
 * methods.
 */
class Broker {
  #own;

  /** @param {object} [options] */
  constructor(options) {
    const { Broker: Own } = require('./broker.js');
    this.#own = new Own(options);
    this.#own.shownAs = this;
  }

  get pipe() {
    return this.#own.pipe;
  }

  get secret() {
    return this.#own.secret;
  }

  /** @returns {Promise<string>} */
  start() {
    return this.#own.start();
  }

  /** @returns {string} */
  startSync() {
    return this.#own.startSync();
  }

  /**
   * @param {{ drainMs?: number }} [options]
   * @returns {Promise<void>}
   */
  stop(options) {
    return this.#own.stop(options);
  }

  stopSync() {
    this.#own.stopSync();
  }

  /** @returns {Record<string, string>} */
  env() {
    return this.#own.env();
  }

  /**
   * @param {string} command
   * @param {readonly string[]} [args]
   * @param {import('node:child_process').SpawnOptions} [options]
   * @returns {import('node:child_process').ChildProcess}
   */
  spawn(command, args, options) {
    return this.#own.spawn(command, args, options);
  }

  /**
   * @param {object} [options]
   * @returns {import('./client/client').PipeClient}
   */
  client(options) {
    return this.#own.client(options);
  }

  /** @returns {Promise<any>} */
  stats() {
    return this.#own.stats();
  }

  ref() {
    this.#own.ref();
    return this;
  }

  unref() {
    this.#own.unref();
    return this;
  }

  /** @returns {Promise<void>} */
  [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    return this.stop();
  }
}

/**
 * Whether a broker replies and has capacity left, for readiness probes.
 * @param {string | null} [pipe]
 * @param {import('./index').Duration} [timeout]
 */
async function checkReadiness(pipe, timeout = 2000) {
  try {
    const client = new PipeClient(pipe, { timeout });
    try {
      return (await client.health()).status === 'healthy';
    } finally {
      await client.close();
    }
  } catch {
    return false;
  }
}

module.exports = { PipeClient, Client, BrokerError, Broker, checkReadiness };

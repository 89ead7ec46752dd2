/** The connections of this copy of the module: one for each pipe and secret, shared by its clients. */
'use strict';

const { sameSecret } = require('../options.js');
const { Connection } = require('./connection.js');
const { endWithRealm } = require('./realm.js');

/** @typedef {import('./connection').Secret} Secret */

class Shared {
  #pipe;
  #secret;
  /** The number of clients that use it. */
  references = 0;

  /**
   * @param {string} pipe
   * @param {Secret} secret
   * @param {number} connectTimeout
   */
  constructor(pipe, secret, connectTimeout) {
    this.#pipe = pipe;
    this.#secret = secret;
    this.connection = new Connection(pipe, secret, connectTimeout);
  }

  /**
   * @param {string} pipe
   * @param {Secret} secret
   */
  isFor(pipe, secret) {
    return this.#pipe === pipe && sameSecret(this.#secret, secret);
  }

  end() {
    this.connection.end();
  }
}

/** @type {Set<Shared>} */
const connections = new Set();

endWithRealm(connections);

/**
 * The shared connection for a pipe and secret. The caller must release it.
 * @param {string} pipe
 * @param {Secret} secret
 * @param {number} connectTimeout of the first client
 * @returns {Connection}
 */
function connect(pipe, secret, connectTimeout) {
  let shared = [...connections].find((one) => one.isFor(pipe, secret));
  if (shared === undefined) {
    shared = new Shared(pipe, secret, connectTimeout);
    connections.add(shared);
  }
  shared.references++;
  return shared.connection;
}

/**
 * Drops one reference. The last one closes the connection.
 * @param {Connection} connection
 * @returns {Promise<void>}
 */
async function release(connection) {
  const shared = [...connections].find((one) => one.connection === connection);
  if (shared === undefined || --shared.references > 0) return;
  connections.delete(shared);
  await connection.close();
}

module.exports = { connect, release };

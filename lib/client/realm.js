/**
 * How connections live as long as the realm (`globalThis`) that this copy of the module belongs to, and not
 * longer.
 *
 * A test runner may report the end of the realm. Jest creates a realm for each test file. Objects that a file leaves behind may live as long as
 * the next file runs, because V8 shares object shapes between their modules, so garbage collection does not
 * always free them. Jest's runner (jest-circus) calls handlers in the realm when all tests and hooks of the
 * file have run. No code of the file runs after that.
 */
'use strict';

const { isSet } = require('node:util/types');

/** A Set of connections that a test runner's environment may put on its global object. */
const SCOPE = Symbol.for('ephemeral-pipe-broker.scope');
const BUSY = Symbol.for('ephemeral-pipe-broker.busy');
const HANDLERS = Symbol.for('EVENT_HANDLERS');
const LAST_EVENT = 'run_finish';

/** @typedef {import('./connection').Connection} Connection */

/** @returns {Set<Connection> | null} */
function scope() {
  const set = /** @type {Record<symbol, unknown>} */ (/** @type {unknown} */ (globalThis))[SCOPE];
  return isSet(set) ? /** @type {Set<Connection>} */ (set) : null;
}

/**
 * The connections of this realm that wait for or hold something. The set keeps them alive for a program
 * without a reference to its client, such as a bundle.
 * @returns {Set<Connection>}
 */
function busyConnections() {
  const realm = /** @type {Record<symbol, Set<Connection>>} */ (
    /** @type {unknown} */ (globalThis)
  );
  if (!(realm[BUSY] instanceof Set)) {
    Object.defineProperty(realm, BUSY, { value: new Set(), configurable: true });
  }
  return realm[BUSY];
}

/**
 * @param {Connection} connection
 * @param {boolean} isBusy it waits for or holds something
 */
function setBusy(connection, isBusy) {
  if (isBusy) busyConnections().add(connection);
  else busyConnections().delete(connection);
}

/**
 * A callback that does not keep its object alive. The channel keeps the callback as long as it lives. Test
 * runners load this module once for each test file, and a connection must be collected with its module.
 * @template {object} T
 * @param {T} object
 * @param {(object: T, what: number) => void} callback
 */
function weakly(object, callback) {
  const reference = new WeakRef(object);
  return (/** @type {number} */ what) => {
    const alive = reference.deref();
    if (alive !== undefined) callback(alive, what);
  };
}

/**
 * Calls `end()` on the elements of a set when the runner reports the end of the realm: perhaps never, perhaps
 * more than once. It keeps nothing alive, since a file may load this module many times.
 * @param {Set<{ end: () => void }>} set
 */
function endWithRealm(set) {
  const realm = /** @type {Record<symbol, unknown>} */ (/** @type {unknown} */ (globalThis));
  const handlers = realm[HANDLERS];
  if (Array.isArray(handlers)) handlers.push(handlerOf(new WeakRef(set)));
}

/** @param {WeakRef<Set<{ end: () => void }>>} reference */
function handlerOf(reference) {
  return (/** @type {{ name?: string }} */ event) => {
    if (event?.name !== LAST_EVENT) return;
    for (const one of reference.deref() ?? []) one.end();
  };
}

module.exports = { endWithRealm, scope, setBusy, weakly };

/**
 * Detects the end of the realm (`globalThis`) that this copy of the module belongs to, if a test runner
 * reports it. Jest creates a realm for each test file. Objects that a file leaves behind may live as long as
 * the next file runs, because V8 shares object shapes between their modules, so garbage collection does not
 * always free them. Jest's runner (jest-circus) calls handlers in the realm when all tests and hooks of the
 * file have run. No code of the file runs after that.
 */
'use strict';

const HANDLERS = Symbol.for('EVENT_HANDLERS');
const LAST_EVENT = 'run_finish';

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

module.exports = { endWithRealm };

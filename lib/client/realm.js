/**
 * The end of the realm (`globalThis`) that this copy of the module belongs to, where a runner of tests
 * tells of it. Jest makes a realm for each test file, and what the file leaves behind may be kept for as
 * long as the next one runs: its modules have objects whose shapes V8 has made in the first. So a
 * collection of garbage does not always end what no code can use any more. Jest's runner (jest-circus)
 * tells handlers in the realm when all tests and hooks of the file have run; nothing of it runs later.
 */
'use strict';

const HANDLERS = Symbol.for('EVENT_HANDLERS');
const LAST_EVENT = 'run_finish';

/**
 * Ends what is in a set at the end of the realm, if the runner tells of it; perhaps never, and perhaps more than
 * once. Nothing is kept alive for that: a file may load this module many times.
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

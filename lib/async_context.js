/**
 * Async contexts: the stores of AsyncLocalStorage, and the domain.
 *
 * `nowhere` runs a function in no context. Node's thread-safe functions live as long as the thread. One that
 * is created in a context keeps this context alive, with everything reachable from a test that is long over.
 *
 * `here` captures the current context. A callback runs in the context of the code that passed it to us,
 * although the wake-up happens in another.
 *
 * Node has no public API for an empty context. An AsyncResource stores its context in properties named by
 * symbols (one per AsyncLocalStorage up to Node 22, a single one from Node 24 on); without these properties,
 * it stands for no context. If a future version of Node stores it elsewhere, one context per thread stays
 * alive: the context of the first call.
 */
'use strict';

/** @typedef {import('node:async_hooks').AsyncResource} Place */

/** Matches the descriptions of these symbols. */
const CONTEXT = /store|context/i;

/** @type {new (type: string) => Place} loaded on first use */
let PlaceClass;

/**
 * The current context. The returned object keeps it alive.
 * @returns {Place}
 */
function here() {
  PlaceClass ??= class extends require('node:async_hooks').AsyncResource {
    /** For tools that list what keeps the process alive: this does not. */
    hasRef() {
      return false;
    }
  };
  return new PlaceClass('epb.context');
}

/**
 * Calls a function in no async context.
 * @template T
 * @param {() => T} fn
 * @returns {T}
 */
function nowhere(fn) {
  const { domain } = /** @type {{ domain?: unknown }} */ (process);
  const isInDomain = domain !== undefined && domain !== null;
  if (isInDomain) Object.assign(process, { domain: null });
  try {
    const place = /** @type {Record<symbol, unknown>} */ (/** @type {unknown} */ (here()));
    for (const symbol of Object.getOwnPropertySymbols(place)) {
      if (CONTEXT.test(symbol.description ?? '')) place[symbol] = undefined;
    }
    return /** @type {Place} */ (/** @type {unknown} */ (place)).runInAsyncScope(fn);
  } finally {
    if (isInDomain) Object.assign(process, { domain });
  }
}

module.exports = { here, nowhere };

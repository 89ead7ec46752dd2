'use strict';
/**
 * Calls a function in no async context: neither the AsyncLocalStorage nor the domain of whoever
 * calls. What Node makes meanwhile for good, a thread-safe function, keeps neither then, and with
 * them all that can be reached from a test that is long over.
 *
 * Node has no public way to that. An AsyncResource has the context as a property of its own, named by
 * a symbol (one for each AsyncLocalStorage up to Node 22, one for all from 24 on); without those it
 * stands for no context. Should a version of Node have it elsewhere, the context stays: one a
 * thread, of the first call.
 */

/** Of those symbols. */
const CONTEXT = /store|context/i;

/**
 * @template T
 * @param {() => T} fn
 * @returns {T}
 */
function nowhere(fn) {
  const { AsyncResource } = require('node:async_hooks');
  /** Does not keep the process alive, for those who list what does. */
  class Nowhere extends AsyncResource {
    hasRef() {
      return false;
    }
  }
  const { domain } = /** @type {{ domain?: unknown }} */ (process);
  const isInDomain = domain !== undefined && domain !== null;
  if (isInDomain) Object.assign(process, { domain: null });
  try {
    const place = /** @type {Record<symbol, unknown>} */ (
      /** @type {unknown} */ (new Nowhere('epb.nowhere'))
    );
    for (const symbol of Object.getOwnPropertySymbols(place)) {
      if (CONTEXT.test(symbol.description ?? '')) place[symbol] = undefined;
    }
    return /** @type {AsyncResource} */ (/** @type {unknown} */ (place)).runInAsyncScope(fn);
  } finally {
    if (isInDomain) Object.assign(process, { domain });
  }
}

module.exports = { nowhere };

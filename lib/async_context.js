/**
 * Async contexts: what AsyncLocalStorage gives, and the domain. Two needs are served here.
 *
 * What Node makes for good, a thread-safe function, keeps the context in which it was made, and with
 * it all that can be reached from a test that is long over. `nowhere` makes it in no context.
 *
 * A callback runs in the context of the code that gave it to us, though we are woken in another.
 * `here` remembers that one.
 *
 * Node has no public way to no context. An AsyncResource has its context as a property, named by a
 * symbol (one for each AsyncLocalStorage up to Node 22, one for all from 24 on); without those it
 * stands for no context. Should a version of Node have it elsewhere, the context stays: one a
 * thread, of the first call.
 */
'use strict';

/** @typedef {import('node:async_hooks').AsyncResource} Place */

/** Of those symbols. */
const CONTEXT = /store|context/i;

/** @type {new (type: string) => Place} loaded when it is first needed */
let PlaceClass;

/**
 * The context of this moment. It is kept alive by what this returns.
 * @returns {Place}
 */
function here() {
  PlaceClass ??= class extends require('node:async_hooks').AsyncResource {
    /** It does not keep the process alive, for those who list what does. */
    hasRef() {
      return false;
    }
  };
  return new PlaceClass('epb.context');
}

/**
 * PendingCalls a function in no async context.
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

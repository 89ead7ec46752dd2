/**
 * Lease: the handle of a lease. The native channel renews it, the connection's Holdings report its loss, and
 * `release` ends it.
 *
 * Invariants:
 * - it is held, lost or released; a lost lease is never held again;
 * - while it is held, it is in the Holdings and is renewed; afterwards neither;
 * - `signal` aborts in a microtask, never inside the connection, and in the async context of the code that
 *   first read it, since this code adds the listeners.
 */
'use strict';

const { isDeepStrictEqual } = require('node:util');
const { now } = require('../binding.js');
const { checkedMs } = require('./validate.js');
const { here } = require('../async_context.js');
const { BrokerError } = require('../error.js');
const { FLAGS, Request } = require('./frame.js');
const { checkNames } = require('../options.js');
const { putElements } = require('./list_codec.js');
const { lossMessage } = require('./lease_loss.js');
const { decodeEncoded, encode } = require('./values.js');
const { afterwards } = require('./flush_scheduler.js');

/** @typedef {{ discard?: boolean | readonly unknown[], timeout?: number }} ReleaseOptions */

class Lease {
  #connection;
  #owner;
  #operation;
  #fullKey;
  #several;
  #values;
  #stored;
  #ttl;
  #timeout;
  /** @type {'held' | 'lost' | 'released'} */
  #state = 'held';
  /** Created when `signal` is first read. @type {AbortController | null} */
  #controller = null;
  /** The context of that read, while it may abort. @type {import('../async_context').Place | null} */
  #listening = null;
  /** @type {BrokerError | null} why it was lost */
  #loss = null;
  /** @type {string | null} why its last renewal had failed, when it was lost */
  #renewalErrno = null;
  #kept = 0;
  /** When it was last renewed by `renew()`, or granted. By `now`, since the wall clock can jump. */
  #renewedAt = now();
  #endedAt = 0;
  /** @type {Promise<boolean> | null} */
  #releasing = null;

  /**
   * @param {import('./connection').Connection} connection
   * @param {object} given
   * @param {object} given.owner
   * @param {string} given.operation
   * @param {string} given.key
   * @param {string} given.fullKey
   * @param {string} given.workerId
   * @param {any} given.value
   * @param {boolean} given.several the value is an array of the leased elements
   * @param {import('./values').Encoded[]} given.stored the values as stored by the broker; empty for numbers
   * @param {number} given.token
   * @param {number} given.ttl
   * @param {number} given.timeout default of its calls
   */
  constructor(
    connection,
    { owner, operation, key, fullKey, workerId, value, several, stored, token, ttl, timeout },
  ) {
    this.#connection = connection;
    this.#operation = operation;
    this.#fullKey = fullKey;
    this.#ttl = ttl;
    this.#timeout = timeout;
    this.key = key;
    this.workerId = workerId;
    this.value = value;
    this.#several = several;
    this.#values = several ? [...value] : [value];
    this.#stored = stored;
    this.token = token;
    this.#owner = owner;
    this.#keep();
  }

  /** The client that made it, and that releases it when it closes. */
  get owner() {
    return this.#owner;
  }

  /** Its worker, and its key including the namespace. */
  get grant() {
    return { workerId: this.workerId, key: this.#fullKey };
  }

  /** Whether it was requested with a count, so that its value is an array. */
  get several() {
    return this.#several;
  }

  /** Number of leased elements. */
  get size() {
    return this.#several ? this.value.length : 1;
  }

  /**
   * The handle of one of its elements.
   * @param {number} index
   */
  part(index) {
    return new LeasePart(this, index);
  }

  get signal() {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#loss !== null) this.#controller.abort(this.#loss);
      else this.#listening = here();
    }
    return this.#controller.signal;
  }

  get lost() {
    return this.#state === 'lost';
  }

  get expiresAt() {
    if (this.#state !== 'held') return this.#endedAt;
    const msSinceRenewal = this.#connection.renewals.msSince(this.#kept) ?? Infinity;
    const renewedAgo = Math.min(msSinceRenewal, now() - this.#renewedAt);
    return Date.now() + Math.round(this.#ttl - renewedAgo);
  }

  /**
   * @param {{ timeout?: number }} [options]
   * @returns {Promise<void>}
   */
  async renew(options = {}) {
    const timeout = this.#checkedTimeout('renew', options, ['timeout']);
    if (this.#loss !== null) throw this.#loss;
    if (this.#state === 'released') {
      const message = 'This lease was released: acquire a new one.';
      throw new BrokerError('lease_lost', message, { operation: 'renew', key: this.#fullKey });
    }
    const sentAt = now();
    const request = this.#request('renew');
    try {
      await this.#ask('renew', timeout, request, () => undefined);
    } catch (error) {
      if (error instanceof BrokerError && error.code === 'lease_lost') {
        this.#connection.session.lost(this.token);
      }
      throw error;
    }
    this.#renewedAt = Math.max(this.#renewedAt, sentAt);
  }

  /**
   * @param {ReleaseOptions} [options]
   * @returns {Promise<boolean>}
   */
  async release(options = {}) {
    const timeout = this.#checkedTimeout('release', options, ['discard', 'timeout']);
    const request = this.#releaseRequest(options.discard);
    if (this.#state === 'lost') return false;
    this.#end('released');
    this.#releasing ??= this.#release(request, timeout);
    return this.#releasing;
  }

  /** @param {unknown} discard true: all elements; an array: these elements */
  #releaseRequest(discard) {
    const request = this.#request('release');
    const isList = Array.isArray(discard);
    if (discard === true || (isList && discard.length > 0)) request.flags |= FLAGS.discard;
    if (isList) request.bytes = putElements(this.#storedOf(discard));
    return request;
  }

  /**
   * Elements as stored by the broker. The broker compares bytes, but another client may have written `1.0`,
   * or the keys in another order. An element is also found by its identity, even if the caller changed it.
   * @param {readonly unknown[]} elements
   */
  #storedOf(elements) {
    const left = this.#stored.map((stored, i) => ({ stored, value: this.#values[i] }));
    return elements.map((element) => {
      const same = left.findIndex(({ value }) => Object.is(value, element));
      if (same >= 0) return left.splice(same, 1)[0].stored;
      const encoded = encode(element);
      const equal = left.findIndex(({ stored }) => areEqual(stored, encoded));
      return equal < 0 ? encoded : left.splice(equal, 1)[0].stored;
    });
  }

  /**
   * @param {Request} request
   * @param {number} timeout
   */
  async #release(request, timeout) {
    /** @type {import('./pending_call').Decode} */
    const decode = (_buffer, reply) => reply.count > 0;
    try {
      const ended = await this.#ask('release', timeout, request, decode);
      this.#listening = null;
      return ended;
    } catch (error) {
      const code = error instanceof BrokerError ? error.code : '';
      // The caller may try again if the broker may still have the lease: it ends only with its session.
      if (code !== 'broker_gone') this.#releasing = null;
      if (code === 'not_found') this.#goOn();
      throw error;
    }
  }

  /** The broker refused the release: the lease is still held, so resume its renewal. */
  #goOn() {
    if (this.#state !== 'released') return;
    this.#state = 'held';
    this.#keep();
    this.#connection.attend();
  }

  #keep() {
    this.#kept = this.#connection.renewals.start(this.token, this.#ttl);
    this.#connection.session.addLease(this.token, this);
  }

  /** @returns {Promise<void>} */
  [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    return Lease.dispose(this);
  }

  /**
   * @param {Lease} lease
   * @returns {Promise<void>}
   */
  static async dispose(lease) {
    try {
      await lease.release();
    } catch (error) {
      if (!(error instanceof BrokerError) || error.code !== 'broker_gone') throw error;
    }
  }

  /**
   * The lease was lost; the Holdings have removed it already.
   * @param {'lease_lost' | 'broker_gone'} code
   */
  end(code) {
    if (this.#state !== 'held') return;
    this.#end('lost');
    const loss = this.#lossBy(code);
    this.#loss = loss;
    afterwards(() => this.#abort(loss));
  }

  /** @param {BrokerError} loss */
  #abort(loss) {
    const place = this.#listening;
    this.#listening = null;
    place?.runInAsyncScope(() => this.#controller?.abort(loss));
  }

  /** @param {'lost' | 'released'} state */
  #end(state) {
    if (this.#state !== 'held') return;
    const { expiresAt } = this;
    const endedAt = Math.min(expiresAt, Date.now());
    const { renewals } = this.#connection;
    // Before the stop: the last renewal of the connection takes the reason with it.
    if (state === 'lost' || endedAt === expiresAt) this.#renewalErrno = renewals.errno;
    this.#endedAt = endedAt;
    this.#state = state;
    renewals.stop(this.#kept);
    this.#connection.session.removeLease(this.token);
  }

  /**
   * @param {Lease} lease that is no longer held
   * @returns {BrokerError}
   */
  static lossOf(lease) {
    return lease.#loss ?? lease.#lossBy('lease_lost');
  }

  /** @param {'lease_lost' | 'broker_gone'} code */
  #lossBy(code) {
    const details = { operation: this.#operation, key: this.#fullKey };
    return new BrokerError(code, lossMessage(code, this.#renewalErrno), details);
  }

  /**
   * @param {'renew' | 'release'} operation
   * @param {number} timeout
   * @param {Request} request
   * @param {import('./pending_call').Decode} decode
   */
  #ask(operation, timeout, request, decode) {
    return this.#connection.send(operation, this.#fullKey, timeout, request, decode, true);
  }

  /** @param {'renew' | 'release'} action */
  #request(action) {
    const request = new Request();
    request.action = this.#connection.actions[action];
    request.fence = this.token;
    request.flags = FLAGS.fence;
    return request;
  }

  /**
   * @param {string} operation
   * @param {any} options
   * @param {readonly string[]} known
   */
  #checkedTimeout(operation, options, known) {
    checkNames(`${operation}()`, options, known);
    return checkedMs('timeout', options.timeout ?? this.#timeout, 1);
  }
}

/**
 * Whether both decode to the same value.
 * @param {import('./values').Encoded} left
 * @param {import('./values').Encoded} right
 */
function areEqual(left, right) {
  return isDeepStrictEqual(decodeEncoded(left), decodeEncoded(right));
}

/**
 * The handle of one element of a lease of several. Only the value is its own, everything else is the lease's.
 * All parts end together.
 */
class LeasePart {
  #whole;

  /**
   * @param {Lease} whole
   * @param {number} index
   */
  constructor(whole, index) {
    this.#whole = whole;
    this.key = whole.key;
    this.workerId = whole.workerId;
    this.token = whole.token;
    this.value = whole.value[index];
  }

  get signal() {
    return this.#whole.signal;
  }

  get lost() {
    return this.#whole.lost;
  }

  get expiresAt() {
    return this.#whole.expiresAt;
  }

  /** @param {{ timeout?: number }} [options] */
  renew(options) {
    return this.#whole.renew(options);
  }

  /**
   * Ends the whole lease; `discard` removes only this element from its pool.
   * @param {{ discard?: boolean, timeout?: number }} [options]
   */
  release(options = {}) {
    const own = options.discard === true ? { ...options, discard: [this.value] } : options;
    return this.#whole.release(own);
  }

  /** @returns {Promise<void>} */
  [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    return Lease.dispose(this.#whole);
  }
}

/**
 * Runs a function while a lease is held, then releases the lease.
 * @template R
 * @param {Lease} lease
 * @param {() => R} run
 * @returns {Promise<Awaited<R>>}
 */
async function whileHeld(lease, run) {
  let result;
  try {
    result = await run();
  } catch (error) {
    await lease.release().catch(() => {});
    throw error;
  }
  const heldToTheEnd = !lease.lost && (await lease.release());
  if (heldToTheEnd) return result;
  throw Lease.lossOf(lease);
}

module.exports = { Lease, LeasePart, whileHeld };

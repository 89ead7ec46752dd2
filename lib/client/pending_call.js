/** A request that waits for its reply: how to settle it, its deadline, and the batch with its bytes. */
'use strict';

const { load } = require('../binding.js');
const { endless } = require('../duration.js');
const { BrokerError, inContext, sentence } = require('../error.js');
const { explain } = require('./error_messages.js');
const { FLAGS } = require('./frame.js');
const { eventName, getNear, getObstacle } = require('./list_codec.js');
const { addAbortListener, removeAbortListener } = require('./abort_signals.js');
const { atSite, rejectedForWaiter } = require('../call_site.js');

/**
 * @callback Decode the value of a successful reply
 * @param {Buffer} buffer
 * @param {import('./frame').Reply} reply
 * @returns {any}
 *
 * @typedef {object} WaitState of a call that waits at the broker, or that may be granted something
 * @property {number} waitMs time to wait, in addition to the call's timeout; Infinity: no limit
 * @property {number | null} noticeMs when the first warning is due; null: the client's default; 0: never
 * @property {number} notices number of warnings so far
 * @property {number} since when the call was made, by our clock
 * @property {boolean} started the request waits at the broker
 * @property {AbortSignal | null} signal
 * @property {(() => void) | null} onAbort the listener of the signal
 * @property {object | null} owner the client that ends the wait when it closes
 * @property {((reply: import('./frame').Reply) => void) | null} undo releases the grant of a reply that
 *   no caller waits for any more
 */

/** @param {number} status */
function codeOf(status) {
  return load().statuses.find(({ number }) => number === status)?.code ?? 'internal';
}

/**
 * @param {Buffer} buffer
 * @param {import('./frame').Reply} reply
 */
function reasonOf(buffer, reply) {
  if (reply.bodyAt === reply.bodyEnd) return undefined;
  return new Error(buffer.toString('utf8', reply.bodyAt, reply.bodyEnd));
}

/** Refusals whose replies contain an Obstacle. */
const OBSTRUCTED = new Set(['lease_held', 'wait_timeout', 'deadlock']);

/**
 * @param {Buffer} buffer
 * @param {import('./frame').Reply} reply
 */
function obstacleOf(buffer, reply) {
  return getObstacle(buffer, reply.bodyAt, reply.bodyEnd, Date.now());
}

/**
 * The properties of an error that describe an Obstacle.
 * @param {string} code
 * @param {import('./list_codec').Obstacle} obstacle
 */
function factsOf(code, { place, waiting, holders }) {
  if (code === 'deadlock') return { holders };
  return place === 0 ? { holders, waiting } : { holders, waiting, place };
}

/**
 * @param {Buffer} buffer
 * @param {string} code
 * @param {import('./frame').Reply} reply
 * @returns {import('./error_messages').Refusal}
 */
function refusalOf(buffer, code, reply) {
  const { flags, count, burst, period, ttl, bodyAt, bodyEnd } = reply;
  const isGone = code === 'not_found' && (flags & FLAGS.period) !== 0;
  const isLarge = code === 'too_large' && (flags & FLAGS.burst) !== 0;
  return {
    near: (code === 'not_found' && getNear(buffer, bodyAt, bodyEnd)) || [],
    size: count,
    hadValue: (flags & FLAGS.wait) !== 0,
    gone: isGone ? { kind: eventName(count), agoMs: period, ttlMs: endless(ttl) } : null,
    obstacle: OBSTRUCTED.has(code) ? obstacleOf(buffer, reply) : null,
    large: isLarge
      ? { size: count, limit: burst, option: buffer.toString('latin1', bodyAt, bodyEnd) }
      : null,
  };
}

class PendingCall {
  id = 0;
  deadline = 0;
  /** The number of the batch that contains its bytes until it is handed over. */
  batch = 0;
  /** It means nothing on another connection. */
  bound = false;
  settled = false;
  #resolve;
  #reject;

  /**
   * @param {string} operation
   * @param {Decode} decode
   * @param {(value: any) => void} resolve
   * @param {(error: unknown) => void} reject
   */
  constructor(operation, decode, resolve, reject) {
    this.operation = operation;
    this.decode = decode;
    this.#resolve = resolve;
    this.#reject = reject;
    /** @type {string | undefined} */
    this.key = undefined;
    /** For messages. */
    this.workerId = '';
    /** Number of requested elements, for messages. */
    this.count = 1;
    this.timeout = 0;
    /** @type {{ value: any } | null} the result for a missing key */
    this.missing = null;
    /** @type {WaitState | null} */
    this.wait = null;
    /** The stack of the call. @type {import('../call_site').Site | null} */
    this.site = null;
    /** The caller is on the stack until it settles. */
    this.sync = false;
  }

  /** @returns {WaitState} */
  waitState() {
    this.wait ??= {
      waitMs: 0,
      noticeMs: null,
      notices: 0,
      since: 0,
      started: false,
      signal: null,
      onAbort: null,
      owner: null,
      undo: null,
    };
    return this.wait;
  }

  /**
   * @param {(reason: unknown) => void} onAbort
   * @returns {boolean} whether the signal has aborted already
   */
  listenToSignal(onAbort) {
    const wait = this.waitState();
    const { signal } = wait;
    if (signal === null) return false;
    if (signal.aborted) return true;
    wait.onAbort = () => onAbort(signal.reason);
    addAbortListener(signal, wait.onAbort);
    return false;
  }

  #settle() {
    this.settled = true;
    if (this.wait === null) return;
    const { signal, onAbort } = this.wait;
    if (signal !== null && onAbort !== null) removeAbortListener(signal, onAbort);
  }

  /**
   * @param {Buffer} buffer
   * @param {import('./frame').Reply} reply
   */
  settle(buffer, reply) {
    this.#settle();
    if (reply.status !== 0) return this.#refused(buffer, reply);
    try {
      this.#resolve(this.decode(buffer, reply));
    } catch (error) {
      this.undo(reply);
      // Other errors come from decoding a malformed reply, and might quote a part of it.
      const isOurs = error instanceof BrokerError;
      // The addon's error: it had no memory, descriptor or thread for the granted lease.
      const isNative = /** @type {any} */ (error)?.code === 'internal';
      const code = isNative ? 'internal' : 'version_mismatch';
      const told = isOurs ? error : new BrokerError(code, sentence(code));
      this.#rejectFor(() => inContext(told, this.operation, this.key));
    }
  }

  /**
   * @param {Buffer} buffer
   * @param {import('./frame').Reply} reply
   */
  #refused(buffer, reply) {
    const code = codeOf(reply.status);
    if (code === 'not_found' && this.missing !== null) return this.#resolve(this.missing.value);
    const cause = code === 'compute_failed' ? reasonOf(buffer, reply) : undefined;
    const refusal = refusalOf(buffer, code, reply);
    const details = { operation: this.operation, key: this.key, cause };
    const message = explain(this, code, refusal);
    const facts = refusal.obstacle === null ? {} : factsOf(code, refusal.obstacle);
    return this.#rejectFor(() => Object.assign(new BrokerError(code, message, details), facts));
  }

  /**
   * Rejects with an error whose stack begins with the caller.
   * @param {() => unknown} make
   */
  #rejectFor(make) {
    if (this.sync) return this.#reject(make());
    if (this.site === null) return this.#resolve(rejectedForWaiter(make));
    return this.#reject(atSite(make(), this.site));
  }

  /** @param {unknown} error */
  fail(error) {
    this.#settle();
    this.#rejectFor(() => inContext(error, this.operation, this.key));
  }

  /** @param {unknown} reason passed through unchanged */
  abort(reason) {
    this.#settle();
    this.#reject(reason);
  }

  /**
   * Releases whatever a reply granted.
   * @param {import('./frame').Reply} reply
   */
  undo(reply) {
    this.wait?.undo?.(reply);
  }
}

module.exports = { PendingCall, codeOf };

/** A request that waits for its reply: what to do with that, until when, and where its bytes are. */
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
 * @callback Decode the value of a reply that is ok
 * @param {Buffer} buffer
 * @param {import('./frame').Reply} reply
 * @returns {any}
 *
 * @typedef {object} WaitState of a call that waits at the broker, or may be granted something
 * @property {number} waitMs beyond the call's timeout; Infinity: as long as it takes
 * @property {number | null} noticeMs when it warns first; null: as the client does; 0: never
 * @property {number} notices how often it has
 * @property {number} since when it was asked, by our clock
 * @property {boolean} started it waits there
 * @property {AbortSignal | null} signal
 * @property {(() => void) | null} onAbort what the signal calls
 * @property {object | null} owner whose end ends the wait, too
 * @property {((reply: import('./frame').Reply) => void) | null} undo gives back what a reply granted
 *   that nobody waits for any more
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

/** Refusals that come with what was in the way. */
const OBSTRUCTED = new Set(['lease_held', 'wait_timeout', 'deadlock']);

/**
 * @param {Buffer} buffer
 * @param {import('./frame').Reply} reply
 */
function obstacleOf(buffer, reply) {
  return getObstacle(buffer, reply.bodyAt, reply.bodyEnd, Date.now());
}

/**
 * What an error says for a program.
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
  /** Its bytes: in the batch of this number, until that is handed over. */
  batch = 0;
  /** What it asks means nothing on another connection. */
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
    /** How many it asks for, for messages. */
    this.count = 1;
    this.timeout = 0;
    /** @type {{ value: any } | null} what a missing key resolves */
    this.missing = null;
    /** @type {WaitState | null} */
    this.patience = null;
    /** Where it was made. @type {import('../call_site').Site | null} */
    this.site = null;
    /** The caller is on the stack until it settles. */
    this.sync = false;
  }

  /** @returns {WaitState} */
  waitState() {
    this.patience ??= {
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
    return this.patience;
  }

  /**
   * @param {(reason: unknown) => void} onAbort
   * @returns {boolean} whether it is aborted already
   */
  listenToSignal(onAbort) {
    const patience = this.waitState();
    const { signal } = patience;
    if (signal === null) return false;
    if (signal.aborted) return true;
    patience.onAbort = () => onAbort(signal.reason);
    addAbortListener(signal, patience.onAbort);
    return false;
  }

  #settle() {
    this.settled = true;
    if (this.patience === null) return;
    const { signal, onAbort } = this.patience;
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
      // Anything else comes from reading a broken broker's reply, of which it may quote something.
      const isOurs = error instanceof BrokerError;
      // The addon's own: it had no memory, descriptor or thread for what the reply grants.
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
   * With an error whose stack names the caller.
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

  /** @param {unknown} reason of whoever aborted it; not ours to change */
  abort(reason) {
    this.#settle();
    this.#reject(reason);
  }

  /**
   * Gives back what a reply granted, if anything.
   * @param {import('./frame').Reply} reply
   */
  undo(reply) {
    this.patience?.undo?.(reply);
  }
}

module.exports = { PendingCall, codeOf };

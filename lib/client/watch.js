/**
 * Watch: the events of `watch()` as an async iterator. Events are buffered here until next() is called. The
 * buffer is bounded, like the broker's.
 *
 * Invariants:
 * - either events or callers of next() wait, never both;
 * - events are in the order of the changes; one overflow takes the place of missing events;
 * - the watch keeps the process alive exactly while callers wait and the broker watches.
 */
'use strict';

const { checkedSignal } = require('./validate.js');
const { PendingCall } = require('./pending_call.js');
const { BrokerError } = require('../error.js');
const { addAbortListener, removeAbortListener } = require('./abort_signals.js');

const BUFFERED_MAX = 1024;

/**
 * @typedef {import('./list_codec').WatchEvent} WatchEvent
 * @typedef {IteratorResult<WatchEvent, undefined>} Result
 * @typedef {{ resolve: (result: Result) => void, reject: (error: unknown) => void }} Waiter
 */

class Watch {
  /** @type {import('./connection').Connection | null} set when the request is made */
  #connection = null;
  /** @type {PendingCall | null} the request, until its reply */
  #call = null;
  #id = 0;
  #owner;
  #timeout = 0;
  #prefix = '';
  #ownKey;
  /** @type {WatchEvent[]} */
  #events = [];
  /** Number of `#events` already taken. */
  #taken = 0;
  /** @type {Waiter[]} */
  #waiters = [];
  #holding = false;
  #ended = false;
  /** @type {{ error: unknown } | null} the error with which the next call of next() rejects */
  #failure = null;
  /** @type {AbortSignal | null} */
  #signal = null;
  #onAbort = () => this.#fail(this.#signal?.reason);

  /**
   * @param {import('./client_core').ClientCore} core
   * @param {string} prefix
   * @param {any} options
   */
  constructor(core, prefix, options) {
    this.#owner = core;
    this.#ownKey = (/** @type {string} */ key) => core.ownKey(key);
    /** @type {Promise<void>} */
    this.ready = new Promise((resolve, reject) => {
      const call = new PendingCall(
        'watch',
        (_buffer, reply) => this.#start(reply.id),
        resolve,
        reject,
      );
      core.start(
        call,
        'watch',
        undefined,
        options,
        ['timeout', 'signal'],
        (request, given) => {
          this.#prefix = request.key = core.fullPrefix(prefix);
          this.#connection = core.connection();
          this.#call = call;
          this.#timeout = call.timeout;
          call.waitState().owner = core;
          if (given?.signal !== undefined) this.#addAbortListener(checkedSignal(given.signal));
        },
        false,
      );
    });
    this.ready.catch((error) => this.#fail(error));
  }

  /** The client that made it, and that closes it when it closes. */
  get owner() {
    return this.#owner;
  }

  /** @param {AbortSignal} signal */
  #addAbortListener(signal) {
    this.#signal = signal;
    addAbortListener(signal, this.#onAbort);
  }

  /**
   * The broker has started the watch.
   * @param {number} id of the request
   */
  #start(id) {
    this.#id = id;
    this.#call = null;
    this.#connection?.session.addWatch(id, this);
    this.#hold();
  }

  /** @param {WatchEvent[]} events */
  push(events) {
    for (const event of events) {
      const shown = event.type === 'overflow' ? event : { ...event, key: this.#ownKey(event.key) };
      const waiter = this.#waiters.shift();
      if (waiter !== undefined) waiter.resolve({ value: shown, done: false });
      else if (event.type !== 'overflow' || this.#events.at(-1)?.type !== 'overflow') {
        this.#events.push(shown);
      }
    }
    if (this.#events.length - this.#taken > BUFFERED_MAX) {
      this.#events = [{ type: 'overflow' }];
      this.#taken = 0;
    }
    this.#hold();
  }

  /** The connection has ended. */
  end() {
    const details = { operation: 'watch', key: this.#prefix === '' ? undefined : this.#prefix };
    const message = 'The connection to the broker has ended, and what changed since is unknown.';
    this.#fail(new BrokerError('broker_gone', message, details));
  }

  /** @returns {Promise<Result>} */
  next() {
    if (this.#taken < this.#events.length) {
      return Promise.resolve({ value: this.#take(), done: false });
    }
    if (this.#ended) return this.#last();
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#hold();
    });
  }

  /** @returns {WatchEvent} */
  #take() {
    const event = this.#events[this.#taken++];
    if (this.#taken === this.#events.length) {
      this.#events = [];
      this.#taken = 0;
    }
    return event;
  }

  /** @returns {Promise<Result>} */
  async #last() {
    const failure = this.#failure;
    this.#failure = null;
    if (failure !== null) throw failure.error;
    return { value: undefined, done: true };
  }

  close() {
    this.#events = [];
    this.#taken = 0;
    this.#failure = null;
    const message = 'It was closed before the broker watched.';
    this.#finish(new BrokerError('invalid_request', message, { operation: 'watch' }));
    for (const waiter of this.#waiters.splice(0)) waiter.resolve({ value: undefined, done: true });
    this.#hold();
  }

  /** @returns {Promise<Result>} */
  async return() {
    this.close();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  /**
   * Rejects the first waiting caller. Without one, next() rejects after the buffered events are read.
   * @param {unknown} error
   */
  #fail(error) {
    if (this.#ended) return;
    this.#finish(error);
    const [first, ...others] = this.#waiters.splice(0);
    if (first === undefined) this.#failure = { error };
    else first.reject(error);
    for (const waiter of others) waiter.resolve({ value: undefined, done: true });
    this.#hold();
  }

  /** @param {unknown} reason rejects `ready` if it is still pending */
  #finish(reason) {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#signal !== null) removeAbortListener(this.#signal, this.#onAbort);
    if (this.#id !== 0) this.#connection?.withdrawals.endWatch(this.#id, this.#timeout);
    else if (this.#call !== null) this.#connection?.abort(this.#call, reason);
  }

  #hold() {
    const wanted = this.#waiters.length > 0 && this.#id !== 0 && !this.#ended;
    if (wanted === this.#holding) return;
    this.#holding = wanted;
    if (wanted) this.#connection?.listener.hold();
    else this.#connection?.listener.unhold();
  }
}

module.exports = { Watch };

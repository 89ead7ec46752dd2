/**
 * The deadlines of a connection's pending calls.
 *
 * Invariants:
 * - `dueAt` is at most the earliest deadline of a pending call. It is not moved when a call settles;
 * - the host is busy while `dueAt` is finite, and while its `isBusy` says so.
 */
'use strict';

const { TIMER_MAX_MS } = require('./timers.js');

/** A check that comes later than this gives the replies that arrived meanwhile LATE_GRACE_MS to be read. */
const LATE_MS = 10;
const LATE_GRACE_MS = 50;

/**
 * @typedef {object} Host
 * @property {(call: import('./pending_call').PendingCall) => void} expire rejects an overdue call
 * @property {() => void} onExpired the overdue calls are rejected
 * @property {() => boolean} isBusy whether something needs the connection, apart from deadlines
 * @property {(isBusy: boolean) => void} setBusy
 */

class Deadlines {
  dueAt = Infinity;
  #calls;
  #timers;
  #host;

  /**
   * @param {import('./pending_calls').PendingCalls} calls
   * @param {import('./timers').Timers} timers
   * @param {Host} host
   */
  constructor(calls, timers, host) {
    this.#calls = calls;
    this.#timers = timers;
    this.#host = host;
  }

  /**
   * @param {number} deadline of a new call
   * @param {number} now
   */
  add(deadline, now) {
    if (deadline < this.dueAt) this.#dueBy(deadline, now);
  }

  /**
   * @param {number} deadline
   * @param {number} now
   */
  #dueBy(deadline, now) {
    if (this.dueAt === Infinity) this.#host.setBusy(true);
    this.dueAt = Math.min(deadline, now + TIMER_MAX_MS);
    this.#timers.update(now);
  }

  /** @param {number} now */
  due(now) {
    const lateMs = now - this.dueAt;
    this.dueAt = Infinity;
    // The thread was busy: first read the replies that arrived meanwhile.
    if (lateMs > LATE_MS) this.#dueBy(now + LATE_GRACE_MS, now);
    else this.expire(now);
  }

  /**
   * Rejects overdue calls, and sets `dueAt` to the next deadline.
   * @param {number} now
   */
  expire(now) {
    let next = Infinity;
    for (const call of this.#calls) {
      if (call.deadline > now) next = Math.min(next, call.deadline);
      else this.#host.expire(call);
    }
    const isBusy = this.#calls.size > 0 || this.#host.isBusy();
    if (next < this.dueAt || (isBusy && this.dueAt === Infinity)) this.#dueBy(next, now);
    if (this.dueAt === Infinity) this.#host.setBusy(false);
    this.#host.onExpired();
  }

  clear() {
    this.dueAt = Infinity;
  }
}

module.exports = { Deadlines };

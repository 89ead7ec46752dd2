'use strict';
/**
 * The calls of a connection that wait for their replies.
 *
 * Invariant: an id is in use from the request until its reply, also when the caller has given up; and
 * that of a watch, until it ends.
 */

const ID_MAX = 0xffffffff;

/** @typedef {import('./call').Call} Call */

class Calls {
  /** @type {Map<number, Call>} */
  #pending = new Map();
  /** Given up while the broker had them: their replies are still to come. @type {Map<number, Call>} */
  #abandoned = new Map();
  /** Those that are to wait at the broker, and are not there yet. @type {Call[]} */
  #patient = [];
  /** How many wait at the broker. */
  #waiting = 0;
  #lastId = 0;

  get size() {
    return this.#pending.size;
  }

  /** How many are not at the broker to wait there: their replies should come soon. */
  get expected() {
    return this.#pending.size - this.#waiting;
  }

  /**
   * 1 to 2^32 - 1.
   * @param {import('./session').Session} session
   */
  newId(session) {
    do {
      this.#lastId = this.#lastId === ID_MAX ? 1 : this.#lastId + 1;
    } while (this.#isUsed(this.#lastId, session));
    return this.#lastId;
  }

  /**
   * @param {number} id
   * @param {import('./session').Session} session
   */
  #isUsed(id, session) {
    return this.#pending.has(id) || this.#abandoned.has(id) || session.hasWatch(id);
  }

  /** @param {Call} call */
  add(call) {
    this.#pending.set(call.id, call);
    if (call.patience !== null && call.patience.waitMs > 0) this.#patient.push(call);
  }

  /**
   * Those that were handed over wait at the broker now: their timeouts are for the way there and back.
   * @param {(call: Call) => boolean} isUnsent
   */
  startWaits(isUnsent) {
    if (this.#patient.length === 0) return;
    this.#patient = this.#patient.filter((call) => {
      if (isUnsent(call)) return true;
      if (!call.settled) this.#startWait(call);
      return false;
    });
  }

  /** @param {Call} call */
  #startWait(call) {
    const patience = call.patient();
    patience.started = true;
    call.deadline += patience.waitMs;
    this.#waiting++;
  }

  /**
   * The call of a reply: it waits no more.
   * @param {number} id
   * @returns {Call | undefined}
   */
  take(id) {
    const call = this.#pending.get(id);
    if (call === undefined) return undefined;
    this.#pending.delete(id);
    if (call.patience !== null && call.patience.started) this.#waiting--;
    return call;
  }

  /**
   * @param {number} id
   * @returns {Call | undefined} one that was given up, whose reply has come
   */
  takeAbandoned(id) {
    const call = this.#abandoned.get(id);
    this.#abandoned.delete(id);
    return call;
  }

  /**
   * @param {Call} call that the broker has, and nobody waits for
   */
  abandon(call) {
    this.#abandoned.set(call.id, call);
  }

  /** With the connection, what it would have brought is gone. */
  forgetAbandoned() {
    this.#abandoned.clear();
  }

  /** @returns {IterableIterator<Call>} also those that are added meanwhile */
  [Symbol.iterator]() {
    return this.#pending.values();
  }
}

module.exports = { Calls };

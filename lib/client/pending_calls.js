/**
 * The calls of a connection that wait for their replies.
 *
 * Invariant: an id is in use from the request until its reply, also when the caller has given up; and
 * that of a watch, until it ends.
 */
'use strict';

/** What V8 keeps in a word without a box; the protocol would take one bit more. */
const ID_MAX = 0x7fffffff;
const FIRST_SLOTS = 64;
/** A larger ring is not kept when it is empty. */
const KEPT_SLOTS = 8192;

/** @typedef {import('./pending_call').PendingCall} PendingCall */

/**
 * @param {number} count
 * @returns {(PendingCall | null)[]}
 */
function newSlots(count) {
  return new Array(count).fill(null);
}

class PendingCalls {
  /**
   * Pending calls, each in the slot of its id modulo their number: ids are given in order, so a slot is
   * nearly always free, and an id whose slot is not is passed over. At most half of them are used.
   */
  #slots = newSlots(FIRST_SLOTS);
  #size = 0;
  /** Given up while the broker had them: their replies are still to come. @type {Map<number, PendingCall>} */
  #abandoned = new Map();
  /** Those that are to wait at the broker, and are not there yet. @type {PendingCall[]} */
  #waitState = [];
  /** How many wait at the broker. */
  #waiting = 0;
  #lastId = 0;

  get size() {
    return this.#size;
  }

  /** Another one with each new call. */
  get lastId() {
    return this.#lastId;
  }

  /** How many are not at the broker to wait there: their replies should come soon. */
  get expected() {
    return this.#size - this.#waiting;
  }

  /**
   * 1 to ID_MAX.
   * @param {import('./holdings').Holdings} session
   */
  newId(session) {
    if (this.#size * 2 >= this.#slots.length) this.#grow();
    do {
      this.#lastId = this.#lastId === ID_MAX ? 1 : this.#lastId + 1;
    } while (this.#isUsed(this.#lastId, session));
    return this.#lastId;
  }

  /**
   * @param {number} id
   * @param {import('./holdings').Holdings} session
   */
  #isUsed(id, session) {
    const slots = this.#slots;
    return (
      slots[id & (slots.length - 1)] !== null || this.#abandoned.has(id) || session.hasWatch(id)
    );
  }

  #grow() {
    const slots = newSlots(this.#slots.length * 2);
    for (const call of this.#slots) if (call !== null) slots[call.id & (slots.length - 1)] = call;
    this.#slots = slots;
  }

  /** @param {PendingCall} call with a new id */
  add(call) {
    const slots = this.#slots;
    slots[call.id & (slots.length - 1)] = call;
    this.#size++;
    if (call.patience !== null && call.patience.waitMs > 0) this.#waitState.push(call);
  }

  /** @param {number} id */
  has(id) {
    return this.#slots[id & (this.#slots.length - 1)]?.id === id;
  }

  /**
   * Those that were handed over wait at the broker now: their timeouts are for the way there and back.
   * @param {(call: PendingCall) => boolean} isUnsent
   */
  startWaits(isUnsent) {
    if (this.#waitState.length === 0) return;
    this.#waitState = this.#waitState.filter((call) => {
      if (isUnsent(call)) return true;
      if (!call.settled) this.#startWait(call);
      return false;
    });
  }

  /** @param {PendingCall} call */
  #startWait(call) {
    const patience = call.waitState();
    patience.started = true;
    call.deadline += patience.waitMs;
    this.#waiting++;
  }

  /**
   * The call of a reply: it waits no more.
   * @param {number} id
   * @returns {PendingCall | undefined}
   */
  take(id) {
    const slots = this.#slots;
    const slot = id & (slots.length - 1);
    const call = slots[slot];
    if (call === null || call.id !== id) return undefined;
    slots[slot] = null;
    this.#size--;
    if (this.#size === 0 && slots.length > KEPT_SLOTS) this.#slots = newSlots(FIRST_SLOTS);
    if (call.patience !== null && call.patience.started) this.#waiting--;
    return call;
  }

  /**
   * @param {number} id
   * @returns {PendingCall | undefined} one that was given up, whose reply has come
   */
  takeAbandoned(id) {
    const call = this.#abandoned.get(id);
    this.#abandoned.delete(id);
    return call;
  }

  /**
   * @param {PendingCall} call that the broker has, and nobody waits for
   */
  abandon(call) {
    this.#abandoned.set(call.id, call);
  }

  /** With the connection, what it would have brought is gone. */
  forgetAbandoned() {
    this.#abandoned.clear();
  }

  /** @returns {IterableIterator<PendingCall>} those that are pending now, the oldest first */
  [Symbol.iterator]() {
    const age = (/** @type {PendingCall} */ { id }) =>
      id > this.#lastId ? this.#lastId + ID_MAX - id : this.#lastId - id;
    const pending = /** @type {PendingCall[]} */ (this.#slots.filter((call) => call !== null));
    return pending.sort((a, b) => age(b) - age(a)).values();
  }
}

module.exports = { PendingCalls };

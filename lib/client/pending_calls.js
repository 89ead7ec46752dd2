/**
 * The calls of a connection that wait for their replies.
 *
 * Invariant: an id is in use from the request until its reply, even if the call was aborted. The id of a
 * watch is in use until the watch ends.
 */
'use strict';

/** The largest integer that V8 always stores without a heap allocation; the protocol allows one bit more. */
const ID_MAX = 0x7fffffff;
const FIRST_SLOTS = 64;
/** A larger table is freed when it is empty. */
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
   * Pending calls, each in the slot of its id modulo the table's size. Ids are sequential, so a slot is
   * nearly always free; an id whose slot is in use is skipped. At most half of the slots are used.
   */
  #slots = newSlots(FIRST_SLOTS);
  #size = 0;
  /** Aborted after they were handed over: their replies are outstanding. @type {Map<number, PendingCall>} */
  #abandoned = new Map();
  /** Calls that will wait at the broker and are not handed over yet. @type {PendingCall[]} */
  #waitState = [];
  /** Number of calls that wait at the broker. */
  #waiting = 0;
  #lastId = 0;

  get size() {
    return this.#size;
  }

  /** Changes with each new call. */
  get lastId() {
    return this.#lastId;
  }

  /** Number of calls that do not wait at the broker: their replies should come soon. */
  get expected() {
    return this.#size - this.#waiting;
  }

  /**
   * The next free id, 1 to ID_MAX.
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
    if (call.wait !== null && call.wait.waitMs > 0) this.#waitState.push(call);
  }

  /** @param {number} id */
  has(id) {
    return this.#slots[id & (this.#slots.length - 1)]?.id === id;
  }

  /**
   * Starts the waits of calls that were handed over: extends their deadlines by their wait, since the timeout
   * covers only the round trip.
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
    const wait = call.waitState();
    wait.started = true;
    call.deadline += wait.waitMs;
    this.#waiting++;
  }

  /**
   * Removes and returns the call with an id.
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
    if (call.wait !== null && call.wait.started) this.#waiting--;
    return call;
  }

  /**
   * @param {number} id
   * @returns {PendingCall | undefined} an aborted call whose reply has come
   */
  takeAbandoned(id) {
    const call = this.#abandoned.get(id);
    this.#abandoned.delete(id);
    return call;
  }

  /**
   * @param {PendingCall} call aborted after it was handed over
   */
  abandon(call) {
    this.#abandoned.set(call.id, call);
  }

  /** The connection has ended, so the replies will not come. */
  forgetAbandoned() {
    this.#abandoned.clear();
  }

  /** @returns {IterableIterator<PendingCall>} a snapshot of the pending calls, the oldest first */
  [Symbol.iterator]() {
    const age = (/** @type {PendingCall} */ { id }) =>
      id > this.#lastId ? this.#lastId + ID_MAX - id : this.#lastId - id;
    const pending = /** @type {PendingCall[]} */ (this.#slots.filter((call) => call !== null));
    return pending.sort((a, b) => age(b) - age(a)).values();
  }
}

module.exports = { PendingCalls };

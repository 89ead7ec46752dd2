'use strict';
/**
 * When a connection has its next turn: at the end of this tick, so that what is asked in one tick
 * leaves together, and a loop of awaited calls does not have to wait for the event loop. After a number
 * of such turns, or a millisecond of them, the event loop has its share first.
 */

const { setImmediate } = require('node:timers');

// Not the globals: test frameworks put fakes in their place, and calls would wait for ever.
const { nextTick } = process;
const settled = Promise.resolve();

/** Turns in a row before the event loop has its share, at most, and how soon it may. */
const TURNS_IN_A_ROW = 64;
const TURNS_BEFORE_CLOCK = 8;
const TURNS_MAX_MS = 1;

class Turns {
  /** One is coming. */
  due = false;
  #count = 0;
  #since = 0;
  #soon;
  #later;
  #afterMicrotasks = () => nextTick(this.#soon);

  /** @param {() => void} turn */
  constructor(turn) {
    this.#soon = () => {
      this.due = false;
      turn();
    };
    this.#later = () => {
      this.due = false;
      this.#count = 0;
      turn();
    };
  }

  /**
   * @param {number} now
   * @param {boolean} inTurn this is called by a turn: what it has settled goes on first
   */
  schedule(now, inTurn) {
    if (this.due) return;
    this.due = true;
    if (this.#count === 0) this.#since = now;
    const count = this.#count++;
    const long = count >= TURNS_BEFORE_CLOCK && now - this.#since > TURNS_MAX_MS;
    if (long || count >= TURNS_IN_A_ROW) setImmediate(this.#later);
    else if (inTurn) settled.then(this.#afterMicrotasks);
    else nextTick(this.#soon);
  }

  /** The event loop has had its share. */
  reset() {
    this.#count = 0;
  }
}

module.exports = { Turns };

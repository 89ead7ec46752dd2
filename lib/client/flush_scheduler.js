/**
 * Schedules the turns of a connection. A turn runs after the current microtasks, so that requests made
 * together are sent together, and a loop of awaited calls need not wait for the event loop. After a number of
 * such turns, or a millisecond of them, the next turn runs from the event loop.
 *
 * It uses only microtasks and the addon's wake-up, because a test may replace nextTick and setImmediate with
 * fakes that run nothing. A turn therefore requeues itself behind pending microtasks a few times, and for as
 * long as these make more requests.
 */
'use strict';

/** A native promise, even if a test has replaced Promise. */
const settled = (async () => {})();

/**
 * Most turns in a row before one runs from the event loop. After TURNS_BEFORE_CLOCK turns, TURNS_MAX_MS
 * applies, too.
 */
const TURNS_IN_A_ROW = 64;
const TURNS_BEFORE_CLOCK = 8;
const TURNS_MAX_MS = 1;

/** How often a turn requeues itself without a new request: enough for requests behind two awaits. */
const QUIET_HOPS = 2;
/** How often a turn requeues itself at most. */
const HOPS_MAX = 64;

/**
 * Calls a function in a microtask, after the code that runs now.
 * @param {() => void} fn must not throw
 */
function afterwards(fn) {
  settled.then(fn);
}

class FlushScheduler {
  /** A turn is scheduled. */
  due = false;
  #count = 0;
  #since = 0;
  #hops = 0;
  #quiet = 0;
  #asked = 0;
  #turn;
  #later;
  #countAsked;

  /**
   * @param {object} given
   * @param {() => void} given.turn
   * @param {() => void} given.later makes the event loop call `late`
   * @param {() => number} given.asked a number that increases with each request
   */
  constructor({ turn, later, asked }) {
    this.#turn = turn;
    this.#later = later;
    this.#countAsked = asked;
  }

  #hop = () => {
    const asked = this.#countAsked();
    this.#quiet = asked === this.#asked ? this.#quiet + 1 : 0;
    this.#asked = asked;
    if (this.#quiet < QUIET_HOPS && ++this.#hops < HOPS_MAX) {
      settled.then(this.#hop);
      return;
    }
    this.due = false;
    this.#turn();
  };

  /** Runs the turn, from the event loop. */
  late() {
    this.due = false;
    this.#count = 0;
    this.#turn();
  }

  /** @param {number} now */
  schedule(now) {
    if (this.due) return;
    this.due = true;
    if (this.#count === 0) this.#since = now;
    const count = this.#count++;
    const long = count >= TURNS_BEFORE_CLOCK && now - this.#since > TURNS_MAX_MS;
    if (long || count >= TURNS_IN_A_ROW) {
      this.#later();
      return;
    }
    this.#hops = 0;
    this.#quiet = 0;
    this.#asked = this.#countAsked();
    settled.then(this.#hop);
  }

  /** The event loop has run: counts turns from 0 again. */
  reset() {
    this.#count = 0;
  }
}

module.exports = { FlushScheduler, afterwards };

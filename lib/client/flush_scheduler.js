/**
 * When a connection has its next turn: when the microtasks of this moment have run, so that what is
 * asked together leaves together, and a loop of awaited calls does not have to wait for the event loop.
 * After a number of such turns, or a millisecond of them, the event loop has its share first.
 *
 * Only microtasks and the addon's own wake-up are used: nextTick and setImmediate may be fakes of a
 * test, which call nothing until the test says so. So a turn stands back behind the microtasks that are
 * due a few times, and as long as these ask for more.
 */
'use strict';

/** Of the engine itself, whatever stands in for Promise. */
const settled = (async () => {})();

/** FlushScheduler in a row before the event loop has its share, at most, and how soon it may. */
const TURNS_IN_A_ROW = 64;
const TURNS_BEFORE_CLOCK = 8;
const TURNS_MAX_MS = 1;

/** How often a turn stands back when nothing more is asked: what is awaited twice over is in time. */
const QUIET_HOPS = 2;
/** And in all. */
const HOPS_MAX = 64;

/**
 * PendingCalls from a microtask: what is under way is over by then.
 * @param {() => void} fn that does not throw
 */
function afterwards(fn) {
  settled.then(fn);
}

class FlushScheduler {
  /** One is coming. */
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
   * @param {() => void} given.later has `late` called from the event loop
   * @param {() => number} given.asked a number that grows with each request
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

  /** The event loop has come. */
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

  /** The event loop has had its share. */
  reset() {
    this.#count = 0;
  }
}

module.exports = { FlushScheduler, afterwards };

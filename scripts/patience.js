// Limits of time that a slow or busy machine does not miss. What counts is not the clock alone: a piece of
// work whose time is known is done every few seconds, and a second in which it took three times as long
// counts as a third of one.
'use strict';

/** What `work` takes alone on the machine that the limits were chosen on. */
const WORK_MS = 15;
const LOOK_MS = 3000;

/** Arithmetic that needs a processor and nothing else. */
function work() {
  let state = 1;
  for (let i = 0; i < 10_000_000; i++) state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
  return state;
}

/** How many times as long as it should the same work takes here and now; at least 1. */
function slowness() {
  const began = performance.now();
  work();
  return Math.max(1, (performance.now() - began) / WORK_MS);
}

/** Calls `onLate` once, when nothing was heard for so many milliseconds of a quiet machine. */
class Silence {
  #spentMs = 0;
  #timer;

  /**
   * @param {number} limitMs
   * @param {() => void} onLate
   * @param {{ measure?: () => number, lookMs?: number }} [how]
   */
  constructor(limitMs, onLate, { measure = slowness, lookMs = LOOK_MS } = {}) {
    let before = performance.now();
    this.#timer = setInterval(() => {
      const now = performance.now();
      this.#spentMs += (now - before) / measure();
      // The measuring is no silence of whoever is listened to.
      before = performance.now();
      if (this.#spentMs < limitMs) return;
      this.stop();
      onLate();
    }, lookMs);
  }

  heard() {
    this.#spentMs = 0;
  }

  stop() {
    clearInterval(this.#timer);
  }
}

module.exports = { Silence, slowness };

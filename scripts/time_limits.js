// Time limits that tolerate a slow or busy machine. Every few seconds a piece of work with a known duration
// is measured. A second in which it takes three times as long counts as a third of a second.
'use strict';

/** The duration of `work` alone on the machine that the limits were chosen for. */
const WORK_MS = 15;
const LOOK_MS = 3000;

/** Arithmetic that needs only a processor. */
function work() {
  let state = 1;
  for (let i = 0; i < 10_000_000; i++) state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
  return state;
}

/** The present duration of `work` divided by WORK_MS; at least 1. */
function slowness() {
  const began = performance.now();
  work();
  return Math.max(1, (performance.now() - began) / WORK_MS);
}

/** Calls `onLate` once, if `heard` was not called for `limitMs` of a quiet machine. */
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
      // The time of the measurement does not count as silence.
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

/**
 * Durations for tests that depend on real time: short on a quiet machine, longer on a slow or busy one. Work
 * that needs a processor in the meantime then gets it.
 */
'use strict';

const { slowness } = require('../../scripts/time_limits.js');

/**
 * @param {number} ms on a quiet machine
 * @returns {number} ms on this machine now
 */
const stretched = (ms) => Math.ceil(ms * Math.max(slowness(), slowness()));

/** Far longer than any wait: reached only if the program is broken. */
const BROKEN_MS = 120_000;

/**
 * The time limit of a test that polls for a condition. If the machine is slow when the limit is reached, the
 * limit is extended.
 */
class TimeLimit {
  #began = performance.now();

  get over() {
    const waitedMs = performance.now() - this.#began;
    return waitedMs > BROKEN_MS && waitedMs > stretched(BROKEN_MS);
  }
}

module.exports = { TimeLimit, stretched };

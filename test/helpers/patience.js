/**
 * Times in tests whose subject is time that really passes: short on a quiet machine, longer on one that is
 * slow or busy right now. So what needs a processor in the meantime gets it.
 */
'use strict';

const { slowness } = require('../../scripts/patience.js');

/**
 * @param {number} ms of a quiet machine
 * @returns {number} of this one, now
 */
const patient = (ms) => Math.ceil(ms * Math.max(slowness(), slowness()));

/** Far beyond anything that is waited for: reached only when something is broken. */
const BROKEN_MS = 120_000;

/**
 * The end of a test's patience, for what no event tells. On a machine that is slow when it would be over,
 * it is longer.
 */
class Patience {
  #began = performance.now();

  get over() {
    const waitedMs = performance.now() - this.#began;
    return waitedMs > BROKEN_MS && waitedMs > patient(BROKEN_MS);
  }
}

module.exports = { Patience, patient };

/**
 * Times in tests whose subject is time that really passes: short on a quiet machine, longer on one that is
 * slow or busy right now. So what needs a processor in the meantime gets it.
 */
'use strict';

const { slowness } = require('../../scripts/patience');

/**
 * @param {number} ms of a quiet machine
 * @returns {number} of this one, now
 */
const patient = (ms) => Math.ceil(ms * Math.max(slowness(), slowness()));

module.exports = { patient };

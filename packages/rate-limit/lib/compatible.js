/**
 * The classes of rate-limiter-flexible where it is installed: its Union, Queue and wrappers take only
 * instances of its own classes, and programs test `instanceof RateLimiterRes`. Else classes of the same shape.
 */
'use strict';

class OwnBase {}

class OwnRes {
  constructor(
    remainingPoints = 0,
    msBeforeNext = 0,
    consumedPoints = 0,
    isFirstInDuration = false,
  ) {
    this.remainingPoints = remainingPoints;
    this.msBeforeNext = msBeforeNext;
    this.consumedPoints = consumedPoints;
    this.isFirstInDuration = isFirstInDuration;
  }

  toJSON() {
    return { ...this };
  }

  toString() {
    return JSON.stringify(this);
  }
}

/** @returns {any} null: it is not installed */
function installed() {
  try {
    return require('rate-limiter-flexible');
  } catch (error) {
    if (/** @type {{ code?: string }} */ (error).code !== 'MODULE_NOT_FOUND') throw error;
    return null;
  }
}

const theirs = installed();
/** @type {new () => object} */
const Base = theirs?.RateLimiterCompatibleAbstract ?? OwnBase;
/** @type {typeof import('../index').RateLimiterRes} */
const RateLimiterRes = theirs?.RateLimiterRes ?? OwnRes;

module.exports = { Base, RateLimiterRes };

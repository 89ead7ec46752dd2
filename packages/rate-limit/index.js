/** Limits that all processes with the same broker share. */
'use strict';

const { RateLimiterRes } = require('./lib/compatible.js');
const { RateLimiter } = require('./lib/rate_limiter.js');
const { Scheduler } = require('./lib/scheduler.js');

module.exports = { RateLimiter, RateLimiterRes, Scheduler };

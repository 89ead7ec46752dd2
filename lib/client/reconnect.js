/** Connecting: which errors are worth a retry, the pauses between attempts, and the error messages. */
'use strict';

const { BrokerError } = require('../error.js');

const BACKOFF_FIRST_MS = 5;
const BACKOFF_MAX_MS = 200;
const DOUBLINGS_MAX = 16;

/** Errors that may be temporary while a broker starts or is busy. */
const RETRIED = new Set(['ENOENT', 'ECONNREFUSED', 'EAGAIN', 'EINTR', 'EMFILE', 'ENFILE']);

/** @type {Record<string, string>} */
const CONNECT_HINTS = {
  ENOENT:
    'there is no such pipe. Its broker has ended, or the path is wrong; start your command with ' +
    '`ephemeral-pipe-broker start -- <command>`',
  ECONNREFUSED: 'its broker has died',
  EAGAIN: 'its broker does not accept connections at the moment',
  ECONNRESET: 'its broker closes the connection',
  EACCES: 'this user may not use it',
  EPERM: 'its broker belongs to another user',
  ENOTSOCK: 'it is not a pipe',
  ENAMETOOLONG: 'the path is longer than a pipe can have',
};

/** Errors of a path without a broker: there is none, or it has died. */
const MISSING = new Set(['ENOENT', 'ECONNREFUSED']);

/** @param {string} errno */
function isMissing(errno) {
  return MISSING.has(errno);
}

/** @param {string} errno */
function isPassing(errno) {
  return RETRIED.has(errno);
}

/**
 * @param {string} pipe
 * @param {string} errno
 */
function unreachable(pipe, errno) {
  const hint = CONNECT_HINTS[errno] ?? 'it cannot be connected to';
  return new BrokerError('broker_gone', `No broker at ${pipe}: ${hint} (${errno}).`);
}

/** The pause before the next attempt. */
class Backoff {
  #failures = 0;
  /** When the pause ends; Infinity: there is no pause. */
  until = Infinity;

  get pausing() {
    return this.until !== Infinity;
  }

  /** Exponential with jitter, so that a hundred workers do not reconnect at the same time. */
  delayMs() {
    const longest = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** this.#failures);
    return longest * (0.5 + Math.random() / 2);
  }

  /** @param {number} now */
  start(now) {
    const delay = this.delayMs();
    this.#failures = Math.min(this.#failures + 1, DOUBLINGS_MAX);
    if (!this.pausing) this.until = now + delay;
  }

  end() {
    this.until = Infinity;
  }

  /** An attempt succeeded. */
  reset() {
    this.#failures = 0;
  }
}

module.exports = { Backoff, isMissing, isPassing, unreachable };

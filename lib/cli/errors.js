/**
 * Errors of the command line itself, as opposed to what the broker answers.
 */
'use strict';

/** Something on the command line is wrong; the message says what to write instead. */
class UsageError extends Error {
  /**
   * @param {string} message
   */
  constructor(message) {
    super(message);
    this.name = 'UsageError';
  }
}

module.exports = { UsageError };

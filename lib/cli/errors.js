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

/**
 * What the client says of a refusal speaks of options in code; on a command line they are flags.
 *
 * @template T
 * @param {string} what  the command and what it is about
 * @param {Record<string, string>} hints  what to say instead, by code
 * @param {Promise<T>} answer
 * @returns {Promise<T>}
 */
async function withHints(what, hints, answer) {
  try {
    return await answer;
  } catch (/** @type {any} */ error) {
    if (Object.hasOwn(hints, error.code)) error.message = `${what}: ${hints[error.code]}`;
    throw error;
  }
}

module.exports = { UsageError, withHints };

/**
 * Errors of the command line itself, as opposed to what the broker answers.
 */
'use strict';

const { heldBy, placeOf } = require('../client/holders.js');

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
 * Who holds what was refused, and who waits for it; '' when that is not known.
 *
 * @param {any} error
 */
function holdersOf({ code, holders = [], waiting = 0, place = 0 }) {
  if (code !== 'lease_held' && code !== 'wait_timeout') return '';
  const obstacle = { holders, holding: holders.length, waiting, place };
  return [heldBy(obstacle), placeOf(obstacle)].filter(Boolean).join(' ');
}

/**
 * What the client says of a refusal speaks of options in code; on a command line they are flags.
 *
 * @template T
 * @param {string} what  the command and what it is about
 * @param {Record<string, string>} hints  what to say instead, by code, after who holds it
 * @param {Promise<T>} answer
 * @returns {Promise<T>}
 */
async function withHints(what, hints, answer) {
  try {
    return await answer;
  } catch (/** @type {any} */ error) {
    if (Object.hasOwn(hints, error.code)) {
      error.message = [`${what}:`, holdersOf(error), hints[error.code]].filter(Boolean).join(' ');
    }
    throw error;
  }
}

module.exports = { UsageError, withHints };

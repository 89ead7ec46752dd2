/** The client of limiters that are not given one, and what all limiters check. */
'use strict';

const { BrokerError, PipeClient } = require('ephemeral-pipe-broker/client');

/** @type {PipeClient | undefined} */
let shared;

/** @returns {PipeClient} one for all limiters of this process; finds the pipe in EPHEMERAL_PIPE */
function defaultClient() {
  shared ??= new PipeClient();
  return shared;
}

/** @param {string} message */
const invalid = (message) => new BrokerError('invalid_request', message);

/**
 * An option that is misspelt, or that this package does not have, would otherwise be ignored.
 * @param {string} owner
 * @param {Record<string, unknown>} options
 * @param {readonly string[]} names
 */
function checkNames(owner, options, names) {
  if (typeof options !== 'object' || options === null) throw invalid(`${owner} needs options.`);
  const unknown = Object.keys(options).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw invalid(`${owner} has no option "${unknown}". Options: ${names.join(', ')}.`);
  }
}

/**
 * @param {string} owner
 * @param {string} name
 * @param {unknown} value undefined passes
 * @param {number} least
 */
function checkInteger(owner, name, value, least) {
  if (value === undefined) return;
  if (!Number.isSafeInteger(value) || /** @type {number} */ (value) < least) {
    throw invalid(`${owner}: ${name} is an integer from ${least}.`);
  }
}

module.exports = { BrokerError, checkInteger, checkNames, defaultClient, invalid };

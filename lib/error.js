/**
 * The error class. `code` is the wire string of csrc/base/status.def. The sentences come from the same table
 * (through the native binding), so the broker and the client use the same text.
 *
 * Invariant: a message contains operations, keys, options and paths, never a value or a secret.
 */
'use strict';

const { load } = require('./binding.js');
const { hideOurs, setFrameLimit, withOurs } = require('./call_site.js');

const KEY_SHOWN_CHARS = 80;
const PAGES = 'ephemeral-pipe-broker/docs/errors';

class BrokerError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{ operation?: string, key?: string, cause?: unknown }} [details]
   */
  constructor(code, message, details = {}) {
    const { operation, key, cause } = details;
    const options = cause === undefined ? undefined : { cause };
    const before = setFrameLimit(withOurs());
    super(prefix(operation, key) + message, options);
    setFrameLimit(before);
    hideOurs(this);
    /** @type {string} */
    this.code = code;
    /** @type {string | undefined} */
    this.operation = operation;
    /** @type {string | undefined} */
    this.key = key;
  }

  /** The page of the code, as a path that `require.resolve` finds. */
  get docs() {
    return `${PAGES}/${this.code}.md`;
  }
}
Object.defineProperty(BrokerError.prototype, 'name', { value: 'BrokerError', writable: true });

/**
 * @param {string | undefined} operation
 * @param {string | undefined} key
 */
function prefix(operation, key) {
  if (operation === undefined) return '';
  return key === undefined ? `${operation}: ` : `${operation} ${quoteKey(key)}: `;
}

/**
 * A key for a message: quoted, and cut when long.
 * @param {string} key
 */
function quoteKey(key) {
  if (key.length <= KEY_SHOWN_CHARS) return JSON.stringify(key);
  return `${JSON.stringify(key.slice(0, KEY_SHOWN_CHARS)).slice(0, -1)}..."`;
}

/**
 * The type of a value, for a message that must not show the value.
 * @param {unknown} value
 */
function describeType(value) {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  if (typeof value === 'object' || typeof value === 'undefined') return typeof value;
  return `a ${typeof value}`;
}

/**
 * The sentence of the status table for a code.
 * @param {string} code
 * @returns {string}
 */
function sentence(code) {
  return load().statuses.find((status) => status.code === code)?.message ?? code;
}

/**
 * The same error, with the operation and key that failed.
 * @param {unknown} error
 * @param {string} operation
 * @param {string | undefined} key
 * @returns {unknown}
 */
function inContext(error, operation, key) {
  if (!(error instanceof BrokerError) || error.operation !== undefined) return error;
  return new BrokerError(error.code, error.message, { operation, key, cause: error.cause });
}

module.exports = { BrokerError, quoteKey, describeType, inContext, sentence };

/**
 * Encodes values to stored bytes, and decodes them. A value is JSON text or bytes, and either may be
 * compressed. Values that JSON would change silently are refused (json_complete.js, json_loss.js), so that
 * `get` returns what was set.
 *
 * `undefined` is not a value, but a valid result of a getOrSet computation. It is stored as JSON's null after
 * a space, which JSON.stringify never writes.
 */
'use strict';

const { isUint8Array } = require('node:util/types');
const { BrokerError } = require('../error.js');
const { FLAGS } = require('./frame.js');
const { textOf } = require('./json_loss.js');
const { isWhole } = require('./json_complete.js');

/** Limit of the decompressed size of a value that is read. */
const INFLATED_MAX_BYTES = 64 * 1024 * 1024;
const GZIP_TRAILER_BYTES = 4;
/** The fastest level: for JSON it saves nearly as much as the default, in a third of the time. */
const GZIP_LEVEL = 1;
/** A value is compressed only if this saves a tenth or more. */
const WORTHWHILE = 0.9;
/** The stored form of `undefined` (PROTOCOL.md). */
const NOTHING = ' null';
const SPACE = 0x20;

/**
 * @typedef {object} Encoded has either text or bytes
 * @property {string | null} text
 * @property {Uint8Array | null} bytes
 * @property {number} flags
 */

/**
 * @param {unknown} value
 * @returns {Encoded}
 * @throws {BrokerError} invalid_value
 */
function encode(value) {
  if (isUint8Array(value)) return { text: null, bytes: attached(value), flags: FLAGS.binary };
  return { text: jsonOf(value) ?? exactJsonOf(value), bytes: null, flags: 0 };
}

/**
 * Refuses detached bytes, which look empty: their memory was transferred, for example to a worker.
 * @param {Uint8Array} bytes
 */
function attached(bytes) {
  if (bytes.length > 0) return bytes;
  try {
    void new Uint8Array(bytes.buffer);
    return bytes;
  } catch {
    throw new BrokerError('invalid_value', 'The bytes are detached: their memory was transferred.');
  }
}

/**
 * Encodes the result of a computation, which may be undefined.
 * @param {unknown} value
 * @returns {Encoded}
 */
function encodeComputed(value) {
  return value === undefined ? { text: NOTHING, bytes: null, flags: 0 } : encode(value);
}

/**
 * The JSON of a value if JSON.stringify preserves it completely; null: not sure.
 * @param {unknown} value
 * @returns {string | null}
 */
function jsonOf(value) {
  try {
    if (!isWhole(value)) return null;
    const text = JSON.stringify(value);
    // JSON.stringify writes lone surrogates so.
    return text.includes('\\ud') ? null : text;
  } catch {
    return null;
  }
}

/**
 * @param {unknown} value
 * @returns {string}
 */
function exactJsonOf(value) {
  try {
    return textOf(value);
  } catch (error) {
    const lost = /** @type {import('./json_loss').Loss} */ (error);
    const message = `A value is any JSON value, or bytes: ${lost.describe()}.`;
    throw new BrokerError('invalid_value', message, { cause: lost.cause });
  }
}

/**
 * Compresses a value if it is large enough and the compression saves enough.
 * @param {Encoded} encoded
 * @param {number} threshold bytes
 * @returns {Encoded}
 */
function compress(encoded, threshold) {
  const raw = encoded.bytes ?? Buffer.from(/** @type {string} */ (encoded.text));
  if (raw.length < threshold) return encoded;
  const zipped = require('node:zlib').gzipSync(raw, { level: GZIP_LEVEL });
  if (zipped.length > raw.length * WORTHWHILE) return encoded;
  return { text: null, bytes: zipped, flags: encoded.flags | FLAGS.gzip };
}

/**
 * The value in buffer[at, end).
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} end
 * @param {number} flags
 * @param {boolean} [plain] the body is a plain string: see frame.isPlainString
 * @returns {any}
 * @throws {BrokerError} invalid_value
 */
function decode(buffer, at, end, flags, plain = false) {
  if (flags & FLAGS.gzip) {
    const inflated = inflate(buffer.subarray(at, end));
    return decode(inflated, 0, inflated.length, flags & ~FLAGS.gzip);
  }
  if (flags & FLAGS.binary) return Buffer.from(buffer.subarray(at, end));
  // Takes a third of the time of JSON.parse.
  if (plain) return buffer.toString('latin1', at + 1, end - 1);
  if (buffer[at] === SPACE && buffer.toString('latin1', at, end) === NOTHING) return undefined;
  try {
    return JSON.parse(buffer.toString('utf8', at, end));
  } catch {
    throw new BrokerError('invalid_value', 'What is stored is not JSON: another client wrote it.');
  }
}

/**
 * Decompresses at most the size in the last four bytes (RFC 1952).
 * @param {Buffer} zipped
 * @returns {Buffer}
 */
function inflate(zipped) {
  const sizeAt = zipped.length - GZIP_TRAILER_BYTES;
  const size = sizeAt < 0 ? 0 : zipped.readUInt32LE(sizeAt);
  const maxOutputLength = Math.max(1, Math.min(size, INFLATED_MAX_BYTES));
  try {
    return require('node:zlib').gunzipSync(zipped, { maxOutputLength });
  } catch {
    throw new BrokerError('invalid_value', 'What is stored cannot be decompressed.');
  }
}

/**
 * The value that `get` returns for an encoded value.
 * @param {Encoded} encoded
 */
function decodeEncoded({ text, bytes, flags }) {
  const stored = bytes ?? Buffer.from(/** @type {string} */ (text));
  return decode(Buffer.from(stored), 0, stored.length, flags);
}

module.exports = {
  INFLATED_MAX_BYTES,
  compress,
  decode,
  decodeEncoded,
  encode,
  encodeComputed,
  jsonOf,
};

'use strict';
/**
 * Values to the bytes that are stored, and back. A value is JSON text, or bytes; either may be
 * compressed. What JSON would lose without a word (undefined, NaN, a Map, half a surrogate pair) is
 * refused, so that what was set is what `get` gives.
 */

const { isAnyArrayBuffer, isMap, isPromise, isSet, isUint8Array } = require('node:util/types');
const { BrokerError } = require('./error');
const { FLAGS } = require('./frame');

/** What is read may not inflate beyond this, whoever wrote it. */
const INFLATED_MAX_BYTES = 64 * 1024 * 1024;
const GZIP_TRAILER_BYTES = 4;
/** The fastest level: on JSON it saves nearly as much as the default, in a third of the time. */
const GZIP_LEVEL = 1;
/** Compressed only when a tenth or more is saved. */
const WORTHWHILE = 0.9;

/**
 * @typedef {object} Encoded either text or bytes is there
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
  if (typeof value === 'object' && value !== null) {
    if (isUint8Array(value)) return { text: null, bytes: value, flags: FLAGS.binary };
    refuseLossy(value);
  } else if (typeof value === 'number' && !Number.isFinite(value)) {
    throw invalid(`JSON has no ${value}`);
  }
  const text = stringify(value);
  if (text.includes('\\ud') && hasLoneSurrogate(text)) {
    throw invalid('a string in it has half a surrogate pair, which is no character');
  }
  return { text, bytes: null, flags: 0 };
}

/**
 * Objects that JSON turns into `{}` or the like, where the caller surely meant their content.
 * @param {object} value
 */
function refuseLossy(value) {
  if (isPromise(value)) throw invalid('this is a promise: await it first');
  if (ArrayBuffer.isView(value) || isAnyArrayBuffer(value)) {
    throw invalid('of binary data, pass a Buffer or Uint8Array');
  }
  if ((isMap(value) || isSet(value)) && !('toJSON' in value)) {
    throw invalid('JSON has no Map or Set: pass an array of the entries');
  }
}

/**
 * @param {unknown} value
 * @returns {string}
 */
function stringify(value) {
  let text;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw invalid('it is circular, holds a BigInt, or its toJSON failed', cause);
  }
  if (text !== undefined) return text;
  throw invalid(typeof value === 'object' ? 'its toJSON gives undefined' : `not ${typeof value}`);
}

/**
 * JSON.stringify writes halves of surrogate pairs, and nothing else in that range, as \udxxx. A
 * pair of such escapes (from a toJSON that made raw JSON) is a character like any other.
 * @param {string} json
 */
function hasLoneSurrogate(json) {
  for (let at = json.indexOf('\\'); at >= 0; at = json.indexOf('\\', at)) {
    const unit = json[at + 1] === 'u' ? parseInt(json.slice(at + 2, at + 6), 16) : 0;
    if (unit >= 0xdc00 && unit <= 0xdfff) return true;
    if (unit >= 0xd800 && unit <= 0xdbff) {
      if (!/^\\ud[c-f]/i.test(json.slice(at + 6, at + 10))) return true;
      at += 6;
    }
    at += json[at + 1] === 'u' ? 6 : 2;
  }
  return false;
}

/**
 * @param {string} reason
 * @param {unknown} [cause]
 */
function invalid(reason, cause) {
  const message = `A value is any JSON value, or bytes: ${reason}.`;
  return new BrokerError('invalid_value', message, { cause });
}

/**
 * Compresses what is worth it.
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
 * @param {boolean} [plain] what is there is a plain string: see lib/frame.js
 * @returns {any}
 * @throws {BrokerError} invalid_value
 */
function decode(buffer, at, end, flags, plain = false) {
  if (flags & FLAGS.gzip) {
    const inflated = inflate(buffer.subarray(at, end));
    return decode(inflated, 0, inflated.length, flags & ~FLAGS.gzip);
  }
  if (flags & FLAGS.binary) return Buffer.from(buffer.subarray(at, end));
  // A third of the time of JSON.parse.
  if (plain) return buffer.toString('latin1', at + 1, end - 1);
  try {
    return JSON.parse(buffer.toString('utf8', at, end));
  } catch {
    throw new BrokerError('invalid_value', 'What is stored is not JSON: another client wrote it.');
  }
}

/**
 * The size is in the last four bytes (RFC 1952); more than it says does not come out.
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

module.exports = { INFLATED_MAX_BYTES, compress, decode, encode };

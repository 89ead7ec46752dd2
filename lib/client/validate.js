/** Checks of arguments: each function returns the checked argument, or throws a BrokerError. */
'use strict';

const { DURATION_HELP, FOREVER_MS, milliseconds } = require('../duration.js');
const { BrokerError, describeType, sentence } = require('../error.js');
const { KEY_MAX_BYTES } = require('./frame.js');

const WORKER_MAX_BYTES = 256;

/** With the u flag, a regular expression matches a surrogate only if its other half is missing. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;

/**
 * @param {string} code
 * @param {string} [message]
 */
function refusal(code, message) {
  return new BrokerError(code, message ?? sentence(code));
}

/**
 * Describes an argument for a message. Strings are not shown, since the caller may have passed a value in the
 * place of a duration.
 * @param {unknown} value
 */
function shown(value) {
  if (typeof value === 'string') return 'this string';
  return typeof value === 'number' ? String(value) : describeType(value);
}

/**
 * @param {unknown} text
 * @param {string} what
 * @returns {string}
 */
function checkedText(text, what) {
  if (typeof text !== 'string') {
    throw refusal('invalid_key', `${what} is a string, not ${describeType(text)}.`);
  }
  if (text.length > KEY_MAX_BYTES || LONE_SURROGATE.test(text)) throw refusal('invalid_key');
  return text;
}

/**
 * @param {unknown} ttl
 * @returns {number} milliseconds; FOREVER_MS: until the broker ends
 */
function checkedTtl(ttl) {
  const ms = milliseconds(ttl);
  // Like the broker: a longer TTL is endless, too.
  if (typeof ms === 'number' && ms > FOREVER_MS) return FOREVER_MS;
  const wholeMs = typeof ms === 'number' && ms > 0 ? Math.ceil(ms) : NaN;
  if (Number.isSafeInteger(wholeMs)) return wholeMs;
  const help = `A TTL is ${DURATION_HELP}, greater than 0, or Infinity (as long as the broker)`;
  throw refusal('invalid_ttl', `${help}, not ${shown(ttl)}.`);
}

/**
 * @param {string} name
 * @param {unknown} duration
 * @param {number} least
 * @returns {number} milliseconds
 */
function checkedMs(name, duration, least) {
  const ms = milliseconds(duration);
  if (Number.isSafeInteger(ms) && /** @type {number} */ (ms) >= least) {
    return /** @type {number} */ (ms);
  }
  const message = `${name} takes ${DURATION_HELP}, of at least ${least}, not ${shown(duration)}.`;
  throw refusal('invalid_request', message);
}

/**
 * @param {string} name
 * @param {unknown} number
 * @param {number} least
 * @param {number} [most]
 * @returns {number}
 */
function checkedNumber(name, number, least, most = Infinity) {
  const whole = Number.isSafeInteger(number) ? /** @type {number} */ (number) : NaN;
  if (whole >= least && whole <= most) return whole;
  let bound = Number.isFinite(least) ? ` of at least ${least}` : '';
  if (whole > most) bound = ` of at most ${most}`;
  throw refusal('invalid_request', `${name} takes a whole number${bound}, not ${shown(number)}.`);
}

/**
 * A time to wait; Infinity is allowed and means no limit.
 * @param {string} name
 * @param {unknown} duration
 * @returns {number} milliseconds
 */
function checkedWait(name, duration) {
  const ms = milliseconds(duration);
  const wholeMs = typeof ms === 'number' && ms >= 0 ? Math.ceil(ms) : NaN;
  if (wholeMs === Infinity || Number.isSafeInteger(wholeMs)) return wholeMs;
  const message = `${name} takes ${DURATION_HELP}, of at least 0, or Infinity, not ${shown(duration)}.`;
  throw refusal('invalid_request', message);
}

/**
 * @param {unknown} workerId
 * @returns {string}
 */
function checkedWorker(workerId) {
  const isId =
    typeof workerId === 'string' &&
    workerId !== '' &&
    workerId.length <= WORKER_MAX_BYTES &&
    Buffer.byteLength(workerId) <= WORKER_MAX_BYTES &&
    !LONE_SURROGATE.test(workerId);
  if (isId) return workerId;
  const got = typeof workerId === 'string' ? 'this one' : describeType(workerId);
  const message = `A worker id is a string of 1 to ${WORKER_MAX_BYTES} bytes of UTF-8, not ${got}.`;
  throw refusal('invalid_request', message);
}

/**
 * @param {unknown} signal
 * @returns {AbortSignal}
 */
function checkedSignal(signal) {
  const like = /** @type {any} */ (signal);
  // Not instanceof: test frameworks use a separate AbortSignal class in each context.
  if (typeof like?.aborted === 'boolean' && typeof like.addEventListener === 'function')
    return like;
  throw refusal('invalid_request', `signal takes an AbortSignal, not ${describeType(signal)}.`);
}

/**
 * @param {unknown} fn
 * @param {string} what
 * @returns {(...args: any[]) => any}
 */
function checkedFunction(fn, what) {
  if (typeof fn === 'function') return /** @type {any} */ (fn);
  throw refusal('invalid_request', `${what} is a function, not ${describeType(fn)}.`);
}

/**
 * Merges the TTL into the options: `set(key, value, ttl, options)` and `set(key, value, { ttl, ... })` are
 * equivalent.
 * @param {unknown} ttl
 * @param {unknown} options
 * @returns {any}
 */
function mergedOptions(ttl, options) {
  if (typeof ttl === 'object' && ttl !== null) {
    if (options === undefined) return ttl;
    throw refusal('invalid_request', 'Give the options as one argument, not as two.');
  }
  if (options === undefined) return { ttl };
  if (typeof options !== 'object' || options === null) return options;
  return ttl === undefined || ttl === null ? options : { ...options, ttl };
}

/**
 * @param {unknown} pipe
 * @returns {string}
 */
function checkedPipe(pipe) {
  if (typeof pipe === 'string' && pipe.includes('\0')) {
    throw refusal('invalid_request', "A pipe's path holds no NUL.");
  }
  if (typeof pipe === 'string' && pipe !== '') return pipe;
  if (pipe !== undefined && pipe !== null && pipe !== '') {
    const message = `A PipeClient takes the path of a pipe, then its options; not ${describeType(pipe)}.`;
    throw refusal('invalid_request', message);
  }
  const message =
    'No pipe: none was given, and EPHEMERAL_PIPE is not set. Start your command with ' +
    '`ephemeral-pipe-broker start -- <command>`, which sets it.';
  throw refusal('broker_gone', message);
}

module.exports = {
  checkedFunction,
  checkedMs,
  checkedNumber,
  checkedPipe,
  checkedSignal,
  checkedText,
  checkedTtl,
  checkedWait,
  checkedWorker,
  mergedOptions,
  refusal,
};

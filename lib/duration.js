/**
 * Durations: milliseconds, or text with a unit ('250ms', '60s', '1.5h'). A text without a unit is refused: it
 * may come from an environment variable or a form, and could mean seconds.
 */
'use strict';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** @type {Readonly<Record<string, number>>} */
const UNITS_MS = Object.freeze({ ms: 1, s: SECOND, m: MINUTE, h: HOUR, d: 24 * HOUR });
const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;

/** "No limit" as the TTL or WAIT of a frame: the largest safe integer. */
const FOREVER_MS = Number.MAX_SAFE_INTEGER;

/** The accepted forms of a duration, for messages. */
const DURATION_HELP =
  "milliseconds, or text with a unit in lower case (ms, s, m, h, d) such as '250ms', '60s' or '5m'";

/**
 * Converts the text of a duration to milliseconds; other types are returned unchanged. NaN: an invalid text.
 * @param {unknown} duration
 * @returns {unknown}
 */
function milliseconds(duration) {
  if (typeof duration !== 'string') return duration;
  const match = DURATION.exec(duration);
  if (match === null) return NaN;
  const ms = Number(match[1]) * UNITS_MS[match[2]];
  // Rounded to a microsecond, otherwise 1.1 * 3,600,000 would not be a whole number.
  return Number.isInteger(ms) ? ms : Math.round(ms * 1e3) / 1e3;
}

/**
 * The time of a reply; FOREVER_MS becomes Infinity.
 * @param {number} ms
 */
function endless(ms) {
  return ms === FOREVER_MS ? Infinity : ms;
}

/**
 * A readable time: `40 ms`, `1.5 s`, `60 s`, `5 min`, `2 h`.
 * @param {number} ms
 */
function describeMs(ms) {
  const [unit, name] =
    ms < SECOND
      ? [1, 'ms']
      : ms < 2 * MINUTE
        ? [SECOND, 's']
        : ms < 2 * HOUR
          ? [MINUTE, 'min']
          : [HOUR, 'h'];
  return `${Math.round((ms * 10) / unit) / 10} ${name}`;
}

/** A numeric TTL below this was probably meant in seconds. */
const SHORT_TTL_MS = 1000;
let warned = false;

/**
 * Warns once when a TTL was probably meant in seconds: `set(key, value, 60)`.
 * @param {string} operation
 * @param {unknown} ttl as passed by the caller
 */
function warnOfShortTtl(operation, ttl) {
  if (warned || typeof ttl !== 'number' || !(ttl > 0 && ttl < SHORT_TTL_MS)) return;
  warned = true;
  const message =
    `${operation} with a TTL of ${ttl}: a number is milliseconds, so this is gone after ${ttl} ms. ` +
    `Say '${ttl}s' for seconds, or '${ttl}ms' if it is meant so.`;
  process.emitWarning(message, { code: 'EPB_SHORT_TTL' });
}

module.exports = {
  DURATION_HELP,
  FOREVER_MS,
  SHORT_TTL_MS,
  UNITS_MS,
  describeMs,
  endless,
  milliseconds,
  warnOfShortTtl,
};

/**
 * Stacks of errors: the stack of a rejected call begins with the function that made the call, without our
 * own frames above it.
 *
 * A rejection is created long after its call, when the caller is no longer on the stack. There are two ways
 * to find it:
 *
 * - `callSite` captures the stack during the call. This takes microseconds, so it is limited to one call per
 *   two milliseconds, with bursts of 200: all calls of an ordinary test, nearly none of a busy loop.
 * - For other calls, the error is created in a reaction of a promise that the caller's promise waits for.
 *   There V8 finds the async functions that await it. This costs nothing for a call that succeeds.
 */
'use strict';

const path = require('node:path');

const SITE_INTERVAL_MS = 2;
const SITE_BURST_MS = 400;
const SITE_FRAMES = 16;
/** Most of our own frames, async ones included, between an error and its caller. */
const OWN_FRAMES = 12;
const FRAMES = 10;

/** False in a bundle, where other code shares our file: then no frame counts as ours. */
const isOwnFile = path.basename(__filename) === 'call_site.js';
const OWN_FOLDER = __dirname + path.sep;
const FRAME = /^\s+at /;
/** Matches frames of Node and V8. */
const INTERNAL = /^\s+at (?:async Promise\.|(?:.*\()?(?:node:internal\/|<anonymous>\)?$))/;

const settled = (async () => {})();
const nothing = () => {};

/** The rate limit of callSite: the time until which captured calls have used their share. */
let usedUntil = -Infinity;

/**
 * Sets Error.stackTraceLimit, unless stacks are off or the property is frozen (frozen intrinsics).
 * @param {number} frames
 * @returns {number} the previous limit
 */
function setFrameLimit(frames) {
  const before = Error.stackTraceLimit;
  if (before > 0) Reflect.set(Error, 'stackTraceLimit', frames);
  return before;
}

/** @returns {number} how many frames the program wants to see */
function wantedFrames() {
  const limit = Error.stackTraceLimit;
  return typeof limit === 'number' && limit >= 0 ? limit : FRAMES;
}

/**
 * @param {string} stack
 * @returns {string[]} its frames from the caller on, without ours and Node's above it
 */
function callerFrames(stack) {
  const frames = stack.split('\n').filter((line) => FRAME.test(line));
  const others = isOwnFile ? frames.filter((line) => !line.includes(OWN_FOLDER)) : frames;
  const first = others.findIndex((line) => !INTERNAL.test(line));
  return first < 0 ? [] : others.slice(first, first + wantedFrames());
}

/**
 * @param {Error} error
 * @param {string[]} frames if empty, the stack stays as it is
 */
function setFrames(error, frames) {
  if (frames.length === 0) return;
  error.stack = `${error.name}: ${error.message}\n${frames.join('\n')}`;
}

/** How many frames to capture, so that enough are left without ours. */
function withOurs() {
  return wantedFrames() + OWN_FRAMES;
}

/** @param {Error} error captured with withOurs(); its stack then begins with our caller */
function hideOurs(error) {
  if (typeof error.stack === 'string') setFrames(error, callerFrames(error.stack));
}

/** @typedef {{ stack?: unknown }} Site */

/**
 * The current stack, or null if the rate limit is reached.
 * @param {number} now
 * @returns {Site | null}
 */
function callSite(now) {
  if (usedUntil - now > SITE_BURST_MS) return null;
  usedUntil = Math.max(usedUntil, now) + SITE_INTERVAL_MS;
  /** @type {Site} */
  const site = {};
  const before = setFrameLimit(SITE_FRAMES);
  Error.captureStackTrace(site, callSite);
  setFrameLimit(before);
  return site;
}

/**
 * @template E
 * @param {E} error
 * @param {Site} site of the call that the error rejects
 * @returns {E}
 */
function atSite(error, site) {
  const isOurs = error instanceof Error && typeof site.stack === 'string';
  if (isOurs) setFrames(error, callerFrames(/** @type {string} */ (site.stack)));
  return error;
}

/**
 * A promise that rejects with the result of `make` two microtasks later. By then the caller's promise, once
 * resolved with it, waits for it, so V8 finds the caller.
 * @param {() => unknown} make
 * @returns {Promise<never>}
 */
function rejectedForWaiter(make) {
  return settled.then(nothing).then(() => {
    throw make();
  });
}

module.exports = { atSite, callSite, hideOurs, rejectedForWaiter, setFrameLimit, withOurs };

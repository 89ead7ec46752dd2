/**
 * Whose call an error ends: its stack names the function that made the call, and none of ours above.
 *
 * A rejection is made long after its call, when nothing of the caller is on the stack. There are two
 * ways back:
 *
 * - `callSite` looks at the stack while the call is made. That takes microseconds, so no more than one
 *   call in two milliseconds is looked at, and a burst of 200: all calls of an ordinary test, and next
 *   to none of a busy loop.
 * - For other calls the error is made in a reaction of a promise that the caller's own one waits
 *   for: there the engine finds the async functions that await it. This costs a call that
 *   succeeds nothing.
 */
'use strict';

const path = require('node:path');

const SITE_INTERVAL_MS = 2;
const SITE_BURST_MS = 400;
const SITE_FRAMES = 16;
/** As many of ours there may be between an error and its caller, async ones included. */
const OWN_FRAMES = 12;
const FRAMES = 10;

/** Of a bundle, where our code is in a file with others', no frame is taken for ours. */
const isOwnFile = path.basename(__filename) === 'call_site.js';
const OWN_FOLDER = __dirname + path.sep;
const FRAME = /^\s+at /;
/** Of Node or the engine. */
const INTERNAL = /^\s+at (?:async Promise\.|(?:.*\()?(?:node:internal\/|<anonymous>\)?$))/;

const settled = (async () => {})();
const nothing = () => {};

/** Until when the calls that were looked at have used up their time. */
let usedUntil = -Infinity;

/**
 * Unless no stack is wanted, or it can't be changed (frozen intrinsics).
 * @param {number} frames of a stack from now on
 * @returns {number} before
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
 * @returns {string[]} its frames, less ours and Node's above the caller
 */
function callerFrames(stack) {
  const frames = stack.split('\n').filter((line) => FRAME.test(line));
  const others = isOwnFile ? frames.filter((line) => !line.includes(OWN_FOLDER)) : frames;
  const first = others.findIndex((line) => !INTERNAL.test(line));
  return first < 0 ? [] : others.slice(first, first + wantedFrames());
}

/**
 * @param {Error} error
 * @param {string[]} frames none: its stack stays as it is
 */
function setFrames(error, frames) {
  if (frames.length === 0) return;
  error.stack = `${error.name}: ${error.message}\n${frames.join('\n')}`;
}

/** How many frames an error is to have, so that enough are left without ours. */
function withOurs() {
  return wantedFrames() + OWN_FRAMES;
}

/** @param {Error} error made with those: its stack begins with our caller */
function hideOurs(error) {
  if (typeof error.stack === 'string') setFrames(error, callerFrames(error.stack));
}

/** @typedef {{ stack?: unknown }} Site */

/**
 * The stack of this moment, if there is time for that.
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
 * @param {Site} site where the call was made that it ends
 * @returns {E}
 */
function atSite(error, site) {
  const isOurs = error instanceof Error && typeof site.stack === 'string';
  if (isOurs) setFrames(error, callerFrames(/** @type {string} */ (site.stack)));
  return error;
}

/**
 * A promise that rejects with what `make` makes, soon: a caller whose promise is resolved with it now waits
 * for it by then, and is found.
 * @param {() => unknown} make
 * @returns {Promise<never>}
 */
function rejectedForWaiter(make) {
  return settled.then(nothing).then(() => {
    throw make();
  });
}

module.exports = { atSite, callSite, hideOurs, rejectedForWaiter, setFrameLimit, withOurs };

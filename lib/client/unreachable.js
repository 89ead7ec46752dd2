/**
 * Forces garbage collection to find unreachable connections. If no code can use a copy of this module any
 * more, collecting it closes its connection, and the broker releases its leases.
 *
 * A process may be kept alive only by waiting calls that no code can await any more: for example, a test gave
 * up and its file is over. Garbage collection closes such connections with their realm, and the process can
 * exit. In an ordinary program it changes nothing. connection.js uses it, too, if another copy in the same
 * thread holds a key.
 */
'use strict';

const { load, now } = require('../binding.js');

/** Least time between two collections. */
const PAUSE_MS = 500;

/** Handles of the standard streams, which do not count as activity. */
const STREAMS = new Set(['PipeWrap', 'TTYWrap', 'FileHandle']);

/**
 * Functions that only newer supported versions of Node have.
 * @typedef {object} Newer
 * @property {() => string[]} [getActiveResourcesInfo]
 * @property {(name: string) => any} [getBuiltinModule]
 */
const newer = /** @type {Newer} */ (process);

/** Whether the event loop waits for nothing except native code of addons. */
function isOnlyWaiting() {
  if (newer.getActiveResourcesInfo === undefined || process.connected) return false;
  return newer.getActiveResourcesInfo().every((name) => STREAMS.has(name));
}

/**
 * Loads a built-in module, if possible without `require`: a test runner's own fails when its test file is
 * over.
 * @param {string} name
 * @returns {any}
 */
function builtin(name) {
  return newer.getBuiltinModule?.(name) ?? require(name);
}

/** When collectGarbage last ran a collection. */
let collectedAt = -Infinity;

/**
 * The function `gc`: from a new realm if Node runs with --expose-gc, else by setting the flag for a moment.
 * @returns {() => void}
 */
function collector() {
  const vm = builtin('node:vm');
  const given = vm.runInNewContext('globalThis.gc');
  if (given !== undefined) return given;
  const v8 = builtin('node:v8');
  v8.setFlagsFromString('--expose-gc');
  try {
    return vm.runInNewContext('gc');
  } finally {
    v8.setFlagsFromString('--no-expose-gc');
  }
}

/**
 * Schedules a garbage collection from the event loop, if this Node allows it, at most once per PAUSE_MS.
 * @param {() => void} [onOver] called after the collection, or at once if there will be none. Objects that it
 *   references are not collected
 */
function collectGarbage(onOver) {
  let isSoon = false;
  if (now() - collectedAt >= PAUSE_MS) {
    collectedAt = now();
    try {
      const collect = collector();
      isSoon = load().collect(onOver === undefined ? collect : () => (collect(), onOver()));
    } catch {
      // Then V8 finds unreachable connections whenever it next collects garbage.
    }
  }
  if (!isSoon) onOver?.();
}

module.exports = { collectGarbage, isOnlyWaiting };

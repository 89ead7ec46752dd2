/**
 * When garbage is collected for what it may be holding: connections of copies of this module that
 * no code can use any more are closed by that, and what they took at the broker is given back.
 *
 * A process that lives for nothing but calls which wait may wait for nothing: a test gave up, its
 * file is over, and what it waits for can't be awaited any more. A collection of garbage tells: it
 * ends such connections with the realm they belong to, and the process can end. In an ordinary program
 * it changes nothing. See connection.js for what is held by another copy in the same thread.
 */
'use strict';

const { load, now } = require('../binding.js');

/** From one collection to the next. */
const PAUSE_MS = 500;

/** Handles of the standard streams, which say nothing about whether something goes on. */
const STREAMS = new Set(['PipeWrap', 'TTYWrap', 'FileHandle']);

/**
 * What not every version of Node that this runs on has.
 * @typedef {object} Newer
 * @property {() => string[]} [getActiveResourcesInfo]
 * @property {(name: string) => any} [getBuiltinModule]
 */
const newer = /** @type {Newer} */ (process);

/** Whether the event loop has nothing to wait for, except what native code of addons does. */
function isOnlyWaiting() {
  if (newer.getActiveResourcesInfo === undefined || process.connected) return false;
  return newer.getActiveResourcesInfo().every((name) => STREAMS.has(name));
}

/**
 * Not by `require` where there is another way: that of a test runner fails when its test file is over.
 * @param {string} name
 * @returns {any}
 */
function builtin(name) {
  return newer.getBuiltinModule?.(name) ?? require(name);
}

/** When garbage was collected last, by this. */
let collectedAt = -Infinity;

/**
 * What a new realm has where Node was told to give it; the flag is as before afterwards.
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
 * Has garbage collected soon, from the event loop, if this Node can be told to; not all the time.
 * @param {() => void} [onOver] called when that is over, or when there is nothing to wait for; it keeps
 *   what it refers to from being collected
 */
function collectGarbage(onOver) {
  let isSoon = false;
  if (now() - collectedAt >= PAUSE_MS) {
    collectedAt = now();
    try {
      const collect = collector();
      isSoon = load().collect(onOver === undefined ? collect : () => (collect(), onOver()));
    } catch {
      // Then what waits for nothing is found when there is garbage enough.
    }
  }
  if (!isSoon) onOver?.();
}

module.exports = { collectGarbage, isOnlyWaiting };

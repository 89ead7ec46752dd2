/**
 * Forces garbage collection to find unreachable connections. If no code can use a copy of this module any
 * more, collecting it closes its connection, and the broker releases its leases.
 *
 * A process may be kept alive only by waiting calls that no code can await any more: for example, a test gave
 * up and its file is over. Garbage collection closes such connections with their realm, and the process can
 * exit. In an ordinary program it changes nothing. siblings.js uses it, too, if another copy in the same thread
 * holds a key.
 */
'use strict';

const binding = require('../binding.js');

/** Least time between two collections. */
const PAUSE_MS = 500;

/** How often a waiting connection checks whether only its waits keep the process alive. */
const IDLE_CHECK_MS = 1000;
/** After this many such checks in a row, garbage is collected. The number doubles each time. */
const IDLE_CHECKS = 2;

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

/** When collectGarbage last asked for a collection. */
let collectedAt = -Infinity;
/** The functions to call after the collection that is pending; null: none is. @type {(() => void)[] | null} */
let onOvers = null;

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

/** Runs from the event loop. @param {() => void} collect */
function collectNow(collect) {
  const called = onOvers ?? [];
  onOvers = null;
  try {
    collect();
  } finally {
    for (const onOver of called) onOver();
  }
}

/** @returns {boolean} whether a collection is pending now */
function schedule() {
  if (onOvers !== null) return true;
  if (binding.now() - collectedAt < PAUSE_MS) return false;
  collectedAt = binding.now();
  try {
    const collect = collector();
    if (!binding.load().collect(() => collectNow(collect))) return false;
    onOvers = [];
    return true;
  } catch {
    // Then V8 finds unreachable connections whenever it next collects garbage.
    return false;
  }
}

/**
 * Schedules a garbage collection from the event loop, if this Node allows it, at most once per PAUSE_MS. If one
 * is pending, it serves this call, too.
 * @param {() => void} [onOver] called after the collection, or at once if there will be none. Objects that it
 *   references are not collected
 */
function collectGarbage(onOver) {
  if (!schedule()) onOver?.();
  else if (onOver !== undefined) onOvers?.push(onOver);
}

/** Collects garbage when only waiting calls of a connection keep the process alive. */
class IdleCheck {
  dueAt = Infinity;
  #timers;
  #isHeld;
  #checks = 0;
  #checksMax = IDLE_CHECKS;

  /**
   * @param {import('./timers').Timers} timers
   * @param {() => boolean} isHeld whether the connection keeps the process alive
   */
  constructor(timers, isHeld) {
    this.#timers = timers;
    this.#isHeld = isHeld;
  }

  /** A call waits. @param {number} now */
  watch(now) {
    if (this.dueAt !== Infinity) return;
    this.dueAt = now + IDLE_CHECK_MS;
    this.#checks = 0;
    this.#checksMax = IDLE_CHECKS;
    this.#timers.update(now);
  }

  /** @param {number} now */
  due(now) {
    const isHeld = this.#isHeld();
    this.dueAt = isHeld ? now + IDLE_CHECK_MS : Infinity;
    this.#checks = isHeld && isOnlyWaiting() ? this.#checks + 1 : 0;
    if (this.#checks < this.#checksMax) return;
    this.#checks = 0;
    this.#checksMax *= 2;
    collectGarbage();
  }

  clear() {
    this.dueAt = Infinity;
  }
}

module.exports = { IdleCheck, collectGarbage };

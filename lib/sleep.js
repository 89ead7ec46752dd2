/** Blocks the thread for a time, without a busy loop. */
'use strict';

/** @type {Int32Array | null} never notified */
let cell = null;

/** @param {number} ms 0 or less: returns at once */
function sleepSync(ms) {
  cell ??= new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(cell, 0, 0, Math.max(0, ms));
}

module.exports = { sleepSync };

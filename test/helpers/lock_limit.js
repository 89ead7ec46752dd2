/**
 * How much memory this process, and those that it starts, may lock (Linux). Tests of locking itself need
 * some; where that is not to be had by nature, those of the refusal run alone.
 */
'use strict';

const fs = require('node:fs');

const CAP_IPC_LOCK = 14n;

/** Whether the limit is none for this process. */
function mayLockAnything() {
  const [, digits] = /^CapEff:\s*(\w+)$/m.exec(fs.readFileSync('/proc/self/status', 'latin1'));
  return ((BigInt(`0x${digits}`) >> CAP_IPC_LOCK) & 1n) === 1n;
}

/** The hard limit, in KiB: a process that starts with less may have so much, and no more. */
function hardLimitKib() {
  if (process.platform !== 'linux') return Infinity;
  const limits = fs.readFileSync('/proc/self/limits', 'latin1');
  const [, hard] = /^Max locked memory +\S+ +(\S+)/m.exec(limits);
  return hard === 'unlimited' ? Infinity : Math.floor(Number(hard) / 1024);
}

/** In KiB. */
const lockable = () => (mayLockAnything() ? Infinity : hardLimitKib());

/**
 * For the `skip` of a test that locks so much.
 * @param {number} kib
 */
const without = (kib) =>
  process.platform !== 'linux'
    ? 'reads /proc'
    : lockable() < kib && `only ${lockable()} KiB may be locked here, not ${kib}`;

module.exports = { hardLimitKib, without };

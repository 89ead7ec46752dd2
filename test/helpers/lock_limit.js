/**
 * The amount of memory that this process and its children may lock (Linux). Tests of locking need some;
 * on machines with a lower limit only the tests of the refusal run.
 */
'use strict';

const fs = require('node:fs');

const CAP_IPC_LOCK = 14n;

/** Whether the limit does not apply to this process. */
function mayLockAnything() {
  const [, digits] = /^CapEff:\s*(\w+)$/m.exec(fs.readFileSync('/proc/self/status', 'latin1'));
  return ((BigInt(`0x${digits}`) >> CAP_IPC_LOCK) & 1n) === 1n;
}

/** The hard limit, in KiB: a process may raise its soft limit up to this amount. */
function hardLimitKib() {
  if (process.platform !== 'linux') return Infinity;
  const limits = fs.readFileSync('/proc/self/limits', 'latin1');
  const [, hard] = /^Max locked memory +\S+ +(\S+)/m.exec(limits);
  return hard === 'unlimited' ? Infinity : Math.floor(Number(hard) / 1024);
}

/** The lockable memory in KiB. */
const lockable = () => (mayLockAnything() ? Infinity : hardLimitKib());

/**
 * For the `skip` of a test that locks this amount.
 * @param {number} kib
 */
const without = (kib) =>
  process.platform !== 'linux'
    ? 'reads /proc'
    : lockable() < kib && `only ${lockable()} KiB may be locked here, not ${kib}`;

module.exports = { hardLimitKib, without };

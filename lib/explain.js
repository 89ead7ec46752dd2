'use strict';
/**
 * What to tell a person who was refused: per operation and code, naming the worker and what to do.
 * Where nothing is said here, the sentence of the status table is.
 */

const { sentence } = require('./error');

/** @typedef {import('./call').Call} Call */

/** @param {Call} call */
const worker = (call) => `worker ${JSON.stringify(call.workerId)}`;
/** @param {Call} call */
const waited = (call) => `${call.patience?.waitMs ?? 0} ms`;

/** @param {Call} call */
const notFree = (call) =>
  `Nothing of it is free for ${worker(call)}. Wait in the queue with waitMs; leases() tells who ` +
  'holds it.';
/** @param {Call} call */
const noneInTime = (call) =>
  `Nothing of it became free for ${worker(call)} within ${waited(call)}; leases() tells who holds ` +
  'it and who waits.';
const otherKind =
  'The key is in use as something else: release and del() that, or take another key.';
const notForValues =
  'The key is a pool, a semaphore, or numbers that are held: del() it when nobody holds any of it, ' +
  'or take another key.';
const elements = 'A pool takes at least one element, and all of them different.';
const valueGone = 'Its value expired or was deleted while this request waited for it.';

/** @param {Call} call */
const oneLease = (call) =>
  `The broker allows a worker one lease at a time (singleLease), and ${worker(call)} has one of ` +
  'another key: release that first.';

/** Of every operation that leases something. */
const LEASING = {
  lease_held: notFree,
  wait_timeout: noneInTime,
  kind_mismatch: otherKind,
  not_found: valueGone,
  worker_already_has_lease: oneLease,
};

/** @type {Record<string, Record<string, string | ((call: Call) => string)>>} */
const MESSAGES = {
  lease: LEASING,
  leaseSync: LEASING,
  acquire: LEASING,
  acquireAll: LEASING,
  acquireLock: LEASING,
  withLease: LEASING,
  lock: LEASING,
  release: {
    lease_held: (call) =>
      `Another connection holds it for ${worker(call)}: only that one may release it, or ` +
      '{ force: true }.',
  },
  renew: {
    lease_lost: 'It had ended already, and does not come back: ask for a new one.',
  },
  set: {
    kind_mismatch: notForValues,
    fenced: 'The lease of this fencing token has ended: the write is refused.',
  },
  incr: { kind_mismatch: notForValues },
  del: { lease_held: 'Something of it is held or waited for: that has to end first.' },
  pool: { kind_mismatch: otherKind, invalid_value: elements },
  poolAdd: {
    kind_mismatch: otherKind,
    invalid_value: elements,
    conflict: 'The pool has one of these elements already; nothing was added.',
  },
  limit: { kind_mismatch: otherKind },
  discard: { not_found: 'There is no such pool or element, or it was discarded before.' },
  getOrSet: {
    kind_mismatch: notForValues,
    lease_held: 'Another worker computes it. Wait for its value with waitMs.',
    wait_timeout: (call) => `No worker had computed it within ${waited(call)}.`,
    compute_failed:
      'The worker that computed it failed; `cause` says why. Asking again computes anew.',
  },
  waitFor: { wait_timeout: (call) => `It had no value within ${waited(call)}.` },
  barrier: {
    wait_timeout: (call) => `Not everybody had arrived within ${waited(call)}.`,
    kind_mismatch: 'Others wait there for a different number of arrivals.',
  },
};

/**
 * @param {Call} call
 * @param {string} code
 * @returns {string}
 */
function explain(call, code) {
  const message = MESSAGES[call.operation]?.[code];
  if (typeof message === 'function') return message(call);
  return message ?? sentence(code);
}

module.exports = { explain };

/**
 * Error messages per operation and code: they name the worker and suggest what to do. All other errors use
 * the sentence of the status table.
 */
'use strict';

const { describeMs } = require('../duration.js');
const { quoteKey, sentence } = require('../error.js');
const { circle, heldBy, heldFor, placeOf } = require('./holders.js');

/**
 * @typedef {import('./pending_call').PendingCall} PendingCall
 * @typedef {import('./list_codec').NearKey} NearKey
 *
 * @typedef {object} Refusal the details of a reply in addition to its status
 * @property {NearKey[]} near not_found: similar keys, the most similar first
 * @property {number} size conflict: how many elements the key has, if fewer than requested
 * @property {boolean} hadValue not_found: the key had a value when the request began to wait
 * @property {import('./list_codec').Obstacle | null} obstacle the holders of the key and its queue
 * @property {{ kind: string | undefined, agoMs: number, ttlMs: number } | null} gone not_found: how the
 *   key lost its value
 * @property {{ size: number, limit: number, option: string } | null} large too_large: the exceeded limit
 *
 * @typedef {(call: PendingCall, refusal: Refusal) => string} Explained
 */

/** @param {string[]} sentences empty ones are left out */
const text = (...sentences) => sentences.filter((said) => said !== '').join(' ');

/** @param {PendingCall} call */
const worker = (call) => `worker ${JSON.stringify(call.workerId)}`;
/** @param {PendingCall} call */
const waited = (call) => `${call.wait?.waitMs ?? 0} ms`;

/** @type {Explained} */
const notFree = (call, { obstacle }) =>
  text(`Nothing of it is free for ${worker(call)}.`, heldBy(obstacle)) +
  ' Wait in the queue with waitMs.';
/** @type {Explained} */
const noneInTime = (call, { obstacle }) =>
  text(
    `Nothing of it became free for ${worker(call)} within ${waited(call)}.`,
    heldBy(obstacle),
    placeOf(obstacle),
  );
/** @type {Explained} */
const deadlock = (_call, { obstacle }) => {
  const cycle = obstacle?.holders ?? [];
  if (obstacle === null || cycle.length === 0) return sentence('deadlock');
  if (obstacle.holding === 1) {
    return (
      `The wait would never end: its own code holds it (${heldFor(cycle[0])}). Pass on what is held, ` +
      'instead of asking for it again.'
    );
  }
  return (
    `The wait would never end: ${circle(cycle, obstacle.holding)}. Take them in the same order ` +
    'everywhere, or all at once with acquireAll().'
  );
};
const otherKind =
  'The key is in use as something else: release and del() that, or take another key.';
const notForValues =
  'The key is a pool, a semaphore, or numbers that are held: del() it when nobody holds any of it, ' +
  'or take another key.';
const elements = 'A pool takes at least one element, and all of them different.';
const valueGone = 'Its value expired or was deleted while this request waited for it.';

/** @type {Record<NearKey['kind'], string>} */
const KINDS = { numbers: 'numbers', semaphore: 'a semaphore', pool: 'a pool', value: 'a value' };

/** @param {NonNullable<Refusal['gone']>} gone */
function describeGone({ kind, agoMs, ttlMs }) {
  const ttl = `its TTL was ${ttlMs === Infinity ? 'Infinity' : describeMs(ttlMs)}.`;
  if (kind === 'expire') return `It expired ${describeMs(agoMs)} ago; ${ttl}`;
  return `It was evicted ${describeMs(agoMs)} ago, since the broker was full (maxItems, maxMemory); ${ttl}`;
}

/**
 * @param {PendingCall} call
 * @param {NearKey[]} near
 */
function otherNames(call, near) {
  const others = near.filter(({ key }) => key !== call.key);
  const names = others.map(({ key, kind }) => `${quoteKey(key)} (${KINDS[kind]})`);
  return names.length === 0 ? '' : ` Did you mean ${names.join(' or ')}?`;
}

/** 1,000 is the size of the broker's history: csrc/core/gone.h. */
const UNKNOWN = 'The key does not exist, and is none of the last 1,000 that expired.';

/** @type {Explained} */
const noValue = (call, { near, gone }) =>
  gone === null ? UNKNOWN + otherNames(call, near) : describeGone(gone);

/** @type {Explained} */
const tooLarge = (call, { large }) => {
  if (large === null) return sentence('too_large');
  const { size, limit, option } = large;
  const isPool = call.operation === 'pool' || call.operation === 'poolAdd';
  const subject = isPool ? 'An element' : 'The value';
  const what = option === 'maxValueSize' ? subject : 'The request';
  return `${what} has ${size} bytes, and the broker takes ${limit} (${option}).`;
};

/**
 * The message for a key without a definition, or one in use for its numbers.
 * @param {PendingCall} call
 * @param {NearKey[]} near
 */
function undefinedKey(call, near) {
  const numbersAreHeld = near.some(({ key, kind }) => key === call.key && kind === 'numbers');
  const what = numbersAreHeld
    ? 'Nothing is defined for it: it only has numbers that are held.'
    : 'No pool, semaphore or value has this name.';
  return `${what}${otherNames(call, near)} For the lowest free number, ask for it: number(key), or { kind: 'number' }.`;
}

/** @type {Explained} */
const notDefined = (call, { near, hadValue, gone }) => {
  if (hadValue) return valueGone;
  return gone === null ? undefinedKey(call, near) : describeGone(gone);
};

/** @param {PendingCall} call */
const oneLease = (call) =>
  `The broker allows a worker one lease at a time (singleLease), and ${worker(call)} has one of ` +
  'another key: release that first.';

/** Messages of every operation that leases something. */
const LEASING = {
  lease_held: notFree,
  wait_timeout: noneInTime,
  deadlock,
  kind_mismatch: otherKind,
  not_found: valueGone,
  worker_already_has_lease: oneLease,
};

/** @type {Explained} */
const tooFew = (call, { size }) =>
  `It has ${size}, and ${worker(call)} asks for ${call.count} at once, which could never be granted.`;

/** Messages of operations that need a definition. */
const ACQUIRING = { ...LEASING, not_found: notDefined, conflict: tooFew };

/** Messages of operations that read a value. */
const READING = {
  not_found: noValue,
  kind_mismatch:
    'It is a pool or a semaphore, not a value: lease something of it (acquire, withLease).',
};

/** @type {Record<string, Record<string, string | Explained>>} */
const MESSAGES = {
  get: READING,
  getSync: READING,
  getEntry: READING,
  ttl: READING,
  lease: LEASING,
  leaseSync: LEASING,
  acquire: ACQUIRING,
  acquireAll: ACQUIRING,
  acquireLock: LEASING,
  number: LEASING,
  withLease: ACQUIRING,
  lock: LEASING,
  release: {
    lease_held: (call) =>
      `Another connection holds it for ${worker(call)}: only that one may release it, or ` +
      '{ force: true }.',
    not_found: 'discard names an element that this lease does not have: nothing was released.',
  },
  renew: {
    lease_lost: 'It had ended already, and does not come back: ask for a new one.',
  },
  set: {
    kind_mismatch: notForValues,
    fenced: 'The lease of this fencing token has ended: the write is refused.',
  },
  incr: { kind_mismatch: notForValues },
  incrEntry: { kind_mismatch: notForValues },
  del: { lease_held: 'Something of it is held or waited for: that has to end first.' },
  pool: {
    kind_mismatch: otherKind,
    invalid_value: elements,
    conflict:
      'It is a pool of another list. { replace: true } puts this list in its place, ' +
      '{ ifAbsent: true } leaves what is there, poolAdd() adds to it.',
  },
  poolAdd: {
    kind_mismatch: otherKind,
    invalid_value: elements,
    conflict: 'The pool has one of these elements already; nothing was added.',
  },
  limit: {
    kind_mismatch: otherKind,
    conflict:
      'It is a semaphore with another number of permits. { replace: true } changes it, ' +
      '{ ifAbsent: true } leaves what is there.',
  },
  discard: { not_found: 'There is no such pool or element, or it was discarded before.' },
  getOrSet: {
    kind_mismatch: notForValues,
    lease_held: (_call, { obstacle }) =>
      text('Another worker computes it.', heldBy(obstacle), 'Wait for its value with waitMs.'),
    wait_timeout: (call, { obstacle }) =>
      text(
        `No worker had computed it within ${waited(call)}.`,
        heldBy(obstacle),
        placeOf(obstacle),
      ),
    deadlock,
    compute_failed:
      'The worker that computed it failed; `cause` says why. Asking again computes anew.',
  },
  waitFor: { wait_timeout: (call) => `It had no value within ${waited(call)}.` },
  throttle: {
    wait_timeout: (call) => `Its turn would not come within ${waited(call)}; nothing was taken.`,
  },
  barrier: {
    wait_timeout: (call) => `Not everybody had arrived within ${waited(call)}.`,
    kind_mismatch: 'Others wait there for a different number of arrivals.',
  },
};

/** @type {Record<string, Explained>} */
const EVERYWHERE = { too_large: tooLarge };

/**
 * @param {PendingCall} call
 * @param {string} code
 * @param {Refusal} refusal
 * @returns {string}
 */
function explain(call, code, refusal) {
  const message = MESSAGES[call.operation]?.[code] ?? EVERYWHERE[code];
  if (typeof message === 'function') return message(call, refusal);
  return message ?? sentence(code);
}

module.exports = { explain };

/** The PipeClient methods for leases, pools and locks. */
'use strict';

const { CALL_OPTIONS } = require('./client_core.js');
const { now } = require('../binding.js');
const check = require('./validate.js');
const { inContext } = require('../error.js');
const { FLAGS } = require('./frame.js');
const { inFlow } = require('./flow.js');
const { Lease, whileHeld } = require('./lease.js');
const { LEASE_TTL } = require('./lease_ttl.js');
/** @typedef {import('./lease').LeasePart} LeasePart */
const { checkNames } = require('../options.js');
const packed = require('./list_codec.js');
const values = require('./values.js');

const LEASE_OPTIONS = [
  'timeout',
  'signal',
  'workerId',
  'ttl',
  'waitMs',
  'waitNoticeMs',
  'detached',
];
const LEASE_SYNC_OPTIONS = LEASE_OPTIONS.filter((name) => name !== 'signal');
const HANDLE_OPTIONS = ['timeout', 'signal', 'workerId', 'ttl'];
const NUMBER_OPTIONS = [...HANDLE_OPTIONS, 'count'];
const ALL_OPTIONS = [...HANDLE_OPTIONS, 'waitMs', 'waitNoticeMs', 'kind'];
const ACQUIRE_OPTIONS = [...ALL_OPTIONS, 'count'];
const LOCK_OPTIONS = [...HANDLE_OPTIONS, 'waitMs', 'waitNoticeMs', 'mode'];
const RENEW_OPTIONS = ['timeout', 'key', 'ttl', 'detached'];
const DEFINE_OPTIONS = ['timeout', 'replace', 'ifAbsent'];
const RELEASE_OPTIONS = ['timeout', 'force', 'discard', 'detached'];
// The broker's limits.
const COUNT_MAX = 10_000;
const PERMITS_MAX = 1_000_000;
/** How long to wait for garbage collection to close the connection of another copy of this module. */
const SOON_CLOSED_MS = 500;
/** A connection that was used just before a collection may survive it. */
const COLLECTIONS = 2;
/** Codes of a refusal because others hold the key. */
const HELD = new Set(['lease_held', 'wait_timeout']);

/**
 * @typedef {import('./client_core').ClientCore} ClientCore
 * @typedef {import('./pending_call').PendingCall} PendingCall
 * @typedef {import('./pending_call').Decode} Decode
 * @typedef {import('./frame').Reply} Reply
 * @typedef {import('./frame').Request} Request
 */

/** @param {unknown} value */
const isGiven = (value) => value !== undefined && value !== null;

/**
 * The leased number or value; undefined for a lock.
 * @type {Decode}
 */
function decodeLeased(buffer, reply) {
  if (reply.flags & FLAGS.count) return reply.count;
  if (reply.bodyAt === reply.bodyEnd && (reply.flags & FLAGS.binary) === 0) return undefined;
  return values.decode(buffer, reply.bodyAt, reply.bodyEnd, reply.flags);
}

/**
 * The elements of one grant, each decoded like decodeLeased does.
 * @type {Decode}
 */
function decodeSeveral(buffer, reply) {
  if (reply.flags & FLAGS.count) return packed.getNumbers(buffer, reply.bodyAt, reply.bodyEnd);
  const elements = packed.getElements(buffer, reply.bodyAt, reply.bodyEnd);
  if (elements === null) throw check.refusal('version_mismatch');
  return elements.map(({ at, end, flags }) => values.decode(buffer, at, end, flags));
}

/**
 * The elements of one grant as stored by the broker; empty for numbers and locks.
 * @param {Buffer} buffer
 * @param {Reply} reply
 * @param {boolean} several
 * @returns {values.Encoded[]}
 */
function storedOf(buffer, { flags, bodyAt, bodyEnd }, several) {
  if (flags & FLAGS.count || (bodyAt === bodyEnd && !(flags & FLAGS.binary))) return [];
  const one = { at: bodyAt, end: bodyEnd, flags };
  const all = several ? packed.getElements(buffer, bodyAt, bodyEnd) : [one];
  return (all ?? []).map((part) => ({
    text: null,
    bytes: Buffer.from(buffer.subarray(part.at, part.end)),
    flags: part.flags,
  }));
}

/**
 * The options of `lease(key, workerId, ttl, options)`. Each of the last three may be missing, and the options
 * may be passed in place of any of them.
 * @param {unknown} workerId
 * @param {unknown} ttl
 * @param {unknown} options
 * @returns {any}
 */
function leaseOptions(workerId, ttl, options) {
  const isOptions = typeof workerId === 'object' && workerId !== null;
  if (isOptions && ttl === undefined && options === undefined) return workerId;
  const given = check.mergedOptions(ttl, options);
  if (!isGiven(workerId) || typeof given !== 'object' || given === null) return given;
  return { ...given, workerId };
}

/**
 * A lease without a handle, identified by its worker.
 * @param {ClientCore} core
 * @param {string} key
 * @param {[unknown, unknown, unknown]} rest
 * @param {boolean} sync
 * @returns {any} a promise, unless sync
 */
function lease(core, key, rest, sync) {
  const operation = sync ? 'leaseSync' : 'lease';
  /** @type {(token: number) => void} */
  let remember = () => {};
  /** @type {Decode} */
  const decode = (buffer, reply) => {
    const value = decodeLeased(buffer, reply);
    remember(reply.fence);
    return value;
  };
  const fill = (
    /** @type {Request} */ request,
    /** @type {any} */ given,
    /** @type {PendingCall} */ call,
  ) => {
    if (given?.detached) {
      putAsk(core, request, call, given, 0);
      request.flags |= FLAGS.detached;
      return;
    }
    const isKept = !isGiven(given?.ttl);
    putAsk(core, request, call, isKept ? { ...given, ttl: LEASE_TTL.ms } : given, 0);
    const { session } = core.connection();
    const grant = { workerId: request.worker, key: request.key };
    remember = (token) => session.addGrant(token, grant, isKept);
  };
  try {
    const options = leaseOptions(...rest);
    if (!sync) {
      const ask = (/** @type {any} */ given) =>
        core.ask('lease', key, decode, given, LEASE_OPTIONS, fill);
      return ask(options).catch((error) => askAgain(core, error, options, ask));
    }
    return core.askSync(operation, key, decode, options, LEASE_SYNC_OPTIONS, fill, 'lease');
  } catch (error) {
    const shown = inContext(error, operation, typeof key === 'string' ? key : undefined);
    if (sync) throw shown;
    return Promise.reject(shown);
  }
}

/**
 * Asks again after `lease_held` if another copy of this module holds the key and no code can use that copy
 * any more, since garbage collection frees the key soon (connection.js). The native code closes collected
 * connections from the event loop, so a short wait lets this happen. Once the connection is closed, only the
 * broker has to notice it.
 * @param {ClientCore} core
 * @param {any} error of the first attempt
 * @param {any} options
 * @param {(options: any) => Promise<any>} ask
 * @returns {Promise<any>}
 */
async function askAgain(core, error, options, ask) {
  if (error?.code !== 'lease_held' || error.key === undefined) throw error;
  const connection = core.connection();
  const { timeout } = core.options;
  const siblings = connection.siblings.count;
  /** @param {any} again the error of a later attempt, such as the reason of an abort signal */
  const refuse = (again) => {
    throw HELD.has(again?.code) ? error : again;
  };
  if (!(await isCollected(connection, error.key, timeout))) throw error;
  for (let left = COLLECTIONS; left > 0; left--) {
    try {
      return await ask({ ...options, waitMs: SOON_CLOSED_MS });
    } catch (again) {
      if (!HELD.has(/** @type {any} */ (again)?.code)) throw again;
    }
    if (connection.siblings.count < siblings)
      return ask({ ...options, waitMs: timeout }).catch(refuse);
    if (!(await isCollected(connection, error.key, timeout))) break;
  }
  return ask({ ...options, waitMs: 0 }).catch(refuse);
}

/**
 * Waits for garbage collection if another copy of this module holds the key.
 * @param {import('./connection').Connection} connection
 * @param {string} key
 * @param {number} timeout
 */
async function isCollected(connection, key, timeout) {
  let onCollected = () => {};
  const collected = new Promise((resolve) => {
    onCollected = () => resolve(undefined);
  });
  if (!(await connection.siblings.free(key, timeout, onCollected))) return false;
  connection.listener.hold();
  await collected;
  connection.listener.unhold();
  return true;
}

/**
 * Sets the fields that all lease requests have in common.
 * @param {ClientCore} core
 * @param {Request} request
 * @param {PendingCall} call
 * @param {any} given
 * @param {number} waitMs default
 */
function putAsk(core, request, call, given, waitMs) {
  const connection = core.connection();
  core.putWorker(request, call, given.workerId);
  if (isGiven(given.ttl)) {
    request.ttl = check.checkedTtl(given.ttl);
    request.flags |= FLAGS.ttl;
  }
  // There is always a free number, so the request never waits.
  const isNumbered = request.action === connection.actions.number;
  core.putWait(request, call, 'waitMs', given.waitMs ?? waitMs);
  if (isNumbered) request.flags &= ~FLAGS.wait;
  else core.putFlow(request, given.held);
  call.waitState().undo = (reply) => {
    // If the reply renewed an existing grant, the grant stays.
    if (!connection.session.hasGrant(reply.fence))
      connection.withdrawals.giveBack(reply.fence, call.timeout);
  };
}

/** The options of each action. */
const KNOWN = { acquire: ACQUIRE_OPTIONS, lock: LOCK_OPTIONS, number: NUMBER_OPTIONS };

/**
 * A lease with a handle.
 * @param {ClientCore} core
 * @param {string} operation
 * @param {string} key
 * @param {any} options
 * @param {'acquire' | 'lock' | 'number'} action
 * @param {readonly number[]} [held] tokens of the leases already taken by the same acquireAll
 * @returns {Promise<Lease>}
 */
function acquire(core, operation, key, options, action, held = []) {
  let ttl = LEASE_TTL.ms;
  let several = false;
  /** @type {PendingCall} */
  let asked;
  /** @type {Decode} */
  const decode = (buffer, reply) =>
    new Lease(connection, {
      owner: core,
      operation,
      key,
      fullKey: String(asked.key),
      workerId: asked.workerId,
      value: several ? decodeSeveral(buffer, reply) : decodeLeased(buffer, reply),
      several,
      stored: storedOf(buffer, reply, several),
      token: reply.fence,
      ttl,
      timeout: core.options.timeout,
    });
  /** @type {import('./connection').Connection} */
  let connection;
  const fill = (
    /** @type {Request} */ request,
    /** @type {any} */ given,
    /** @type {PendingCall} */ call,
  ) => {
    asked = call;
    connection = core.connection();
    const wanted = { ...given, ttl: given?.ttl ?? LEASE_TTL.ms, held };
    if (isNumber(given?.kind)) request.action = connection.actions.number;
    putAsk(core, request, call, wanted, Infinity);
    ttl = request.ttl;
    several = isGiven(given?.count);
    if (several) {
      request.count = call.count = check.checkedNumber('count', given.count, 1, COUNT_MAX);
      request.flags |= FLAGS.count;
    }
    if (action === 'lock') request.flags |= FLAGS.fresh;
    if (isShared(given?.mode)) request.flags |= FLAGS.shared;
    call.waitState().owner = core;
  };
  const ask = (/** @type {any} */ given) =>
    core.ask(operation, key, decode, given, KNOWN[action], fill, action);
  return ask(options).catch((error) => askAgain(core, error, options, ask));
}

/** @param {unknown} kind */
function isNumber(kind) {
  if (kind === undefined) return false;
  if (kind === 'number') return true;
  throw check.refusal('invalid_request', "kind takes 'number', or nothing.");
}

/** @param {unknown} mode */
function isShared(mode) {
  if (mode === undefined || mode === 'exclusive') return false;
  if (mode === 'shared') return true;
  throw check.refusal('invalid_request', "mode takes 'exclusive' or 'shared'.");
}

/**
 * The arguments of `withLease(key, fn)` and `withLease(key, options, fn)`.
 * @param {string} operation
 * @param {unknown} options
 * @param {unknown} fn
 * @returns {{ options: any, run: (...args: any[]) => any }}
 */
function optionsAndFunction(operation, options, fn) {
  const alone = fn === undefined && typeof options === 'function';
  const run = check.checkedFunction(alone ? options : fn, `The last argument of ${operation}()`);
  return { options: alone ? undefined : options, run };
}

/**
 * @param {ClientCore} core
 * @param {string} key
 * @param {unknown} options
 * @param {unknown} fn
 */
async function withLease(core, key, options, fn) {
  const given = inOperation('withLease', key, () => optionsAndFunction('withLease', options, fn));
  const held = await acquire(core, 'withLease', key, given.options, 'acquire');
  return whileHeld(held, () => inFlow(core.pipe, held.token, () => given.run(held.value, held)));
}

/**
 * @param {ClientCore} core
 * @param {string} name
 * @param {unknown} options
 * @param {unknown} fn
 */
async function lock(core, name, options, fn) {
  const given = inOperation('lock', name, () => optionsAndFunction('lock', options, fn));
  const held = await acquire(core, 'lock', name, given.options, 'lock');
  return whileHeld(held, () => inFlow(core.pipe, held.token, () => given.run(held)));
}

/**
 * @template T
 * @param {string} operation
 * @param {unknown} key
 * @param {() => T} check_
 * @returns {T}
 */
function inOperation(operation, key, check_) {
  try {
    return check_();
  } catch (error) {
    throw inContext(error, operation, typeof key === 'string' ? key : undefined);
  }
}

/**
 * Acquires the keys in sorted order, so that workers that want the same keys cannot deadlock. Several
 * elements of one key are one grant.
 * @param {ClientCore} core
 * @param {readonly string[]} keys
 * @param {any} options
 * @returns {Promise<(Lease | LeasePart)[]>}
 */
async function acquireAll(core, keys, options = {}) {
  const waitMs = inOperation('acquireAll', undefined, () => checkedAll(keys, options));
  const until = now() + waitMs;
  /** @type {Map<string, Lease>} */
  const taken = new Map();
  try {
    for (const [key, count] of [...countOf(keys)].sort(byKey)) {
      const leftMs = waitMs === 0 ? 0 : Math.max(1, until - now());
      const wanted = { ...options, waitMs: leftMs, count: count > 1 ? count : undefined };
      const held = [...taken.values()].map(({ token }) => token);
      taken.set(key, await acquire(core, 'acquireAll', key, wanted, 'acquire', held));
    }
    for (const held of taken.values()) if (held.lost) throw Lease.lossOf(held);
  } catch (error) {
    await Promise.allSettled([...taken.values()].map((held) => held.release()));
    throw error;
  }
  return together(keys, taken);
}

/** @param {readonly string[]} keys */
function countOf(keys) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}

/**
 * @param {[string, number]} left
 * @param {[string, number]} right
 */
function byKey([left], [right]) {
  return left < right ? -1 : 1;
}

/**
 * @param {unknown} keys
 * @param {any} options
 * @returns {number} the milliseconds to wait
 */
function checkedAll(keys, options) {
  const invalid = (/** @type {string} */ message) => check.refusal('invalid_request', message);
  if (!Array.isArray(keys)) throw invalid('acquireAll() takes an array of keys.');
  checkNames('acquireAll()', options, ALL_OPTIONS);
  return check.checkedWait('waitMs', options.waitMs ?? Infinity);
}

/**
 * The result of acquireAll: one handle for each element of `keys`, released together.
 * @param {readonly string[]} keys
 * @param {Map<string, Lease>} taken
 */
function together(keys, taken) {
  /** @type {Map<string, number>} */
  const seen = new Map();
  const each = keys.map((key) => {
    const held = /** @type {Lease} */ (taken.get(key));
    const index = seen.get(key) ?? 0;
    seen.set(key, index + 1);
    return held.several ? held.part(index) : held;
  });
  const all = [...taken.values()];
  const releaseAll = async (/** @type {any} */ options) => {
    const released = await Promise.all(all.map((one) => one.release(options)));
    return all.reduce((sum, one, i) => sum + (released[i] ? one.size : 0), 0);
  };
  const dispose = async () => {
    await Promise.all(all.map((one) => Lease.dispose(one)));
  };
  return Object.defineProperties(each, {
    release: { value: releaseAll },
    [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]: { value: dispose },
  });
}

/**
 * @param {ClientCore} core
 * @param {unknown} workerId
 * @param {any} options
 * @returns {Promise<{ renewed: number, lost: import('./list_codec').Loss[] }>}
 */
function renew(core, workerId, options) {
  const isOptions = typeof workerId === 'object' && workerId !== null && options === undefined;
  const given = isOptions ? workerId : options;
  /** @type {() => import('./list_codec').Loss[]} */
  let takeEarlier = () => [];
  let onRenewed = () => {};
  /** @type {Decode} */
  const decode = (buffer, reply) => {
    onRenewed();
    const losses = packed.getLosses(buffer, reply.bodyAt, reply.bodyEnd);
    if (losses === null) throw check.refusal('version_mismatch');
    const lost = [...takeEarlier(), ...losses].map(({ key, token }) => ({
      key: core.ownKey(key),
      token,
    }));
    return { renewed: reply.count, lost };
  };
  return core.ask('renew', undefined, decode, given, RENEW_OPTIONS, (request, chosen, call) => {
    core.putWorker(request, call, isOptions ? undefined : workerId);
    if (isGiven(chosen?.key)) call.key = request.key = core.fullKey(chosen.key);
    if (isGiven(chosen?.ttl)) {
      request.ttl = check.checkedTtl(chosen.ttl);
      request.flags |= FLAGS.ttl;
    }
    if (chosen?.detached) {
      request.flags |= FLAGS.detached;
      return;
    }
    const { session } = core.connection();
    const { worker, key } = request;
    takeEarlier = () => session.takeLosses(worker, key);
    if (isGiven(chosen?.ttl)) onRenewed = () => session.limited(worker, key);
  });
}

/**
 * @param {ClientCore} core
 * @param {unknown} workerId
 * @param {unknown} key
 * @param {any} options
 * @returns {Promise<boolean>}
 */
function release(core, workerId, key, options) {
  let onReleased = () => {};
  /** @type {Decode} */
  const decode = (_buffer, reply) => {
    if (reply.count > 0) onReleased();
    return reply.count > 0;
  };
  return core.ask(
    'release',
    undefined,
    decode,
    options,
    RELEASE_OPTIONS,
    (request, given, call) => {
      if (isGiven(key)) call.key = request.key = core.fullKey(key);
      putHolder(core, request, call, workerId, given?.force === true);
      if (given?.force) request.flags |= FLAGS.force;
      if (given?.discard) request.flags |= FLAGS.discard;
      if (given?.detached) {
        request.flags |= FLAGS.detached;
        return;
      }
      const { session } = core.connection();
      onReleased = () => session.released(request.worker, request.key);
    },
  );
}

/**
 * Sets the worker whose leases to release. With `force` and without a worker id, it is any holder of the key.
 * @param {ClientCore} core
 * @param {Request} request
 * @param {PendingCall} call
 * @param {unknown} workerId
 * @param {boolean} force
 */
function putHolder(core, request, call, workerId, force) {
  if (!force || isGiven(workerId)) return core.putWorker(request, call, workerId);
  if (request.key !== '') return undefined;
  const message = 'With force, it takes a worker id or a key: whose leases are to end?';
  throw check.refusal('worker_required', message);
}

/**
 * Sets the flags for an existing definition: replace it, or leave it.
 * @param {Request} request
 * @param {any} given
 */
function putDefining(request, given) {
  if (given?.replace) request.flags |= FLAGS.force;
  if (given?.ifAbsent) request.flags |= FLAGS.ifAbsent;
}

/**
 * @param {ClientCore} core
 * @param {string} key
 * @param {unknown} options
 * @returns {Promise<import('../index').Description | null>}
 */
function describe(core, key, options) {
  /** @type {Decode} */
  const decode = (buffer, reply) => {
    const description = packed.getDescription(buffer, reply.bodyAt, reply.bodyEnd);
    if (description === undefined) throw check.refusal('version_mismatch');
    return description;
  };
  return core.ask('describe', key, decode, options);
}

/**
 * @param {ClientCore} core
 * @param {'pool' | 'poolAdd'} operation
 * @param {string} key
 * @param {unknown} elements
 * @param {unknown} options
 * @param {Decode} decode
 */
function pool(core, operation, key, elements, options, decode) {
  const known = operation === 'pool' ? DEFINE_OPTIONS : CALL_OPTIONS;
  return core.ask(operation, key, decode, options, known, (request, given) => {
    putDefining(request, given);
    if (!Array.isArray(elements)) {
      throw check.refusal('invalid_value', `${operation}() takes an array of the elements.`);
    }
    request.bytes = packed.putElements(elements.map((element) => values.encode(element)));
  });
}

/**
 * @param {ClientCore} core
 * @param {string} key
 * @param {unknown} n
 * @param {unknown} options
 * @param {Decode} decode
 */
function limit(core, key, n, options, decode) {
  return core.ask('limit', key, decode, options, DEFINE_OPTIONS, (request, given) => {
    putDefining(request, given);
    request.count = check.checkedNumber('n', n, 1, PERMITS_MAX);
    request.flags |= FLAGS.count;
  });
}

/**
 * @param {ClientCore} core
 * @param {string} key
 * @param {unknown} element
 * @param {unknown} options
 * @param {Decode} decode
 */
function discard(core, key, element, options, decode) {
  return core.ask('discard', key, decode, options, CALL_OPTIONS, (request) => {
    const encoded = values.encode(element);
    request.text = encoded.text;
    request.bytes = encoded.bytes;
    request.flags |= encoded.flags;
  });
}

/**
 * @param {ClientCore} core
 * @param {string} prefix
 * @param {unknown} options
 * @returns {Promise<import('./list_codec').LeaseInfo[]>}
 */
function leases(core, prefix, options) {
  /** @type {Decode} */
  const decode = (buffer, reply) => {
    const lines = packed.getLeases(buffer, reply.bodyAt, reply.bodyEnd, Date.now());
    if (lines === null) throw check.refusal('version_mismatch');
    for (const line of lines) line.key = core.ownKey(line.key);
    return lines;
  };
  return core.ask('leases', undefined, decode, options, CALL_OPTIONS, (request) => {
    request.key = core.fullPrefix(prefix);
  });
}

module.exports = {
  acquire,
  acquireAll,
  describe,
  discard,
  lease,
  leases,
  limit,
  lock,
  pool,
  release,
  renew,
  withLease,
};

/**
 * PipeClient: converts arguments to requests, and replies to values. Invalid arguments are found on the way
 * (client_core.js) and reject the call. No method throws synchronously, except `watch`, which returns no
 * promise, and those that end in Sync.
 */
'use strict';

const { ClientCore, CALL_OPTIONS } = require('./client_core.js');
const { now } = require('../binding.js');
const { checkedNumber, refusal } = require('./validate.js');
const coordination = require('./coordination_requests.js');
const { SHORT_TTL_MS, endless, warnOfShortTtl } = require('../duration.js');
const { BrokerError } = require('../error.js');
const { FLAGS } = require('./frame.js');
const leasing = require('./lease_requests.js');
const { getEntries } = require('./list_codec.js');
const values = require('./values.js');
const { Watch } = require('./watch.js');

/**
 * @typedef {import('./pending_call').Decode} Decode
 * @typedef {import('../index').AcquireOptions} AcquireOptions
 * @typedef {import('../index').CallOptions} CallOptions
 * @typedef {import('../index').DefineOptions} DefineOptions
 * @typedef {import('../index').GetOptions} GetOptions
 * @typedef {import('../index').GetOrSetOptions} GetOrSetOptions
 * @typedef {import('../index').IncrOptions} IncrOptions
 * @typedef {import('../index').TouchOptions} TouchOptions
 * @typedef {import('../index').LeaseOptions} LeaseOptions
 * @typedef {import('../index').LockOptions} LockOptions
 * @typedef {import('../index').NumberOptions} NumberOptions
 * @typedef {import('../index').ReleaseOptions} ReleaseOptions
 * @typedef {import('../index').RenewOptions} RenewOptions
 * @typedef {import('../index').SetOptions} SetOptions
 * @typedef {import('../index').ThrottleOptions} ThrottleOptions
 * @typedef {import('../index').WaitForOptions} WaitForOptions
 * @typedef {import('../index').WaitOptions} WaitOptions
 */

const GET_OPTIONS = ['timeout', 'default'];
const SET_OPTIONS = ['timeout', 'ttl', 'ifAbsent', 'ifVersion', 'fence'];
const TTL_OPTIONS = ['timeout', 'ttl'];

/** @type {Decode} */
const decodeValue = (buffer, reply) =>
  values.decode(buffer, reply.bodyAt, reply.bodyEnd, reply.flags, reply.plain);
/**
 * If the caller passes a default, the broker need not look for the reason why the key is missing.
 * @type {import('./client_core').Fill}
 */
const fillGet = (request, _given, call) => {
  if (call.missing !== null) request.flags |= FLAGS.ifAbsent;
};
/** @type {Decode} */
const decodeEntry = (buffer, reply) => ({
  value: decodeValue(buffer, reply),
  version: reply.itemVersion,
  ttl: endless(reply.ttl),
});
/** @type {Decode} */
const decodeCleared = (_buffer, reply) => ({ cleared: reply.count, held: reply.burst });
/** @type {Decode} */
const decodeTrue = () => true;
/** @type {Decode} */
const decodeBoolean = (_buffer, reply) => reply.count !== 0;
/** @type {Decode} */
const decodeCount = (_buffer, reply) => reply.count;
/** @type {Decode} */
const decodeCounter = (_buffer, reply) => ({ value: reply.count, ttl: endless(reply.ttl) });
/** @type {Decode} */
const decodeTtl = (_buffer, reply) => endless(reply.ttl);
/** @type {Decode} */
const decodeText = (buffer, reply) => buffer.toString('utf8', reply.bodyAt, reply.bodyEnd);

/**
 * A report: a JSON object whose members all pass `isRight`. The error never quotes a malformed reply.
 * @param {(member: unknown) => boolean} isRight
 * @returns {Decode}
 */
const decodeReport = (isRight) => (buffer, reply) => {
  let report = null;
  try {
    report = JSON.parse(decodeText(buffer, reply));
  } catch {
    // Treated like null.
  }
  const isReport = typeof report === 'object' && report !== null && !Array.isArray(report);
  if (!isReport || !Object.values(report).every(isRight)) throw refusal('version_mismatch');
  return report;
};
const decodeStats = decodeReport(Number.isFinite);
const decodeHealth = decodeReport(() => true);

class PipeClient {
  /** @type {ClientCore} */
  #core;

  /**
   * @param {string | null} [pipe]
   * @param {object} [options]
   */
  constructor(pipe, options = {}) {
    // namespace() passes a core instead of a pipe.
    const given = /** @type {unknown} */ (pipe);
    const own = /** @type {Record<string, unknown>} */ (options);
    this.#core = given instanceof ClientCore ? given : new ClientCore(given, own);
  }

  get pipe() {
    return this.#core.pipe;
  }

  /**
   * @param {string} key
   * @param {GetOptions} [options]
   * @returns {Promise<any>}
   */
  get(key, options) {
    const core = this.#core;
    const asked =
      options === undefined ? core.tryFast('get', key, 0, undefined, decodeValue) : null;
    return asked ?? core.ask('get', key, decodeValue, options, GET_OPTIONS, fillGet);
  }

  /**
   * Like get, but blocks the thread until the reply arrives.
   * @param {string} key
   * @param {GetOptions} [options]
   * @returns {any}
   */
  getSync(key, options) {
    return this.#core.askSync('getSync', key, decodeValue, options, GET_OPTIONS, fillGet, 'get');
  }

  /**
   * @param {string} key
   * @param {CallOptions} [options]
   * @returns {Promise<{ value: any, version: number, ttl: number }>}
   */
  getEntry(key, options) {
    return this.#core.ask('getEntry', key, decodeEntry, options);
  }

  /**
   * @param {string} key
   * @param {unknown} value
   * @param {number | SetOptions | null} [ttl]
   * @param {SetOptions} [options]
   * @returns {Promise<true>}
   */
  set(key, value, ttl, options) {
    const core = this.#core;
    if (options === undefined && value !== undefined && ttl !== 0) {
      const asked = core.tryFast('set', key, ttl ?? undefined, value, decodeTrue);
      if (asked !== null) {
        if (/** @type {number} */ (ttl) < SHORT_TTL_MS) warnOfShortTtl('set', ttl);
        return asked;
      }
    }
    return core.ask('set', key, decodeTrue, [ttl, options], SET_OPTIONS, (request, given) => {
      core.putValue(request, value);
      core.putTtl(request, given.ttl);
      warnOfShortTtl('set', given.ttl);
      if (given.ifAbsent) request.flags |= FLAGS.ifAbsent;
      if (given.ifVersion !== undefined) {
        request.version = checkedNumber('ifVersion', given.ifVersion, 1);
        request.flags |= FLAGS.version;
      }
      if (given.fence !== undefined) {
        request.fence = checkedNumber('fence', given.fence, 1);
        request.flags |= FLAGS.fence;
      }
    });
  }

  /**
   * @param {string} key
   * @param {CallOptions} [options]
   * @returns {Promise<boolean>}
   */
  del(key, options) {
    return this.#core.ask('del', key, decodeBoolean, options);
  }

  /**
   * @param {string} key
   * @param {CallOptions} [options]
   * @returns {Promise<boolean>}
   */
  has(key, options) {
    return this.#core.ask('has', key, decodeBoolean, options);
  }

  /**
   * @param {string} key
   * @param {CallOptions} [options]
   * @returns {Promise<number>}
   */
  ttl(key, options) {
    return this.#core.ask('ttl', key, decodeTtl, options);
  }

  /**
   * @param {string} key
   * @param {number | TouchOptions | null} [ttl]
   * @param {TouchOptions} [options]
   * @returns {Promise<boolean>}
   */
  touch(key, ttl, options) {
    return this.#core.ask(
      'touch',
      key,
      decodeBoolean,
      [ttl, options],
      TTL_OPTIONS,
      (request, given) => {
        this.#core.putTtl(request, given.ttl);
        warnOfShortTtl('touch', given.ttl);
      },
    );
  }

  /**
   * @param {string} key
   * @param {number} [by]
   * @param {number | IncrOptions | null} [ttl]
   * @param {IncrOptions} [options]
   * @returns {Promise<number>}
   */
  incr(key, by, ttl, options) {
    return this.#incr('incr', key, by, [ttl, options], decodeCount);
  }

  /**
   * Like incr, with the counter's remaining TTL.
   * @param {string} key
   * @param {number} [by]
   * @param {number | IncrOptions | null} [ttl]
   * @param {IncrOptions} [options]
   * @returns {Promise<{ value: number, ttl: number }>}
   */
  incrEntry(key, by, ttl, options) {
    return this.#incr('incrEntry', key, by, [ttl, options], decodeCounter);
  }

  /**
   * @param {'incr' | 'incrEntry'} operation
   * @param {string} key
   * @param {number | undefined} by
   * @param {[unknown, unknown]} options
   * @param {Decode} decode
   */
  #incr(operation, key, by, options, decode) {
    /** @type {import('./client_core').Fill} */
    const fill = (request, given) => {
      request.count = checkedNumber('by', by === undefined ? 1 : by, -Infinity);
      request.flags |= FLAGS.count;
      this.#core.putTtl(request, given.ttl);
      warnOfShortTtl(operation, given.ttl);
    };
    return this.#core.ask(operation, key, decode, options, TTL_OPTIONS, fill, 'incr');
  }

  /**
   * @param {string} [prefix]
   * @param {CallOptions} [options]
   * @returns {Promise<import('./list_codec').ListEntry[]>}
   */
  list(prefix = '', options) {
    const core = this.#core;
    /** @type {Decode} */
    const decodeList = (buffer, reply) => {
      const entries = getEntries(buffer, reply.bodyAt, reply.bodyEnd);
      if (entries === null) throw refusal('version_mismatch');
      for (const entry of entries) entry.key = core.ownKey(entry.key);
      return entries;
    };
    return core.ask('list', undefined, decodeList, options, CALL_OPTIONS, (request) => {
      request.key = core.fullPrefix(prefix);
    });
  }

  /**
   * @param {string} key
   * @param {string | LeaseOptions | null} [workerId]
   * @param {number | LeaseOptions | null} [ttl]
   * @param {LeaseOptions} [options]
   * @returns {Promise<any>}
   */
  lease(key, workerId, ttl, options) {
    return leasing.lease(this.#core, key, [workerId, ttl, options], false);
  }

  /**
   * Like lease, but blocks the thread.
   * @param {string} key
   * @param {string | LeaseOptions | null} [workerId]
   * @param {number | LeaseOptions | null} [ttl]
   * @param {LeaseOptions} [options]
   * @returns {any}
   */
  leaseSync(key, workerId, ttl, options) {
    return leasing.lease(this.#core, key, [workerId, ttl, options], true);
  }

  /**
   * @param {string | RenewOptions | null} [workerId]
   * @param {RenewOptions} [options]
   * @returns {Promise<{ renewed: number, lost: import('./list_codec').Loss[] }>}
   */
  renew(workerId, options) {
    return leasing.renew(this.#core, workerId, options);
  }

  /**
   * @param {string | null} [workerId]
   * @param {string | null} [key]
   * @param {ReleaseOptions} [options]
   * @returns {Promise<boolean>}
   */
  release(workerId, key, options) {
    return leasing.release(this.#core, workerId, key, options);
  }

  /**
   * @param {string} key
   * @param {AcquireOptions} [options]
   * @returns {Promise<import('./lease').Lease>}
   */
  acquire(key, options) {
    return leasing.acquire(this.#core, 'acquire', key, options, 'acquire');
  }

  /**
   * @param {string} key
   * @param {NumberOptions} [options]
   * @returns {Promise<import('./lease').Lease>}
   */
  number(key, options) {
    return leasing.acquire(this.#core, 'number', key, options, 'number');
  }

  /**
   * @param {string} key
   * @param {any} options AcquireOptions, or the function
   * @param {(value: any, lease: import('./lease').Lease) => any} [fn]
   * @returns {Promise<any>}
   */
  withLease(key, options, fn) {
    return leasing.withLease(this.#core, key, options, fn);
  }

  /**
   * @param {string} name
   * @param {any} options LockOptions, or the function
   * @param {(lease: import('./lease').Lease) => any} [fn]
   * @returns {Promise<any>}
   */
  lock(name, options, fn) {
    return leasing.lock(this.#core, name, options, fn);
  }

  /**
   * @param {string} name
   * @param {LockOptions} [options]
   * @returns {Promise<import('./lease').Lease>}
   */
  acquireLock(name, options) {
    return leasing.acquire(this.#core, 'acquireLock', name, options, 'lock');
  }

  /**
   * @param {readonly string[]} keys
   * @param {AcquireOptions} [options]
   * @returns {Promise<(import('./lease').Lease | import('./lease').LeasePart)[]>}
   */
  acquireAll(keys, options) {
    return leasing.acquireAll(this.#core, keys, options);
  }

  /**
   * @param {string} key
   * @param {readonly unknown[]} elements
   * @param {DefineOptions} [options]
   * @returns {Promise<boolean>}
   */
  pool(key, elements, options) {
    return leasing.pool(this.#core, 'pool', key, elements, options, decodeBoolean);
  }

  /**
   * @param {string} key
   * @param {readonly unknown[]} elements
   * @param {CallOptions} [options]
   * @returns {Promise<number>}
   */
  poolAdd(key, elements, options) {
    return leasing.pool(this.#core, 'poolAdd', key, elements, options, decodeCount);
  }

  /**
   * @param {string} key
   * @param {number} n
   * @param {DefineOptions} [options]
   * @returns {Promise<boolean>}
   */
  limit(key, n, options) {
    return leasing.limit(this.#core, key, n, options, decodeBoolean);
  }

  /**
   * @param {string} key
   * @param {unknown} element
   * @param {CallOptions} [options]
   * @returns {Promise<true>}
   */
  discard(key, element, options) {
    return leasing.discard(this.#core, key, element, options, decodeTrue);
  }

  /**
   * @param {string} [prefix]
   * @param {CallOptions} [options]
   * @returns {Promise<{ cleared: number, held: number }>}
   */
  clear(prefix = '', options) {
    const core = this.#core;
    return core.ask('clear', undefined, decodeCleared, options, CALL_OPTIONS, (request) => {
      request.key = core.fullPrefix(prefix);
    });
  }

  /**
   * @param {string} key
   * @param {CallOptions} [options]
   * @returns {Promise<import('../index').Description | null>}
   */
  describe(key, options) {
    return leasing.describe(this.#core, key, options);
  }

  /**
   * @param {string} [prefix]
   * @param {CallOptions} [options]
   * @returns {Promise<import('./list_codec').LeaseInfo[]>}
   */
  leases(prefix = '', options) {
    return leasing.leases(this.#core, prefix, options);
  }

  /**
   * @param {string} key
   * @param {number | null | undefined} ttl
   * @param {() => any} fn
   * @param {GetOrSetOptions} [options]
   * @returns {Promise<any>}
   */
  getOrSet(key, ttl, fn, options) {
    return coordination.getOrSet(this.#core, key, ttl, fn, options);
  }

  /**
   * @param {string} key
   * @param {WaitForOptions} [options]
   * @returns {Promise<any>}
   */
  waitFor(key, options) {
    return coordination.waitFor(this.#core, key, options, decodeValue);
  }

  /**
   * @param {string} [prefix]
   * @param {WaitOptions} [options]
   * @returns {Watch}
   */
  watch(prefix = '', options) {
    return new Watch(this.#core, prefix, options);
  }

  /**
   * @param {string} name
   * @param {number} n
   * @param {WaitForOptions} [options]
   * @returns {Promise<number>}
   */
  barrier(name, n, options) {
    return coordination.barrier(this.#core, name, n, options, decodeCount);
  }

  /**
   * @param {string} key
   * @param {ThrottleOptions} options
   * @returns {Promise<import('../index').Throttled>}
   */
  throttle(key, options) {
    return coordination.throttle(this.#core, key, options);
  }
  /**
   * @param {CallOptions} [options]
   * @returns {Promise<true>}
   */
  ping(options) {
    return this.#core.ask('ping', undefined, decodeTrue, options);
  }

  /**
   * @param {CallOptions} [options]
   * @returns {Promise<number>}
   */
  async pingMs(options) {
    const start = now();
    await this.ping(options);
    return now() - start;
  }

  /**
   * @param {CallOptions} [options]
   * @returns {Promise<any>}
   */
  stats(options) {
    return this.#core.ask('stats', undefined, decodeStats, options);
  }

  /**
   * @param {CallOptions} [options]
   * @returns {Promise<any>}
   */
  health(options) {
    return this.#core.ask('health', undefined, decodeHealth, options);
  }

  /**
   * @param {CallOptions} [options]
   * @returns {Promise<string>}
   */
  metrics(options) {
    return this.#core.ask('metrics', undefined, decodeText, options);
  }

  /**
   * A view of this client that adds `name:` to every key, name and prefix.
   * @param {string} name
   * @returns {PipeClient}
   */
  namespace(name) {
    return new PipeClient(/** @type {any} */ (this.#core.namespace(name)));
  }

  /**
   * Waits for outstanding replies, then closes. Closing a namespace closes only the namespace.
   * @returns {Promise<void>}
   */
  close() {
    return this.#core.close();
  }

  /** @returns {Promise<void>} */
  [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    return this.close();
  }
}

module.exports = { PipeClient, Client: PipeClient, BrokerError };

/** The PipeClient methods that coordinate workers: getOrSet, waitFor, barrier, throttle. */
'use strict';

const { now } = require('../binding.js');
const check = require('./validate.js');
const { BrokerError, inContext } = require('../error.js');
const { inFlow } = require('./flow.js');
const { FLAGS } = require('./frame.js');
const { checkNames } = require('../options.js');
const { endless, warnOfShortTtl } = require('../duration.js');
const { addAbortListener, removeAbortListener } = require('./abort_signals.js');
const values = require('./values.js');

const WAIT_OPTIONS = ['timeout', 'signal', 'waitNoticeMs', 'timeoutMs'];
const CLAIM_OPTIONS = ['timeout', 'signal', 'waitNoticeMs'];
const COMPUTE_OPTIONS = [...CLAIM_OPTIONS, 'computeTtlMs', 'refreshAheadMs', 'waitMs'];
// As the broker has them.
const BARRIER_MAX = 100_000;
const UNITS_MAX = 1_000_000;
const PERIOD_MAX_MS = 365 * 24 * 3_600_000;
const RESET_MAX_MS = (Number.MAX_SAFE_INTEGER - 1) / 2;
const THROTTLE_OPTIONS = ['timeout', 'signal', 'limit', 'periodMs', 'burst', 'cost', 'waitMs'];
const COMPUTE_TTL_MS = 60_000;
const REASON_MAX_BYTES = 1024;
/** Failures of a write that are not caused by the value: another worker may succeed. */
const UNANSWERED = new Set(['timeout', 'broker_gone', 'draining']);

/**
 * @typedef {import('./client_core').ClientCore} ClientCore
 * @typedef {import('./pending_call').Decode} Decode
 *
 * @typedef {object} Answer the decoded reply of getOrSet
 * @property {{ value: any } | null} found the value, if there is one
 * @property {number} token of the right to compute the value; 0: this worker has no such right
 */

/** @type {Decode} */
function decodeAnswer(buffer, reply) {
  const token = reply.flags & FLAGS.fence ? reply.fence : 0;
  const isThere = reply.bodyAt < reply.bodyEnd || (reply.flags & FLAGS.binary) !== 0;
  if (!isThere && token === 0) {
    throw new BrokerError('internal', 'The broker gave neither a value nor a turn to compute one.');
  }
  if (!isThere) return { found: null, token };
  const value = values.decode(buffer, reply.bodyAt, reply.bodyEnd, reply.flags);
  return { found: { value }, token };
}

/** One call of getOrSet. */
class Computation {
  #core;
  #key;
  #ttl;
  #compute;
  #given;
  #until;
  /** @type {values.Encoded | null} the computed value; the function is called only once */
  #computed = null;

  /**
   * @param {ClientCore} core
   * @param {string} key
   * @param {unknown} ttl
   * @param {() => any} compute
   * @param {any} given
   */
  constructor(core, key, ttl, compute, given) {
    this.#core = core;
    this.#key = key;
    this.#ttl = ttl;
    this.#compute = compute;
    this.#given = given;
    this.#until = now() + given.waitMs;
  }

  /**
   * Resolves to another worker's value, or to its own once it is written. If the broker refuses its write as
   * too late, other workers compute or have computed, and it takes their value.
   */
  async run() {
    for (;;) {
      const answer = await this.#claim();
      if (answer.token === 0) return /** @type {{ value: any }} */ (answer.found).value;
      if (this.#computed === null) {
        const old = await this.#computeFor(answer);
        if (old !== null) return old.value;
      }
      const computed = /** @type {values.Encoded} */ (this.#computed);
      // Decoded again, so that all callers get the value as stored.
      if (await this.#write(answer.token, computed)) return values.decodeEncoded(computed);
    }
  }

  /** @returns {Promise<Answer>} */
  #claim() {
    const { computeTtlMs, refreshAheadMs, waitMs, ...others } = this.#given;
    const core = this.#core;
    const fill = (
      /** @type {import('./frame').Request} */ request,
      /** @type {any} */ _given,
      /** @type {any} */ call,
    ) => {
      const connection = core.connection();
      core.putWorker(request, call, undefined);
      request.ttl = computeTtlMs;
      request.flags |= FLAGS.ttl;
      if (refreshAheadMs !== undefined) {
        request.period = refreshAheadMs;
        request.flags |= FLAGS.period;
      }
      core.putWait(request, call, 'waitMs', waitMs === 0 ? 0 : this.#leftMs());
      core.putFlow(request);
      call.waitState().undo = (/** @type {import('./frame').Reply} */ reply) => {
        if (reply.flags & FLAGS.fence) connection.withdrawals.giveBack(reply.fence, call.timeout);
      };
    };
    return core.ask('getOrSet', this.#key, decodeAnswer, others, CLAIM_OPTIONS, fill);
  }

  #leftMs() {
    return Math.max(1, this.#until - now());
  }

  /**
   * @param {Answer} answer
   * @returns {Promise<{ value: any } | null>} the old value, if there is one and the computation failed
   */
  async #computeFor({ token, found }) {
    const { signal } = this.#given;
    try {
      const compute = () => inFlow(this.#core.pipe, token, this.#compute);
      this.#computed = values.encodeComputed(await abortable(compute, signal));
      return null;
    } catch (error) {
      const gaveUp = signal?.aborted === true;
      await this.#release(token, gaveUp || found !== null ? null : reasonOf(error));
      if (found === null || gaveUp) throw inContext(error, 'getOrSet', this.#key);
      return found;
    }
  }

  /**
   * @param {number} token
   * @param {values.Encoded} computed
   * @returns {Promise<boolean>} false: the broker refused the write as too late
   */
  async #write(token, computed) {
    const core = this.#core;
    const options = this.#callOptions();
    try {
      await core.ask(
        'set',
        this.#key,
        () => true,
        options,
        ['timeout'],
        (request, _given, call) => {
          call.operation = 'getOrSet';
          core.putEncoded(request, computed);
          core.putTtl(request, this.#ttl);
          request.fence = token;
          request.flags |= FLAGS.fence;
        },
      );
      return true;
    } catch (error) {
      const code = error instanceof BrokerError ? error.code : '';
      if (code === 'fenced') return false;
      // The lease ended with its broker. A release would wait for the next broker.
      if (code === 'broker_gone') throw error;
      await this.#release(token, UNANSWERED.has(code) ? null : reasonOf(error));
      throw error;
    }
  }

  /**
   * Releases the right to compute. If there is a reason, calls that wait now reject with it.
   * @param {number} token
   * @param {Uint8Array | null} reason
   */
  async #release(token, reason) {
    const decode = () => undefined;
    try {
      const options = this.#callOptions();
      const fill = (
        /** @type {import('./frame').Request} */ request,
        /** @type {any} */ _given,
        /** @type {import('./pending_call').PendingCall} */ call,
      ) => {
        request.fence = token;
        request.flags |= FLAGS.fence;
        request.bytes = reason;
        call.bound = true;
      };
      await this.#core.ask('release', undefined, decode, options, ['timeout'], fill);
    } catch {
      // If the broker is gone or the lease has ended, there is nothing to release.
    }
  }

  #callOptions() {
    const { timeout } = this.#given;
    return timeout === undefined ? undefined : { timeout };
  }
}

/**
 * @param {() => any} run
 * @param {AbortSignal | undefined} signal
 */
async function abortable(run, signal) {
  if (signal === undefined) return run();
  let onAbort = () => {};
  const aborted = new Promise((_resolve, reject) => {
    onAbort = () => reject(signal.reason);
    addAbortListener(signal, onAbort);
  });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([aborted, (async () => run())()]);
  } finally {
    removeAbortListener(signal, onAbort);
  }
}

/**
 * The reason that waiting calls get for a thrown error: its message, or the thrown string, never empty and
 * cut to the broker's limit.
 * @param {any} error
 * @returns {Uint8Array}
 */
function reasonOf(error) {
  const thrown = typeof error === 'string' ? error : error?.message;
  const message = typeof thrown === 'string' ? thrown : '';
  const bytes = Buffer.from(message === '' ? 'It failed without a message.' : message);
  if (bytes.length <= REASON_MAX_BYTES) return bytes;
  let end = REASON_MAX_BYTES;
  // Don't cut inside a character: 10xxxxxx is a continuation byte.
  while ((bytes[end] & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}

/**
 * @param {ClientCore} core
 * @param {string} key
 * @param {unknown} ttl
 * @param {unknown} fn
 * @param {any} options
 */
async function getOrSet(core, key, ttl, fn, options = {}) {
  let computation;
  try {
    const compute = check.checkedFunction(fn, 'The third argument of getOrSet()');
    if (ttl !== undefined && ttl !== null) check.checkedTtl(ttl);
    warnOfShortTtl('getOrSet', ttl);
    computation = new Computation(core, key, ttl, compute, checkedComputing(options));
  } catch (error) {
    throw inContext(error, 'getOrSet', typeof key === 'string' ? key : undefined);
  }
  return computation.run();
}

/** @param {any} options */
function checkedComputing(options) {
  checkNames('getOrSet()', options, COMPUTE_OPTIONS);
  const { computeTtlMs = COMPUTE_TTL_MS, refreshAheadMs, waitMs = Infinity } = options;
  return {
    ...options,
    computeTtlMs: check.checkedTtl(computeTtlMs),
    refreshAheadMs: refreshAheadMs === undefined ? undefined : check.checkedTtl(refreshAheadMs),
    waitMs: check.checkedWait('waitMs', waitMs),
  };
}

/**
 * @param {ClientCore} core
 * @param {string} key
 * @param {unknown} options
 * @param {Decode} decode
 */
function waitFor(core, key, options, decode) {
  return core.ask('waitFor', key, decode, options, WAIT_OPTIONS, (request, given, call) => {
    core.putWait(request, call, 'timeoutMs', given?.timeoutMs ?? Infinity);
  });
}

/**
 * @param {ClientCore} core
 * @param {string} name
 * @param {unknown} n
 * @param {unknown} options
 * @param {Decode} decode
 */
function barrier(core, name, n, options, decode) {
  return core.ask('barrier', name, decode, options, WAIT_OPTIONS, (request, given, call) => {
    request.count = check.checkedNumber('n', n, 1, BARRIER_MAX);
    request.flags |= FLAGS.count;
    core.putWait(request, call, 'timeoutMs', given?.timeoutMs ?? Infinity);
  });
}

/** @type {Decode} */
const decodeThrottled = (_buffer, reply) => ({
  allowed: reply.count !== 0,
  remaining: reply.burst,
  retryAfterMs: endless(reply.wait),
  resetAfterMs: reply.period,
});

/** @param {unknown} duration */
function checkedPeriod(duration) {
  const ms = check.checkedMs('periodMs', duration, 1);
  if (ms <= PERIOD_MAX_MS) return ms;
  throw check.refusal('invalid_request', "periodMs is at most 365 days ('365d').");
}

/**
 * @param {ClientCore} core
 * @param {string} key
 * @param {unknown} options
 */
function throttle(core, key, options) {
  const decode = decodeThrottled;
  const fill = (
    /** @type {import('./frame').Request} */ request,
    /** @type {any} */ given,
    /** @type {import('./pending_call').PendingCall} */ call,
  ) => {
    request.count = check.checkedNumber('limit', given.limit, 1, UNITS_MAX);
    request.period = checkedPeriod(given.periodMs);
    request.flags |= FLAGS.count | FLAGS.period;
    if (given.burst !== undefined) {
      request.burst = check.checkedNumber('burst', given.burst, 1, UNITS_MAX);
      request.flags |= FLAGS.burst;
    }
    if (given.cost !== undefined) {
      request.cost = check.checkedNumber('cost', given.cost, 0);
      request.flags |= FLAGS.cost;
    }
    if ((given.cost ?? 1) > (given.burst ?? given.limit)) {
      const message = 'cost is more than burst (default: limit): it would never be allowed.';
      throw check.refusal('invalid_request', message);
    }
    if (((given.burst ?? given.limit) / given.limit) * request.period > RESET_MAX_MS) {
      const message = 'burst * periodMs / limit is too long: no reply could tell such a time.';
      throw check.refusal('invalid_request', message);
    }
    if (given.waitMs !== undefined) core.putWait(request, call, 'waitMs', given.waitMs);
  };
  return core.ask('throttle', key, decode, options ?? {}, THROTTLE_OPTIONS, fill);
}

module.exports = { barrier, getOrSet, throttle, waitFor };

/** RateLimiter: the API and the results of rate-limiter-flexible, with the points in the broker. */
'use strict';

const { checkNames, defaultClient, invalid } = require('./client.js');
const { Base, RateLimiterRes } = require('./compatible.js');
const { lasting, read, sleep, takeInOrder } = require('./window.js');

const OPTIONS = [
  'points',
  'duration',
  'keyPrefix',
  'blockDuration',
  'execEvenly',
  'execEvenlyMinDelayMs',
  'client',
];

/**
 * @typedef {import('./window').Counter} Counter
 * @typedef {InstanceType<typeof import('../index').RateLimiterRes>} Res
 * @typedef {{ customDuration?: number }} CallOptions
 */

/**
 * @param {number} seconds 0: without an end
 * @returns {number} milliseconds
 */
const ttlOf = (seconds) => (seconds > 0 ? Math.ceil(seconds * 1000) : Infinity);
/** @param {number} ttlMs */
const msBeforeNext = (ttlMs) => (ttlMs === Infinity ? -1 : ttlMs);

/** @param {number} points */
function checkPoints(points) {
  if (Number.isSafeInteger(points)) return;
  // The text that rate-limiter-flexible has.
  throw new Error('Consuming decimal number of points is not supported by this package');
}

class RateLimiter extends Base {
  /** How many calls of `wait` are queued: only the first one of them warns. */
  #waiting = 0;
  /** @type {number} */
  #points = 0;
  /** @type {number} */
  #duration = 0;

  /** @param {import('../index').RateLimiterOptions} options */
  constructor(options) {
    super();
    checkNames('RateLimiter', /** @type {any} */ (options), OPTIONS);
    const { keyPrefix = 'rlflx', client } = options;
    if (typeof keyPrefix !== 'string') throw new Error('keyPrefix must be string');
    this.points = options.points;
    this.duration = options.duration;
    this._keyPrefix = keyPrefix;
    this._client = client;
    this._blockDuration = options.blockDuration ?? 0;
    this._execEvenly = Boolean(options.execEvenly);
    this.execEvenlyMinDelayMs = options.execEvenlyMinDelayMs;
  }

  get points() {
    return this.#points;
  }

  set points(value) {
    if (!Number.isFinite(value)) throw new Error('points must be set and must be a finite number');
    this.#points = value;
  }

  get duration() {
    return this.#duration;
  }

  set duration(value) {
    if (!Number.isFinite(value) || value < 0) {
      throw new Error('duration must be set and must be a finite, non-negative number');
    }
    this.#duration = value;
  }

  get msDuration() {
    return this.duration * 1000;
  }

  // The base class of rate-limiter-flexible has accessors that throw: these have to be accessors, too.
  get keyPrefix() {
    return this._keyPrefix;
  }

  get blockDuration() {
    return this._blockDuration;
  }

  set blockDuration(value) {
    this._blockDuration = value;
  }

  get msBlockDuration() {
    return this.blockDuration * 1000;
  }

  get execEvenly() {
    return this._execEvenly;
  }

  set execEvenly(value) {
    this._execEvenly = value;
  }

  /** @param {string | number} key */
  getKey(key) {
    return this.keyPrefix.length > 0 ? `${this.keyPrefix}:${key}` : String(key);
  }

  /** @param {string} rlKey */
  parseKey(rlKey) {
    return this.keyPrefix.length > 0 ? rlKey.substring(this.keyPrefix.length + 1) : rlKey;
  }

  /**
   * @param {string | number} key
   * @param {number} [points]
   * @param {CallOptions} [options]
   */
  async consume(key, points = 1, options = {}) {
    const res = await this.#add(key, points, options);
    if (res.consumedPoints > this.points) throw await this.#refused(key, points, res);
    if (this.execEvenly && res.msBeforeNext > 0 && !res.isFirstInDuration) {
      const delayMs = this.#evenDelay(res);
      await sleep(delayMs, undefined);
      const { remainingPoints, consumedPoints } = res;
      const leftMs = Math.max(res.msBeforeNext - delayMs, 0);
      return new RateLimiterRes(remainingPoints, leftMs, consumedPoints, false);
    }
    return res;
  }

  /**
   * @param {string | number} key
   * @param {number} [points]
   * @param {CallOptions} [options]
   */
  penalty(key, points = 1, options = {}) {
    return this.#add(key, points, options);
  }

  /**
   * @param {string | number} key
   * @param {number} [points]
   * @param {CallOptions} [options]
   */
  reward(key, points = 1, options = {}) {
    return this.#add(key, -points, options);
  }

  /** @param {string | number} key */
  async get(key) {
    const counter = await read(this.#broker, this.getKey(key));
    return counter === null ? null : this.#result(counter, false);
  }

  /**
   * @param {string | number} key
   * @param {number} points
   * @param {number} [secDuration]
   */
  async set(key, points, secDuration = this.duration) {
    checkPoints(points);
    const ttlMs = ttlOf(secDuration);
    await this.#broker.set(this.getKey(key), points, lasting(ttlMs));
    return new RateLimiterRes(0, msBeforeNext(ttlMs), points, false);
  }

  /**
   * @param {string | number} key
   * @param {number} secDuration
   */
  block(key, secDuration) {
    return this.set(key, Math.floor(this.points) + 1, secDuration);
  }

  /** @param {string | number} key */
  delete(key) {
    return this.#broker.del(this.getKey(key));
  }

  /**
   * @param {string | number} key
   * @param {number} [points]
   * @param {import('../index').WaitOptions} [options]
   */
  async wait(key, points = 1, options = {}) {
    checkNames('wait()', /** @type {any} */ (options), ['signal', 'waitMs']);
    checkPoints(points);
    if (points > this.points) {
      throw invalid(`wait("${key}", ${points}): the limiter has only ${this.points} points.`);
    }
    const ttlMs = ttlOf(this.duration);
    const waitNoticeMs = this.#waiting > 0 ? 0 : undefined;
    this.#waiting += 1;
    try {
      const window = { points, limit: this.points, ttlMs };
      const how = { ...options, waitNoticeMs };
      const counter = await takeInOrder(this.#broker, this.getKey(key), window, how);
      const res = this.#result(counter, this.#isFirst(counter, points, ttlMs));
      if (!counter.granted) throw res;
      return res;
    } finally {
      this.#waiting -= 1;
    }
  }

  get #broker() {
    this._client ??= defaultClient();
    return this._client;
  }

  /**
   * @param {string | number} key
   * @param {number} points
   * @param {CallOptions} options
   */
  async #add(key, points, options) {
    checkPoints(points);
    const { customDuration } = options ?? {};
    const isCustom = customDuration !== undefined && customDuration >= 0;
    const ttlMs = ttlOf(isCustom ? customDuration : this.duration);
    const counter = await this.#broker.incrEntry(this.getKey(key), points, lasting(ttlMs));
    return this.#result(counter, this.#isFirst(counter, points, ttlMs));
  }

  /**
   * @param {Counter} counter
   * @param {number} points
   * @param {number} ttlMs
   */
  #isFirst({ value, ttl }, points, ttlMs) {
    return value === points && ttl === ttlMs;
  }

  /**
   * @param {Counter} counter
   * @param {boolean} isFirst
   */
  #result({ value, ttl }, isFirst) {
    return new RateLimiterRes(Math.max(this.points - value, 0), msBeforeNext(ttl), value, isFirst);
  }

  /**
   * What a refused call rejects with. The first refusal blocks the key for `blockDuration`.
   * @param {string | number} key
   * @param {number} points
   * @param {Res} res
   */
  async #refused(key, points, res) {
    const { consumedPoints } = res;
    if (!(this.blockDuration > 0 && consumedPoints <= this.points + points)) return res;
    const ttlMs = ttlOf(this.blockDuration);
    await this.#broker.set(this.getKey(key), consumedPoints, lasting(ttlMs));
    return new RateLimiterRes(0, ttlMs, consumedPoints, res.isFirstInDuration);
  }

  /**
   * The delay that spreads the remaining calls over the rest of the window, in milliseconds.
   * @param {Res} res
   */
  #evenDelay({ msBeforeNext: restMs, remainingPoints, consumedPoints }) {
    const leastMs = this.execEvenlyMinDelayMs ?? Math.ceil(this.msDuration / this.points);
    const delayMs = Math.ceil(restMs / (remainingPoints + 2));
    return delayMs < leastMs ? consumedPoints * leastMs : delayMs;
  }
}

module.exports = { RateLimiter };

/** Scheduler: runs jobs of all processes within the limits of one name. */
'use strict';

const timers = require('node:timers');

const { BrokerError, checkInteger, checkNames, defaultClient, invalid } = require('./client.js');
const { lasting, takeInOrder } = require('./window.js');

const OPTIONS = [
  'id',
  'maxConcurrent',
  'minTime',
  'reservoir',
  'reservoirRefreshAmount',
  'reservoirRefreshInterval',
  'client',
];
const JOB_OPTIONS = ['weight', 'expiration', 'signal'];

/**
 * @typedef {import('../index').SchedulerOptions} SchedulerOptions
 * @typedef {import('../index').JobOptions} JobOptions
 * @typedef {(...args: any[]) => unknown} Job
 */

/** @param {SchedulerOptions} options */
function check(options) {
  checkNames('Scheduler', /** @type {any} */ (options), OPTIONS);
  const { id, reservoir, reservoirRefreshAmount, reservoirRefreshInterval } = options;
  if (typeof id !== 'string' || id === '') throw invalid('Scheduler: id is a name.');
  checkInteger('Scheduler', 'maxConcurrent', options.maxConcurrent, 1);
  checkInteger('Scheduler', 'minTime', options.minTime, 0);
  checkInteger('Scheduler', 'reservoir', reservoir, 0);
  checkInteger('Scheduler', 'reservoirRefreshAmount', reservoirRefreshAmount, 1);
  checkInteger('Scheduler', 'reservoirRefreshInterval', reservoirRefreshInterval, 1);
  if ((reservoirRefreshAmount === undefined) !== (reservoirRefreshInterval === undefined)) {
    throw invalid(
      'Scheduler: reservoirRefreshAmount and reservoirRefreshInterval need each other.',
    );
  }
}

class Scheduler {
  #options;
  /** @type {import('ephemeral-pipe-broker/client').PipeClient | undefined} */
  #client;
  /** @type {Promise<unknown> | null} */
  #defined = null;
  #stopping = new AbortController();
  #queued = 0;
  #running = 0;
  /** @type {(() => void)[]} resolve what `stop` waits for */
  #onIdle = [];

  /** @param {SchedulerOptions} options */
  constructor(options) {
    check(options);
    this.#options = { ...options };
    this.#client = options.client;
  }

  /**
   * @param {JobOptions | Job} first
   * @param {any[]} rest
   */
  schedule(first, ...rest) {
    const [options, job, args] =
      typeof first === 'function' ? [{}, first, rest] : [first, rest[0], rest.slice(1)];
    return this.#run(options, job, args);
  }

  /** @param {Job} job */
  wrap(job) {
    return (/** @type {any[]} */ ...args) => this.#run({}, job, args);
  }

  async counts() {
    const counts = { running: this.#running, queued: this.#queued };
    if (this.#options.maxConcurrent === undefined) return counts;
    const described = await this.#broker.describe(this.#slots);
    if (described?.kind !== 'semaphore') return counts;
    return { running: described.size - described.free, queued: described.waiting };
  }

  async stop() {
    this.#stopping.abort(this.#stopped());
    if (this.#running + this.#queued === 0) return;
    await new Promise((resolve) => void this.#onIdle.push(() => resolve(undefined)));
  }

  get #broker() {
    this.#client ??= defaultClient();
    return this.#client;
  }

  get #slots() {
    return `scheduler:${this.#options.id}`;
  }

  #stopped() {
    return new BrokerError('draining', `The scheduler "${this.#options.id}" has been stopped.`);
  }

  /**
   * @param {JobOptions} options
   * @param {Job} job
   * @param {unknown[]} args
   */
  async #run(options, job, args) {
    this.#checkJob(options, job);
    if (this.#stopping.signal.aborted) throw this.#stopped();
    const { weight = 1, expiration, signal } = options;
    const waiting = new AbortController();
    const ends = [this.#stopping.signal, ...(signal === undefined ? [] : [signal])];
    const aborted = ends.find((end) => end.aborted);
    if (aborted !== undefined) throw aborted.reason;
    const end = (/** @type {Event} */ event) =>
      waiting.abort(/** @type {AbortSignal} */ (event.target).reason);
    for (const each of ends) each.addEventListener('abort', end);
    const forget = () => ends.forEach((each) => each.removeEventListener('abort', end));

    // Only the job at the head of this process's queue warns of a long wait.
    const wait = { signal: waiting.signal, waitNoticeMs: this.#queued > 0 ? 0 : undefined };
    this.#queued += 1;
    let isQueued = true;
    const dequeue = () => {
      if (!isQueued) return;
      isQueued = false;
      this.#queued -= 1;
      forget();
    };
    try {
      return await this.#inSlot(weight, wait, async () => {
        await this.#takeReservoir(weight, wait);
        await this.#takeTurn(wait.signal);
        dequeue();
        return this.#inTime(job, args, expiration);
      });
    } finally {
      dequeue();
      if (this.#running + this.#queued === 0) this.#onIdle.splice(0).forEach((done) => done());
    }
  }

  /**
   * @param {JobOptions} options
   * @param {unknown} job
   */
  #checkJob(options, job) {
    checkNames('schedule()', /** @type {any} */ (options), JOB_OPTIONS);
    if (typeof job !== 'function') throw invalid('schedule() needs a function.');
    const { weight = 1, expiration } = options;
    checkInteger('schedule()', 'weight', weight, 0);
    checkInteger('schedule()', 'expiration', expiration, 1);
    const { id, maxConcurrent = Infinity, reservoirRefreshAmount = Infinity } = this.#options;
    const most = Math.min(maxConcurrent, reservoirRefreshAmount);
    if (weight > most) {
      const message = `A job of weight ${weight} never fits into the scheduler "${id}" of ${most}.`;
      throw new BrokerError('conflict', message);
    }
  }

  /**
   * Runs within `weight` permits of the semaphore. The permits come first, so their queue is the order of jobs.
   * @param {number} weight
   * @param {{ signal: AbortSignal, waitNoticeMs: number | undefined }} wait
   * @param {() => Promise<unknown>} inside
   */
  async #inSlot(weight, wait, inside) {
    const { maxConcurrent } = this.#options;
    if (maxConcurrent === undefined || weight === 0) return inside();
    const client = this.#broker;
    this.#defined ??= client.limit(this.#slots, maxConcurrent);
    try {
      await this.#defined;
    } catch (error) {
      this.#defined = null;
      throw error;
    }
    return client.withLease(this.#slots, { ...wait, count: weight }, inside);
  }

  /**
   * The first window has `reservoir` units, the others `reservoirRefreshAmount`.
   * @param {number} weight
   * @param {{ signal: AbortSignal, waitNoticeMs: number | undefined }} wait
   */
  async #takeReservoir(weight, wait) {
    const { id, reservoirRefreshAmount, reservoirRefreshInterval = Infinity } = this.#options;
    const { reservoir = reservoirRefreshAmount } = this.#options;
    const limit = reservoirRefreshAmount ?? reservoir;
    if (limit === undefined || reservoir === undefined || weight === 0) return;
    const client = this.#broker;
    const key = `scheduler:${id}:reservoir`;
    const prepare = async () => {
      if (reservoir === limit || (await client.has(`${key}:begun`))) return;
      await client.set(key, limit - reservoir, lasting(reservoirRefreshInterval));
      await client.set(`${key}:begun`, true, Infinity);
    };
    const window = { points: weight, limit, ttlMs: reservoirRefreshInterval, prepare };
    const { granted } = await takeInOrder(client, key, window, wait);
    if (!granted) {
      const message = `The reservoir of the scheduler "${id}" is empty, and nothing refills it.`;
      throw new BrokerError('conflict', message);
    }
  }

  /** @param {AbortSignal} signal */
  async #takeTurn(signal) {
    const { id, minTime = 0 } = this.#options;
    if (minTime === 0) return;
    const pace = { limit: 1, periodMs: minTime, waitMs: Infinity, signal };
    await this.#broker.throttle(`scheduler:${id}`, pace);
  }

  /**
   * @param {Job} job
   * @param {unknown[]} args
   * @param {number | undefined} expirationMs
   */
  async #inTime(job, args, expirationMs) {
    this.#running += 1;
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    try {
      const result = Promise.resolve(job(...args));
      if (expirationMs === undefined) return await result;
      const expired = new Promise((_resolve, reject) => {
        const message = `This job timed out after ${expirationMs} ms.`;
        timer = timers.setTimeout(() => reject(new BrokerError('timeout', message)), expirationMs);
      });
      return await Promise.race([result, expired]);
    } finally {
      timers.clearTimeout(timer);
      this.#running -= 1;
    }
  }
}

module.exports = { Scheduler };

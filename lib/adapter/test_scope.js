/** What one test has taken. */
'use strict';

const { failure } = require('./errors.js');
const { takeOne, takeTokens } = require('./tokens.js');

/**
 * @typedef {import('../adapter').TakeOptions} TakeOptions
 * @typedef {import('../adapter').Taken<any>} Taken
 */

class TestScope {
  #client;
  #options;
  #over = new AbortController();
  /** Requests, granted or not. @type {Set<Promise<Taken>>} */
  #requests = new Set();
  /** @type {Taken | null} */
  #tokens = null;
  /** Those that were granted. @type {Set<Taken>} */
  #taken = new Set();
  /** @type {Promise<void> | null} */
  #ended = null;

  /**
   * @param {import('../index').PipeClient} client
   * @param {Omit<TakeOptions, 'signal'>} options
   */
  constructor(client, options) {
    this.#client = client;
    this.#options = options;
  }

  get signal() {
    return this.#over.signal;
  }

  /** @param {Record<string, import('../adapter').TokenSpec>} specs */
  async take(specs) {
    const options = { ...this.#options, signal: this.signal };
    const taken = await this.#request(() => takeTokens(this.#client, specs, options));
    this.#tokens = taken;
    return taken.values;
  }

  /** @param {import('../adapter').EnvVars} [envVars] */
  env(envVars) {
    return this.#tokens?.env(envVars) ?? {};
  }

  /**
   * @param {string} key
   * @param {Omit<import('../index').AcquireOptions, 'workerId' | 'signal'>} [options]
   */
  async lease(key, options = {}) {
    const { workerId, noticeMs } = this.#options;
    const all = { ...options, workerId, noticeMs, signal: this.signal };
    const taken = await this.#request(() => takeOne(this.#client, key, all));
    return taken.values[key];
  }

  /**
   * @param {() => Promise<Taken>} take
   * @returns {Promise<Taken>}
   */
  async #request(take) {
    this.signal.throwIfAborted();
    const request = take();
    this.#requests.add(request);
    const taken = await request;
    this.#taken.add(taken);
    // It was granted as the test ended: `end` releases it.
    this.signal.throwIfAborted();
    return taken;
  }

  /** @param {string} [during] */
  check(during) {
    for (const taken of this.#taken) taken.check(during);
  }

  /**
   * @param {{ during?: string }} [options]
   * @returns {Promise<void>}
   */
  end(options = {}) {
    this.#ended ??= this.#end(options);
    return this.#ended;
  }

  /** @param {{ during?: string }} options */
  async #end(options) {
    this.#over.abort(failure('timeout', 'The test is over, so nothing is leased to it.'));
    const requests = await Promise.allSettled(this.#requests);
    const granted = requests.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const releases = await Promise.allSettled(granted.map((taken) => taken.release(options)));
    const failed = releases.find(({ status }) => status === 'rejected');
    if (failed !== undefined) throw /** @type {PromiseRejectedResult} */ (failed).reason;
  }
}

module.exports = { TestScope };

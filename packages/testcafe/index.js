/**
 * The adapter for TestCafe: its global hooks. One process holds all browsers, so each test run has a scope of
 * its own, and the run of the broker is shared by the jobs of all browsers.
 */
'use strict';

const { TestScope, ensureRun } = require('ephemeral-pipe-broker/adapter');
const { BrokerError } = require('ephemeral-pipe-broker/client');

/**
 * @typedef {import('./index').RunOptions} RunOptions
 * @typedef {import('./index').TestCafeHooks} TestCafeHooks
 * @typedef {import('./index').TestController} TestController
 * @typedef {import('ephemeral-pipe-broker/adapter').Run} Run
 */

/** @param {string} message */
const invalid = (message) => new BrokerError('invalid_request', `invalid_request: ${message}`);

/** @param {RunOptions} options */
function checkOptions({ shard, envVars }) {
  if (shard === true) {
    const instead = 'Give shard: { index, total }.';
    throw invalid(`TestCafe has no shards, so shard: true splits nothing. ${instead}`);
  }
  if (!envVars) return;
  throw invalid(
    'TestCafe runs all tests in one process, so a variable cannot hold the tokens of one test: ' +
      'use t.ctx.tokens.',
  );
}

/** The run, for as long as a job of a browser uses it. */
class Jobs {
  #options;
  #count = 0;
  /** @type {Promise<Run> | null} */
  #starting = null;

  /** @param {RunOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /** @returns {Promise<Run>} */
  start() {
    this.#count++;
    return this.run();
  }

  /**
   * With `concurrency`, TestCafe starts other tests while testRun.before of the first still runs.
   * @returns {Promise<Run>}
   */
  run() {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  async #start() {
    checkOptions(this.#options);
    const run = ensureRun(this.#options, { adapter: 'testcafe' });
    try {
      await run.ready();
      await run.check();
    } catch (error) {
      await run.stop();
      throw error;
    }
    return run;
  }

  async end() {
    this.#count--;
    if (this.#count > 0) return;
    const starting = this.#starting;
    this.#starting = null;
    // testRun.before has reported why there is none.
    const run = await starting?.catch(() => null);
    await run?.endRun().finally(() => run.stop());
  }
}

/**
 * A browser's connection; TestCafe does not document it.
 * @param {TestController} t
 */
const workerOf = (t) => `testcafe:${t.testRun?.browserConnection?.id ?? process.pid}`;

/** @param {TestController} t */
const titleOf = (t) => `"${t.testRun?.test?.name ?? 'this test'}"`;

/**
 * TestCafe starts a test although a global hook before it has failed: the test then fails where it reads its
 * tokens, and uses no account of another test.
 * @param {TestController} t
 * @param {unknown} error
 */
function refuse(t, error) {
  const get = () => {
    throw error;
  };
  for (const name of ['tokens', 'lease']) {
    Object.defineProperty(t.ctx, name, { configurable: true, get });
  }
}

/** @param {RunOptions} options */
function testHooks(options, /** @type {Jobs} */ jobs) {
  const { tokens = {}, pools, values, limits, waitMs, noticeMs } = options;
  const known = [pools, values, limits].flatMap((all) => Object.keys(all ?? {}));
  /** By context of a test run. @type {WeakMap<object, TestScope>} */
  const scopes = new WeakMap();
  return {
    /** @param {TestController} t */
    async before(t) {
      try {
        const run = await jobs.run();
        const workerId = workerOf(t);
        const scope = new TestScope(run.client, { workerId, waitMs, noticeMs, known });
        scopes.set(t.ctx, scope);
        t.ctx.lease = scope.lease.bind(scope);
        t.ctx.tokens = await scope.take(tokens);
      } catch (error) {
        refuse(t, error);
        throw error;
      }
    },
    /** @param {TestController} t */
    async after(t) {
      await scopes.get(t.ctx)?.end({ during: titleOf(t) });
    },
  };
}

/**
 * @template {any[]} A
 * @param {((...args: A) => unknown) | undefined} first
 * @param {((...args: A) => unknown) | undefined} second
 * @returns {(...args: A) => Promise<void>}
 */
function inTurn(first, second) {
  return async (...args) => {
    await first?.(...args);
    await second?.(...args);
  };
}

/**
 * The second runs although the first fails.
 * @template {any[]} A
 * @param {((...args: A) => unknown) | undefined} first
 * @param {(...args: A) => unknown} second
 * @returns {(...args: A) => Promise<void>}
 */
function andFinally(first, second) {
  return async (...args) => {
    try {
      await first?.(...args);
    } finally {
      await second(...args);
    }
  };
}

/**
 * @param {RunOptions} options
 * @param {TestCafeHooks} [hooks]
 * @returns {TestCafeHooks}
 */
function brokerHooks(options, hooks = {}) {
  const jobs = new Jobs(options);
  const test = testHooks(options, jobs);
  const start = /** @type {(ctx: any) => Promise<void>} */ (async () => void (await jobs.start()));
  return {
    ...hooks,
    testRun: {
      ...hooks.testRun,
      before: inTurn(start, hooks.testRun?.before),
      after: andFinally(hooks.testRun?.after, () => jobs.end()),
    },
    test: {
      ...hooks.test,
      before: inTurn(test.before, hooks.test?.before),
      after: andFinally(hooks.test?.after, test.after),
    },
  };
}

module.exports = { brokerHooks };

/**
 * The adapter for Mocha: a broker for the run, and tokens for each file (`--parallel`) or for the run. The main
 * process calls the global fixtures. Each worker, or the only process, calls the root hooks.
 */
'use strict';

const {
  TestScope,
  ensureRun,
  getToken,
  lazyWorker,
  takeTokens,
} = require('ephemeral-pipe-broker/adapter');
const { BrokerError } = require('ephemeral-pipe-broker/client');

/**
 * @typedef {import('./index').RunOptions} RunOptions
 * @typedef {import('ephemeral-pipe-broker/adapter').Run} Run
 * @typedef {import('ephemeral-pipe-broker/adapter').Taken<any>} Taken
 */

/** The first hook in which a test file finds its tokens. */
const FROM = 'the root beforeAll hook';
/** Names that test libraries and printers ask any object for. */
const ASKED = new Set(['then', 'toJSON', 'inspect', 'nodeType', 'asymmetricMatch']);

const workerId = () => `mocha:${process.env.MOCHA_WORKER_ID ?? 0}`;
const lazy = lazyWorker(() => ({ adapter: 'mocha', workerId: workerId() }));

/** The tokens of the present file, or of the run; null before the root hook. @type {Taken | null} */
let taken = null;

/** Reads the present tokens, so that a test file may destructure the export while it loads. */
const tokens = new Proxy(/** @type {Record<string, any>} */ ({}), {
  get(target, name) {
    if (typeof name === 'symbol' || name in target || ASKED.has(name)) {
      return Reflect.get(taken?.values ?? target, name);
    }
    return getToken(taken, name, FROM);
  },
  has: (_, name) => taken !== null && name in taken.values,
  ownKeys: () => Reflect.ownKeys(taken?.values ?? {}),
  getOwnPropertyDescriptor(_, name) {
    const found = Reflect.getOwnPropertyDescriptor(taken?.values ?? {}, name);
    return found && { ...found, configurable: true };
  },
});

/** @param {string} message */
const invalid = (message) => new BrokerError('invalid_request', `invalid_request: ${message}`);

/** @param {RunOptions} options */
function checkShard({ shard }) {
  if (shard !== true) return;
  throw invalid(
    'Mocha has no shards, so shard: true splits nothing. Give shard: { index, total }.',
  );
}

/** @param {any} context of a hook around a test */
const titleOf = (context) => `"${context.currentTest.fullTitle()}"`;

/** @param {RunOptions} options */
function globalFixtures(options) {
  /** @type {Run | null} */
  let run = null;
  return {
    async mochaGlobalSetup() {
      checkShard(options);
      run = ensureRun(options, { adapter: 'mocha' });
      try {
        await run.ready();
        await run.check();
      } catch (error) {
        // Mocha calls no teardown then.
        await run.stop();
        throw error;
      }
    },
    async mochaGlobalTeardown() {
      await lazy.close();
      const ended = run;
      run = null;
      await ended?.endRun().finally(() => ended.stop());
    },
  };
}

/** @param {RunOptions} options */
function rootHooks({ tokens: specs = {}, envVars, pools, values, limits, waitMs, noticeMs }) {
  const known = [pools, values, limits].flatMap((all) => Object.keys(all ?? {}));
  /** Whether a test has failed because of a lost lease. */
  let isToldOf = false;
  return {
    /** @this {any} */
    async beforeAll() {
      this.timeout(0);
      const options = { workerId: workerId(), known, waitMs, noticeMs };
      taken = await takeTokens(lazy.client, specs, options);
      isToldOf = false;
      Object.assign(process.env, taken.env(envVars));
    },
    beforeEach() {
      taken?.check('a test before');
    },
    /** @this {any} */
    afterEach() {
      try {
        taken?.check(titleOf(this));
      } catch (error) {
        isToldOf = true;
        // Fails the test itself, where a throw would fail the hook.
        this.test.error(error);
      }
    },
    /** @this {any} */
    async afterAll() {
      this.timeout(0);
      const released = taken;
      taken = null;
      if (released === null) return;
      for (const name of Object.keys(released.env(envVars))) delete process.env[name];
      await released.release({ during: 'this file' }).catch((error) => {
        if (!isToldOf) throw error;
      });
    },
  };
}

/** @param {RunOptions} [options] */
function plugin(options = {}) {
  return { ...globalFixtures(options), mochaHooks: () => rootHooks(options) };
}

/**
 * @param {string} key
 * @param {import('ephemeral-pipe-broker').AcquireOptions} [options]
 */
function leased(key, options = {}) {
  /** @type {{ scope: TestScope, value: any } | null} */
  let current = null;
  const hooks = {
    get value() {
      if (current !== null) return current.value;
      throw invalid(`leased("${key}").value works in a test only.`);
    },
    /** @this {any} */
    async beforeEach() {
      this.timeout(0);
      const scope = new TestScope(lazy.client, { workerId: workerId() });
      current = { scope, value: await scope.lease(key, options) };
    },
    /** @this {any} */
    async afterEach() {
      this.timeout(0);
      const ended = current;
      current = null;
      try {
        await ended?.scope.end({ during: titleOf(this) });
      } catch (error) {
        this.test.error(error);
      }
    },
    install() {
      const { beforeEach, setup, afterEach, teardown } = /** @type {any} */ (globalThis);
      const before = beforeEach ?? setup;
      if (before === undefined) {
        throw invalid(
          'install() works in a test file, with the hooks of the interfaces bdd and tdd.',
        );
      }
      before(hooks.beforeEach);
      (afterEach ?? teardown)(hooks.afterEach);
      return hooks;
    },
  };
  return hooks;
}

const { mochaGlobalSetup, mochaGlobalTeardown, mochaHooks } = plugin();
const broker = lazy.client;

module.exports = {
  broker,
  leased,
  mochaGlobalSetup,
  mochaGlobalTeardown,
  mochaHooks,
  plugin,
  tokens,
};

/** The fixtures: `broker` and `tokens` of a worker, `lease` of a test, and those that `leased` makes. */
'use strict';

const base = require('@playwright/test');
const { TestScope, takeTokens, worker } = require('ephemeral-pipe-broker/adapter');

const { main } = require('./main.js');

/**
 * @typedef {import('ephemeral-pipe-broker').PipeClient} PipeClient
 * @typedef {import('@playwright/test').TestInfo} TestInfo
 * @typedef {{ parallelIndex: number }} Info
 * @typedef {(value: any) => Promise<void>} Use
 */

/** What the worker holds for all its tests. @type {Set<{ check(during?: string): void }>} */
const heldByWorker = new Set();

/** @param {Info} info */
const idOf = ({ parallelIndex }) => `pw:${parallelIndex}`;

/** @param {Info} info */
function takeOptions(info) {
  const { waitMs, noticeMs } = main().options;
  return { workerId: idOf(info), waitMs, noticeMs };
}

/**
 * The end of what a worker holds: its tests no longer check it.
 * @param {{ check(during?: string): void }} held
 * @param {() => Promise<void>} work
 */
async function whileHeld(held, work) {
  heldByWorker.add(held);
  try {
    await work();
  } finally {
    heldByWorker.delete(held);
  }
}

/** Sets variables. @returns {() => void} puts back what was there */
function exported(/** @type {Record<string, string>} */ variables) {
  const before = Object.keys(variables).map((name) => [name, process.env[name]]);
  Object.assign(process.env, variables);
  return () => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[/** @type {string} */ (name)];
      else process.env[/** @type {string} */ (name)] = value;
    }
  };
}

/**
 * Calls do not use up the time limit of the test.
 * @param {TestInfo} info
 * @param {(...args: any[]) => Promise<any>} call
 */
function untimed(info, call) {
  let waiting = 0;
  let limitMs = 0;
  let began = 0;
  return async (/** @type {any[]} */ ...args) => {
    if (waiting++ === 0) {
      limitMs = info.timeout;
      began = performance.now();
      info.setTimeout(0);
    }
    try {
      return await call(...args);
    } finally {
      // A limit that the test has set meanwhile is the test's.
      if (--waiting === 0 && limitMs !== 0 && info.timeout === 0) {
        info.setTimeout(limitMs + Math.ceil(performance.now() - began));
      }
    }
  };
}

/** @param {{ title: string }} info */
const quoted = ({ title }) => JSON.stringify(title);

/** @type {any} */
const fixtures = {
  broker: [
    async ({}, /** @type {Use} */ use, /** @type {Info} */ info) => {
      const client = worker({ adapter: 'playwright', workerId: idOf(info) });
      await use(client);
      await client.close();
    },
    { scope: 'worker' },
  ],

  tokens: [
    async (
      /** @type {{ broker: PipeClient }} */ { broker },
      /** @type {Use} */ use,
      /** @type {Info} */ info,
    ) => {
      const { tokens = {}, envVars } = main().options;
      const taken = await takeTokens(broker, tokens, takeOptions(info));
      const putBack = exported(taken.env(envVars));
      await whileHeld(taken, () => use(taken.values));
      putBack();
      await taken.release();
    },
    { scope: 'worker', timeout: 0, title: 'tokens of the broker' },
  ],

  lease: async (
    /** @type {{ broker: PipeClient }} */ { broker },
    /** @type {Use} */ use,
    /** @type {TestInfo} */ info,
  ) => {
    const options = takeOptions(info);
    const scope = new TestScope(broker, options);
    const lease = (/** @type {string} */ key, /** @type {object} */ own) =>
      scope.lease(key, { waitMs: options.waitMs, ...own });
    await use(untimed(info, lease));
    await scope.end({ during: quoted(info) });
  },

  brokerCheck: [
    async ({}, /** @type {() => Promise<void>} */ use, /** @type {TestInfo} */ info) => {
      await use();
      for (const held of heldByWorker) held.check(quoted(info));
    },
    { auto: true, box: true },
  ],
};

const test = base.test.extend(fixtures);

/**
 * A fixture that leases an element. Its wait has no time limit.
 * @param {string} key
 * @param {{ scope?: 'test' | 'worker', waitMs?: any }} [options]
 */
function leased(key, { scope: of = 'test', ...own } = {}) {
  const fixture = async (
    /** @type {{ broker: PipeClient }} */ { broker },
    /** @type {Use} */ use,
    /** @type {any} */ info,
  ) => {
    const options = takeOptions(info);
    const scope = new TestScope(broker, options);
    const value = await scope.lease(key, { waitMs: options.waitMs, ...own });
    if (of === 'worker') await whileHeld(scope, () => use(value));
    else await use(value);
    await scope.end(of === 'worker' ? {} : { during: quoted(info) });
  };
  return [fixture, { scope: of, timeout: 0, title: `lease of ${JSON.stringify(key)}` }];
}

module.exports = { leased, test };

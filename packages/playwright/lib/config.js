/** Adds the broker to a configuration. */
'use strict';

const { main } = require('./main.js');

const file = (/** @type {string} */ name) => require.resolve(`./${name}.js`);

/** @param {any} value a value, a list, or nothing */
function listOf(value) {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value];
}

/**
 * The reporters of a configuration. With a reporter that prints nothing, Playwright would no longer print as
 * it does without a configured one.
 * @param {any} reporter
 */
function reportersOf(reporter) {
  if (reporter === undefined) return [[process.env.CI ? 'dot' : 'list']];
  return Array.isArray(reporter) ? reporter : [[reporter]];
}

/**
 * The broker starts here, in the main process, because Playwright starts `webServer` before any global setup.
 * @template {import('@playwright/test').PlaywrightTestConfig<any, any>} T
 * @param {T} config
 * @param {import('ephemeral-pipe-broker/adapter').RunOptions} [options]
 * @returns {T}
 */
function withBroker(config, options = {}) {
  if (typeof config !== 'object' || config === null) {
    throw new TypeError('withBroker(config, options): config is an object.');
  }
  if (process.env.TEST_WORKER_INDEX === undefined) main().open(options);
  else main().options = options;
  return {
    ...config,
    globalSetup: [file('global_setup'), ...listOf(config.globalSetup), file('global_check')],
    reporter: [...reportersOf(config.reporter), [file('reporter')]],
  };
}

module.exports = { withBroker };

/**
 * For jest.config.js: `withBroker`. For environments: `withBrokerEnvironment`. For test files: `broker`,
 * `brokerTokens` and `getToken`. Jest loads this module anew for each test file, so it loads parts when
 * they are used.
 */
'use strict';

const test = require('./lib/in_test.js');

/**
 * @param {any} config
 * @param {import('ephemeral-pipe-broker/adapter').RunOptions} [options]
 */
exports.withBroker = (config, options) => require('./lib/config.js').withBroker(config, options);

/** @param {any} Base */
exports.withBrokerEnvironment = (Base) =>
  require('./lib/environment_mixin.js').withBrokerEnvironment(Base);

/** @param {string} alias */
exports.getToken = (alias) => test.getToken(alias);

// Node finds the names of getters in this form, for `import { broker }`.
Object.defineProperty(exports, 'broker', {
  enumerable: true,
  get: function () {
    return test.broker;
  },
});
Object.defineProperty(exports, 'brokerTokens', {
  enumerable: true,
  get: function () {
    return test.brokerTokens;
  },
});

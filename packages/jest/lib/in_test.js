/** What a test file uses. This module belongs to the realm of the file. */
'use strict';

/** @type {any} */
const realm = globalThis;
/** @type {any} */
let client;

const NO_TOKENS =
  "invalid_request: This file's environment has no tokens. Start the file with " +
  '/** @jest-environment @ephemeral-broker/jest/environment */, or environment-jsdom.';

module.exports = {
  /** The client of this file; Jest's environment ends it. Undefined in jest.config.js. */
  get broker() {
    if (!process.env.EPHEMERAL_PIPE) return undefined;
    if (client === undefined) {
      const { PipeClient } = require('ephemeral-pipe-broker/client');
      client = new PipeClient(null, { workerId: `jest:${process.env.JEST_WORKER_ID ?? '1'}` });
    }
    return client;
  },

  get brokerTokens() {
    return Object.hasOwn(realm, 'brokerTokens') ? realm.brokerTokens : undefined;
  },

  /** @param {string} alias */
  getToken(alias) {
    const tokens = module.exports.brokerTokens;
    if (tokens === undefined) throw new Error(NO_TOKENS);
    if (Object.hasOwn(tokens, alias)) return tokens[alias];
    const { getToken } = require('ephemeral-pipe-broker/adapter');
    return getToken({ values: tokens }, alias);
  },
};

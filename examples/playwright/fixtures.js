/**
 * The fixtures of the tests: an account that no other test uses at the same time, and a session that is
 * created once for all workers.
 */
'use strict';

const { randomUUID } = require('node:crypto');
const { expect, test: base } = require('@playwright/test');
const { PipeClient } = require('ephemeral-pipe-broker');

const RUN_TTL = 10 * 60_000;

const test = base.extend({
  broker: [
    // eslint-disable-next-line no-empty-pattern -- Playwright reads the fixture's dependencies here
    async ({}, use) => {
      const broker = new PipeClient();
      await use(broker);
      await broker.close();
    },
    { scope: 'worker' },
  ],

  session: [
    async ({ broker }, use) => {
      const logIn = async () => {
        await broker.incr('log-ins', 1, RUN_TTL);
        return { user: 'admin', token: randomUUID() };
      };
      await use(await broker.getOrSet('session', RUN_TTL, logIn));
    },
    { scope: 'worker' },
  ],

  // Waits for an account; it is released after the test, even if the test fails or its worker dies.
  account: async ({ broker }, use) => {
    await broker.withLease('accounts', use);
  },
});

module.exports = { RUN_TTL, expect, test };

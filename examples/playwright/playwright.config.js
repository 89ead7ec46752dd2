/**
 * Four workers share two accounts:
 *
 *   npx ephemeral-pipe-broker start -- npx playwright test --config examples/playwright
 *
 * The tests open no page, so no browser is needed; `page` would be another fixture.
 */
'use strict';

const { defineConfig } = require('@playwright/test');

module.exports = defineConfig({
  testDir: './tests',
  fullyParallel: true,
  workers: 4,
  reporter: 'line',
  globalSetup: require.resolve('./setup.js'),
  globalTeardown: require.resolve('./teardown.js'),
});

/** The adapter for Playwright Test. */
'use strict';

const { defineConfig, expect, mergeTests } = require('@playwright/test');

const { leased, test } = require('./lib/fixtures.js');
const { withBroker } = require('./lib/config.js');

module.exports = { defineConfig, expect, leased, mergeTests, test, withBroker };

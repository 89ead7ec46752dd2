/** The first global setup: stores pools and values. Its result is a global teardown. */
'use strict';

const { main } = require('./main.js');

/** @param {import('@playwright/test').FullConfig} config */
module.exports = async (config) => {
  await main().ready(config.shard);
  return () => main().endRun();
};

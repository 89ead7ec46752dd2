/** The exports of `ephemeral-pipe-broker/adapter`, for authors of adapters (docs/adapters.md). */
'use strict';

const { lazyWorker } = require('./lazy_worker.js');
const { ensureRun } = require('./run.js');
const { TestScope } = require('./test_scope.js');
const { acquireNoticed, getToken, takeTokens, worker } = require('./tokens.js');

module.exports = {
  TestScope,
  acquireNoticed,
  ensureRun,
  getToken,
  lazyWorker,
  takeTokens,
  worker,
};

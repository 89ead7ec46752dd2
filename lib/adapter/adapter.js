/** The exports of `ephemeral-pipe-broker/adapter`, for authors of adapters (docs/adapters.md). */
'use strict';

const { ensureRun } = require('./run.js');
const { acquireNoticed, getToken, takeTokens, worker } = require('./tokens.js');

module.exports = { acquireNoticed, ensureRun, getToken, takeTokens, worker };

/**
 * Starts the broker and stores what the options name. A globalSetup that replaces this one calls it first:
 * a second call of the same run changes nothing.
 */
'use strict';

const { start } = require('./lib/main_process.js');

module.exports = start;

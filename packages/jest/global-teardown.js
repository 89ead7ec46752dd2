/** Ends the run: `cleanup`, then the broker. */
'use strict';

const { stop } = require('./lib/main_process.js');

module.exports = stop;

/** The last global setup: a token whose key nothing has fails the run before its first test. */
'use strict';

const { main } = require('./main.js');

module.exports = () => main().check();

'use strict';

/* Every snippet of the README runs, and prints what the README says. */

const { testDocument } = require('./snippets.js');

testDocument('README.md');

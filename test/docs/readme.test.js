'use strict';

/* Every snippet of the README and of docs/ runs, and prints what the document says. */

const { find } = require('../../scripts/files.js');
const { testDocument } = require('./snippets.js');

testDocument('README.md');
find('docs', /^docs\/[^/]+\.md$/).forEach(testDocument);

'use strict';

/* Each error code has a page in docs/errors, and what the page says of the message is true. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const { ROOT, find } = require('../../scripts/files.js');
const { BrokerError } = require('../../lib/index.js');
const { load } = require('../../lib/binding.js');
const { testDocument } = require('./snippets.js');

const statuses = load().statuses.filter(({ code }) => code !== 'ok');
const pages = find('docs/errors', /\.md$/);
const page = (code) => `docs/errors/${code}.md`;
const read = (file) => fs.readFileSync(path.join(ROOT, file), 'utf8');

test('each code has a page, and each page a code', () => {
  const expected = [...statuses.map(({ code }) => page(code)), page('README')];
  assert.deepEqual(pages, expected.sort());
});

test('a page begins with its code and the sentence of the status table', () => {
  for (const { code, message } of statuses) {
    assert.ok(read(page(code)).startsWith(`# \`${code}\`\n\n> ${message}\n\n`), code);
  }
});

test('a page has the usual causes and what to do', () => {
  for (const { code } of statuses) {
    const heads = read(page(code)).match(/^## .*$/gm);
    assert.deepEqual(heads.slice(0, 2), ['## Usual causes', '## What to do'], code);
  }
});

test('`docs` of an error names the page, in the package that users install', () => {
  for (const { code } of statuses) {
    const { docs } = new BrokerError(code, 'a message');
    assert.equal(docs, `ephemeral-pipe-broker/${page(code)}`);
    assert.equal(require.resolve(docs), path.join(ROOT, page(code)));
  }
});

test('`docs` is the same for every error of a code: it costs an error nothing', () => {
  const error = new BrokerError('timeout', 'a message');
  assert.ok(!Object.hasOwn(error, 'docs'));
  assert.equal(
    typeof Object.getOwnPropertyDescriptor(BrokerError.prototype, 'docs').get,
    'function',
  );
});

pages.forEach(testDocument);

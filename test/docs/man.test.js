'use strict';

/* The man page is well-formed, names every command and flag, and is read as a page. */

const assert = require('node:assert/strict');
const { execFileSync, spawnSync } = require('node:child_process');
const path = require('node:path');
const { test } = require('node:test');

const { ROOT } = require('../../scripts/files.js');
const { tables } = require('../../scripts/tables.js');

/** Bold is a character, a backspace and the character again. */
const OVERSTRUCK = new RegExp(`.${String.fromCharCode(8)}`, 'gu');
const PAGE = path.join(ROOT, 'man/epb.1');

test('mandoc finds nothing to warn of', () => {
  const { status, stdout, stderr } = spawnSync('mandoc', ['-Tlint', '-W', 'warning', PAGE], {
    encoding: 'utf8',
  });
  assert.deepEqual([status, stdout, stderr], [0, '', '']);
});

test('every command and every flag has an entry', () => {
  const text = execFileSync('mandoc', ['-Tutf8', '-O', 'width=200', PAGE], { encoding: 'utf8' })
    .replaceAll(OVERSTRUCK, '')
    .replaceAll('‐', '-');
  const { commands, options } = tables();
  const used = new Set(commands.flatMap((command) => command.options));
  const flags = options.filter((_, place) => used.has(place));
  for (const { usage } of [...commands, ...flags]) {
    const escaped = usage.replaceAll(/[^\w -]/g, '\\$&');
    assert.match(text, new RegExp(`^ +${escaped}(?: |$)`, 'm'));
  }
});

test('package.json installs it', () => {
  const { files, man } = require('../../package.json');
  assert.equal(path.join(ROOT, man), PAGE);
  assert.ok(files.includes('man'));
});

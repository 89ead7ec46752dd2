'use strict';

/* The README's tables of options are those of the code. */

const assert = require('node:assert/strict');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { test } = require('node:test');

test('README.md has the options of lib/options.js', () => {
  const program = path.resolve(__dirname, '../../scripts/docs');
  const { status, stderr } = spawnSync(process.execPath, [program, '--check'], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
});

'use strict';

/* The generated parts of docs/ are those of the code. */

const assert = require('node:assert/strict');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { test } = require('node:test');

test('docs/ has the options and the error codes of the code', () => {
  const program = path.resolve(__dirname, '../../scripts/docs');
  const { status, stderr } = spawnSync(process.execPath, [program, '--check'], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
});

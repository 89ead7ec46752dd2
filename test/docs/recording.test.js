'use strict';

/* The picture of the README shows what a run prints. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { test } = require('node:test');

const { ROOT } = require('../../scripts/files.js');

test('docs/recording.svg shows what the example prints', () => {
  const program = path.join(ROOT, 'scripts/recording');
  // Only the words count, on however slow a machine.
  const env = { ...process.env, CLIENT_TIMEOUT: '120s' };
  const { status, stderr } = spawnSync(process.execPath, [program, '--check'], {
    encoding: 'utf8',
    env,
  });
  assert.equal(status, 0, stderr);
});

test('a reader who does not see it can read its words', () => {
  const picture = fs.readFileSync(path.join(ROOT, 'docs/recording.svg'), 'utf8');
  assert.match(
    picture,
    /^<svg [^>]*role="img" aria-labelledby="t d">\n<title id="t">[^<]+<\/title>/,
  );
  assert.ok(picture.length < 4096, 'it is small');
});

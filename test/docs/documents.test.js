'use strict';

/* Every snippet of the documents in docs/ runs, and prints what the document says. */

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const { Broker, PipeClient } = require('../../lib/index.js');
const { ROOT, find } = require('../../scripts/files.js');
const { testDocument } = require('./snippets.js');

find('docs', /^docs\/[^/]+\.md$/).forEach(testDocument);

test('docs/ci.md lets Turborepo pass on each variable that `start` sets', () => {
  const program = path.join(ROOT, 'bin/ephemeral-pipe-broker.js');
  const show = [process.execPath, '-p', 'JSON.stringify(Object.keys(process.env))'];
  const { stdout } = spawnSync(process.execPath, [program, 'start', '--', ...show], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, TMPDIR: process.env.TMPDIR },
  });
  const added = JSON.parse(stdout).filter((name) => name.startsWith('EPHEMERAL_'));
  const document = fs.readFileSync(path.join(ROOT, 'docs/ci.md'), 'utf8');
  const [, passed] = /"globalPassThroughEnv": (\[.*\])/.exec(document);
  assert.deepEqual(JSON.parse(passed).sort(), added.sort());
});

test('each method is named in docs/api.md or docs/leases.md', () => {
  const text = ['docs/api.md', 'docs/leases.md']
    .map((file) => fs.readFileSync(path.join(ROOT, file), 'utf8'))
    .join('\n');
  const methods = [PipeClient, Broker].flatMap(({ prototype }) =>
    Object.getOwnPropertyNames(prototype).filter((name) => name !== 'constructor'),
  );
  const missing = methods.filter((name) => !new RegExp(`\\b${name}\\b`).test(text));
  assert.deepEqual(missing, []);
});

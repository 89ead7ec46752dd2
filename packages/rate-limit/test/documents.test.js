/** The snippets of the README, and examples/rate-limit. */
'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');

const { testDocument } = require('../../../test/docs/snippets.js');
const { ROOT, launchCli, leftovers, scratch } = require('../../../test/helpers/cli.js');

testDocument('packages/rate-limit/README.md');

test('examples/rate-limit: three requests in each window', async (t) => {
  const folder = scratch(t);
  const began = performance.now();
  const program = path.join(ROOT, 'examples/rate-limit/main.js');
  const command = ['start', '--', process.execPath, program];
  const { code, stdout, stderr } = await launchCli(command, { env: { TMPDIR: folder } }).result();
  assert.deepEqual([code, stderr], [0, '']);
  const requests = stdout.match(/^request [123] of \d+ at \d+$/gm);
  assert.equal(new Set(requests.map((line) => line.replace(/ at .*/, ''))).size, 12);
  // Twelve requests are four windows: the last begins after three of 200 ms.
  assert.ok(performance.now() - began >= 600);
  assert.deepEqual(leftovers(folder), []);
});

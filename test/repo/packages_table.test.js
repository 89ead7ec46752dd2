// The table of packages in docs/adapters.md names each adapter, with the version that its test installs.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const { ROOT } = require('../../scripts/files.js');

const text = fs.readFileSync(path.join(ROOT, 'docs/adapters.md'), 'utf8');
const rows = text.match(/^\| .* \|$/gm);

test('each package of a runner has a row with the version that is tested', () => {
  for (const folder of fs.readdirSync(path.join(ROOT, 'packages'))) {
    const manifest = path.join(ROOT, 'test/e2e', folder, 'package.json');
    if (folder === 'ephemeral-pipe-client' || !fs.existsSync(manifest)) continue;
    const row = rows.find((each) => each.includes(`\`@ephemeral-broker/${folder}\``));
    assert.ok(row, `packages/${folder} has a row`);
    const [, name, version] = /\| `([^`]+)` ([\d.]+) \|$/.exec(row);
    assert.equal(version, require(manifest).dependencies[name], folder);
  }
});

test('the row of pytest has the versions that its test installs', () => {
  const pins = fs.readFileSync(path.join(ROOT, 'examples/python/requirements-test.txt'), 'utf8');
  const row = rows.find((each) => each.startsWith('| pytest |'));
  for (const [, name, version] of row.matchAll(/`(pytest[\w-]*)` ([\d.]+)/g)) {
    assert.ok(pins.includes(`${name}==${version}\n`), name);
  }
});

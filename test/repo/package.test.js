// What package.json and the lock file promise.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const { ROOT } = require('../../scripts/files.js');

const manifest = require('../../package.json');
const pins = require('../../scripts/deps.json');

test('node-gyp-build is the only thing a user installs besides us', () => {
  assert.deepEqual(Object.keys(manifest.dependencies), ['node-gyp-build']);
  assert.equal(manifest.optionalDependencies, undefined);
  assert.equal(manifest.peerDependencies, undefined);
});

test('every dependency is pinned', () => {
  const all = { ...manifest.dependencies, ...manifest.devDependencies };
  const loose = Object.entries(all).filter(
    ([name, version]) => name !== manifest.name && !/^\d+\.\d+\.\d+$/.test(version),
  );
  assert.deepEqual(loose, []);
});

test('the lock file names no registry', () => {
  const lock = fs.readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8');
  assert.doesNotMatch(lock, /"resolved": "https?:/);
  assert.equal(JSON.parse(lock).version, manifest.version);
});

test('all four commands are one program', () => {
  assert.deepEqual(Object.keys(manifest.bin).sort(), [
    'brokerctl',
    'epb',
    'ephemeral-broker',
    'ephemeral-pipe-broker',
  ]);
  assert.equal(new Set(Object.values(manifest.bin)).size, 1);
  const program = path.join(ROOT, manifest.bin.epb);
  assert.match(fs.readFileSync(program, 'utf8'), /^#!\/usr\/bin\/env node\n/);
  assert.ok(fs.statSync(program).mode & 0o100, 'the program is executable');
});

test('each third-party source is pinned by version and SHA-256', () => {
  for (const [name, pin] of Object.entries(pins)) {
    assert.match(pin.sha256, /^[0-9a-f]{64}$/, name);
    assert.ok(pin.pool.includes(pin.version), name);
    assert.ok(
      pin.keep.some((file) => file.startsWith('LICENSE')),
      `${name} keeps its licence`,
    );
  }
});

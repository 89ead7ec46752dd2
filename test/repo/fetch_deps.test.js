// scripts/fetch-deps: takes only what matches its pin, does nothing twice, and says what to do when
// no archive has the file. Runs a copy of the script with pins of its own, without a network.
'use strict';

const assert = require('node:assert/strict');
const { execFileSync, spawnSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const test = require('node:test');

const { ROOT } = require('../../scripts/files.js');

const POOL = 'pool/main/t/thing/thing_1.0.0.orig.tar.gz';

/** A project with the script in it, one pinned source, and a folder that serves as its mirror. */
function project(t) {
  const base = fs.mkdtempSync(path.join(os.tmpdir(), 'epb-fetch-'));
  t.after(() => fs.rmSync(base, { recursive: true, force: true }));
  const mirror = path.join(base, 'mirror');
  const made = path.join(base, 'thing-1.0.0');
  fs.mkdirSync(path.join(made, 'src'), { recursive: true });
  fs.mkdirSync(mirror);
  fs.writeFileSync(path.join(made, 'LICENSE'), 'free');
  fs.writeFileSync(path.join(made, 'src/thing.c'), 'int thing;\n');
  fs.writeFileSync(path.join(made, 'src/test.c'), 'int test;\n');
  const tarball = path.join(mirror, path.basename(POOL));
  execFileSync('tar', ['-czf', tarball, '-C', base, 'thing-1.0.0']);

  const root = path.join(base, 'project');
  const scripts = path.join(root, 'scripts');
  const addonApi = path.join(root, 'node_modules/node-addon-api');
  fs.mkdirSync(scripts, { recursive: true });
  fs.mkdirSync(addonApi, { recursive: true });
  fs.copyFileSync(path.join(ROOT, 'scripts/fetch-deps'), path.join(scripts, 'fetch-deps'));
  fs.writeFileSync(path.join(addonApi, 'package.json'), '{"version":"8.0.0"}');
  for (const file of ['LICENSE.md', 'napi.h', 'napi-inl.h', 'napi-inl.deprecated.h']) {
    fs.writeFileSync(path.join(addonApi, file), file);
  }
  const pin = {
    version: '1.0.0',
    pool: POOL,
    sha256: createHash('sha256').update(fs.readFileSync(tarball)).digest('hex'),
    keep: ['LICENSE', 'src/th*.c'],
  };
  const write = (changes) => {
    const pins = { thing: { ...pin, ...changes } };
    fs.writeFileSync(path.join(scripts, 'deps.json'), JSON.stringify(pins));
  };
  write({});
  const fetch = (where = mirror) =>
    spawnSync(process.execPath, [path.join(scripts, 'fetch-deps')], {
      encoding: 'utf8',
      env: { ...process.env, EPB_DEPS_MIRROR: where },
    });
  return { deps: path.join(root, 'deps'), fetch, mirror, pin, tarball, write };
}

test('keeps what the pin names, and the headers of node-addon-api', (t) => {
  const { deps, fetch } = project(t);
  const { status, stderr } = fetch();
  assert.equal(status, 0, stderr);
  assert.equal(fs.readFileSync(path.join(deps, 'thing/src/thing.c'), 'utf8'), 'int thing;\n');
  assert.ok(fs.existsSync(path.join(deps, 'thing/LICENSE')));
  assert.ok(!fs.existsSync(path.join(deps, 'thing/src/test.c')));
  assert.ok(fs.existsSync(path.join(deps, 'node-addon-api/napi.h')));
  assert.deepEqual(fs.readdirSync(deps).sort(), ['node-addon-api', 'thing']);
});

test('does nothing the second time, and needs no archive for it', (t) => {
  const { deps, fetch, mirror } = project(t);
  assert.equal(fetch().status, 0);
  const before = fs.statSync(path.join(deps, 'thing')).ino;
  const again = fetch(path.join(mirror, 'nowhere'));
  assert.equal(again.status, 0, again.stderr);
  assert.equal(again.stderr, '');
  assert.equal(fs.statSync(path.join(deps, 'thing')).ino, before);
});

test('fetches anew when the pin changes', (t) => {
  const { deps, fetch, write } = project(t);
  assert.equal(fetch().status, 0);
  write({ keep: ['LICENSE', 'src/test.c'] });
  assert.equal(fetch().status, 0);
  assert.deepEqual(fs.readdirSync(path.join(deps, 'thing/src')), ['test.c']);
});

test('refuses a tarball with other bytes, and leaves nothing of it', (t) => {
  const { deps, fetch, pin, tarball } = project(t);
  fs.appendFileSync(tarball, 'x');
  const { status, stderr } = fetch();
  assert.equal(status, 1);
  assert.match(stderr, /not the pinned one/);
  assert.ok(stderr.includes(pin.sha256));
  assert.deepEqual(fs.existsSync(deps) ? fs.readdirSync(deps) : [], []);
});

test('says what to do when no archive has the file', (t) => {
  const { fetch, mirror, tarball } = project(t);
  fs.rmSync(tarball);
  const { status, stderr } = fetch();
  assert.equal(status, 1);
  assert.ok(stderr.includes(path.basename(POOL)));
  assert.ok(stderr.includes(mirror), 'names where it looked');
  assert.match(stderr, /EPB_DEPS_MIRROR/);
  assert.match(stderr, /scripts\/deps\.json/);
});

test('refuses a pin that keeps a file the source lacks', (t) => {
  const { deps, fetch, write } = project(t);
  write({ keep: ['LICENSE', 'src/other.c'] });
  const { status, stderr } = fetch();
  assert.equal(status, 1);
  assert.match(stderr, /nothing matches "src\/other\.c"/);
  assert.ok(!fs.existsSync(path.join(deps, 'thing')));
});

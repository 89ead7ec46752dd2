// The built addon shows Node-API's entry points and nothing else. libuv marks its functions for
// export; were they visible, the host's libuv would take the place of ours, or ours of the host's.
'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const path = require('node:path');
const test = require('node:test');

const { ROOT } = require('../../scripts/files.js');

const ADDON = path.join(ROOT, 'build/Release/epb_native.node');
const PROGRAM = path.join(ROOT, 'build/Release/epb');
const SYSTEM = /^(libc|libm|libdl|librt|libpthread|ld-linux[\w-]*)\.so\.\d+$/;
const run = (command, ...args) => execFileSync(command, args, { encoding: 'utf8' });

test('the addon exports the two entry points only', () => {
  const exported = run('nm', '-D', '--defined-only', '--format=posix', ADDON)
    .trim()
    .split('\n')
    .map((line) => line.split(' ')[0]);
  assert.deepEqual(exported.sort(), [
    'napi_register_module_v1',
    'node_api_module_get_api_version_v1',
  ]);
});

test('the addon needs the C library and Node, and nothing else', () => {
  const undefinedNames = run('nm', '-D', '--undefined-only', '--format=posix', ADDON)
    .trim()
    .split('\n')
    .map((line) => line.split(' ')[0])
    .filter((name) => !name.includes('@') && !/^(_ITM_|__gmon_start__|__cxa_finalize)/.test(name));
  assert.deepEqual(
    undefinedNames.filter((name) => !/^(napi|node_api)_/.test(name)),
    [],
  );
  const needed = [...run('objdump', '-p', ADDON).matchAll(/NEEDED\s+(\S+)/g)].map(
    (match) => match[1],
  );
  assert.deepEqual(
    needed.filter((name) => !SYSTEM.test(name)),
    [],
  );
});

test('the addon is hardened', () => {
  const headers = run('readelf', '-W', '-l', '-d', ADDON);
  assert.match(headers, /GNU_RELRO/);
  assert.match(headers, /BIND_NOW|FLAGS.*NOW/);
  const stack = headers.split('\n').find((line) => line.includes('GNU_STACK'));
  assert.match(stack, /\sRW\s/);
  assert.doesNotMatch(headers, /RUNPATH|RPATH|TEXTREL/);
});

test('the program is hardened, and needs the C library only', () => {
  const headers = run('readelf', '-W', '-h', '-l', '-d', PROGRAM);
  assert.match(headers, /Type: +DYN/);
  assert.match(headers, /GNU_RELRO/);
  assert.match(headers, /BIND_NOW|FLAGS.*NOW/);
  assert.match(headers, /GNU_STACK.* RW /);
  assert.doesNotMatch(headers, /RUNPATH|RPATH|TEXTREL/);
  const needed = [...run('objdump', '-p', PROGRAM).matchAll(/NEEDED\s+(\S+)/g)];
  assert.deepEqual(
    needed.map((match) => match[1]).filter((name) => !SYSTEM.test(name)),
    [],
  );
});

test('what the C core shows to the addon carries the prefix', () => {
  const archive = path.join(ROOT, 'build/Release/obj.target/epb_core.a');
  const names = run('nm', '-g', '--defined-only', '--format=posix', archive)
    .split('\n')
    .filter((line) => / [A-Z] /.test(line))
    .map((line) => line.split(' ')[0]);
  assert.ok(names.length > 0);
  assert.deepEqual(
    names.filter((name) => !name.startsWith('epb_')),
    [],
  );
});

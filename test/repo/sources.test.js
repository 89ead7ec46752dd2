// Rules about the sources that no linter knows: every file is built somewhere, names have their
// prefix, headers guard themselves, nothing of the machine it was written on is left in.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const { ROOT, find, nativeFiles, scriptFiles } = require('../../scripts/files.js');
const { sources } = require('../../scripts/sources.js');

const read = (file) => fs.readFileSync(path.join(ROOT, file), 'utf8');

test('every C and C++ source is built on some platform', () => {
  const built = new Set(
    ['linux', 'mac', 'win'].flatMap((platform) => [
      ...sources('core', platform),
      ...sources('addon', platform),
      ...sources('cli', platform),
      ...sources('mingw', platform),
    ]),
  );
  const all = find('csrc', /\.(c|cc)$/);
  assert.ok(all.length > 0);
  assert.deepEqual(
    all.filter((file) => !built.has(file)),
    [],
  );
});

test('a platform builds its own files and not those of another', () => {
  const names = (platform) => sources('core', platform).map((file) => path.posix.basename(file));
  assert.ok(names('linux').includes('sys_posix.c'));
  assert.ok(names('mac').includes('sys_posix.c'));
  assert.ok(!names('win').includes('sys_posix.c'));
  assert.ok(names('win').includes('sys_win.c'));
  assert.ok(!names('linux').includes('sys_win.c'));
});

test('structures are not hidden behind a typedef', () => {
  // A function type that returns or takes a structure is no such thing: it has a parenthesis.
  const hiding = /\btypedef\s+(?:struct|union|enum)\b[^;(]*[;{]/;
  const hidden = nativeFiles().filter((file) => hiding.test(read(file)));
  assert.deepEqual(hidden, []);
});

test('every header has a guard named after its path', () => {
  const unguarded = find('csrc', /\.h$/).filter((file) => {
    const name = file.replace(/^csrc\//, '').replace(/[^A-Za-z0-9]/g, '_');
    const guard = `EPB_${name.toUpperCase()}`.replace(/^EPB_EPB_/, 'EPB_');
    return !new RegExp(`#ifndef ${guard}\\n#define ${guard}\\n`).test(read(file));
  });
  assert.deepEqual(unguarded, []);
});

test('every native source begins with what it is for', () => {
  const silent = find('csrc', /\.(c|cc|h|def)$/).filter((file) => !/^\/[*/]/.test(read(file)));
  assert.deepEqual(silent, []);
});

test('every script begins with what it is for, and then turns strict mode on', () => {
  const head = /^(?:#!.*\n)?(?:\/\*\*?[\s\S]*?\*\/|(?:\/\/.*\n)+)\s*'use strict';\n/;
  const others = find('lib', /\.js$/).filter((file) => !head.test(read(file)));
  assert.deepEqual(others, []);
});

test('a file of ours is required with its extension', () => {
  const bare = scriptFiles()
    .filter((file) => /^(?:lib|bin|packages|scripts|test|bench)\/.*(?:\.js|\/[^.]+)$/.test(file))
    .flatMap((file) =>
      [...read(file).matchAll(/\brequire\('(\.{1,2}\/[^']*)'\)/g)]
        .map(([, target]) => target)
        .filter((target) => fs.existsSync(path.join(ROOT, path.dirname(file), `${target}.js`)))
        .map((target) => `${file}: ${target}`),
    );
  assert.deepEqual(bare, []);
});

test('C has one form of section marks, and sizeof with parentheses', () => {
  const odd = nativeFiles().flatMap((file) =>
    read(file)
      .split('\n')
      .filter((line) => /^\/\* ?[-=*]{2,}/.test(line) || /^[^*"/]*\bsizeof \w/.test(line))
      .map((line) => `${file}: ${line.trim()}`),
  );
  assert.deepEqual(odd, []);
});

test('no tool is told to look away without a reason', () => {
  const bare = nativeFiles().flatMap((file) =>
    read(file)
      .split('\n')
      .filter((line) => /NOLINT|cppcheck-suppress|clang-format off/.test(line))
      .filter((line) => !/(NOLINT(NEXTLINE|BEGIN|END)?\([^)]+\)|suppress \w+|off)\W+\w+/.test(line))
      .map((line) => `${file}: ${line.trim()}`),
  );
  assert.deepEqual(bare, []);
});

test('nothing names the folder it was written in', () => {
  const folder = ROOT.replace(/[^\w/-]/g, '\\$&');
  const named = new RegExp(`(^|[^\\w./-])${folder}/`, 'm');
  const strays = find('.', /./).filter((file) => named.test(read(file)));
  assert.deepEqual(strays, []);
});

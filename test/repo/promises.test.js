/** The table at the end of SECURITY.md names tests that show each promise: they have to exist. */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const { ROOT, find } = require('../../scripts/files.js');

const read = (file) => fs.readFileSync(path.join(ROOT, file), 'utf8');

const SECURITY = read('SECURITY.md');

/** The text below a heading, up to the next heading of the same level. */
function section(heading) {
  const parts = SECURITY.split(new RegExp(`^## ${heading}$`, 'm'));
  assert.equal(parts.length, 2, `one heading "${heading}"`);
  return parts[1].split(/^## /m)[0];
}

/** The bold names that begin the bullets of a text. */
const namedIn = (text) =>
  text
    .split(/^- /m)
    .slice(1)
    .map((bullet) => {
      const [, name] = /^\*\*([^*]+)\.\*\*/.exec(bullet.replace(/\s+/g, ' ')) ?? [];
      assert.ok(name, `a bullet begins with a name in bold: ${bullet}`);
      return name;
    });

/** The table of tests: a promise, and the cell that names its tests. */
function rows() {
  const [head, rule, ...body] = section('Tests')
    .split('\n')
    .filter((line) => line.startsWith('|'));
  assert.equal(head, '| promise | shown by |');
  assert.equal(rule, '| --- | --- |');
  return body.map((line) => {
    const [, promise, cell] = /^\| ([^|]+) \| ([^|]+) \|$/.exec(line) ?? [];
    assert.ok(promise, `a row of two cells: ${line}`);
    return { promise, cell };
  });
}

function isThere(name) {
  const [, suite, title] = /^([a-z_]+)\/([a-z_0-9]+)$/.exec(name) ?? [];
  if (suite !== undefined) return definitions().has(`${suite}, ${title}`);
  return isInFile(name);
}

/** Of a test in JavaScript. */
function isInFile(name) {
  const [, file, title] = /^([a-z_]+): (.+)$/.exec(name) ?? [];
  if (file === undefined) return false;
  const source = path.join('test/integration', `${file}.test.js`);
  if (!fs.existsSync(path.join(ROOT, source))) return false;
  // An ellipsis stands for what differs between tests of one title.
  return title
    .split('…')
    .every((part) => read(source).replaceAll("\\'", "'").includes(part.trim()));
}

let defined = null;

/** "suite, test" of every test in C. */
function definitions() {
  defined ??= new Set(
    find('test/c', /_test\.c$/)
      .flatMap((file) => [...read(file).matchAll(/^[A-Za-z]*Test\((\w+, \w+)/gm)])
      .map(([, name]) => name),
  );
  return defined;
}

test('every promise of SECURITY.md has one row in its table, and every row a promise', () => {
  const promises = namedIn(section('Promises'));
  assert.ok(promises.length >= 20, `${promises.length} promises`);
  const named = namedIn(SECURITY);
  assert.deepEqual(named, [...new Set(named)], 'each name once');

  const shown = rows().map(({ promise }) => promise);
  assert.deepEqual(shown, [...new Set(shown)], 'each row once');
  assert.deepEqual(
    promises.filter((promise) => !shown.includes(promise)),
    [],
    'promises without a row',
  );
  assert.deepEqual(
    shown.filter((promise) => !named.includes(promise)),
    [],
    'rows without a promise',
  );
});

test('every row of the table names tests, and they are there', () => {
  for (const { promise, cell } of rows()) {
    const names = cell.split('<br>').map((part) => /^`([^`]+)`$/.exec(part)?.[1]);
    assert.ok(!names.includes(undefined), `names of tests only: ${cell}`);
    assert.deepEqual(
      names.filter((name) => !isThere(name)),
      [],
      promise,
    );
  }
});

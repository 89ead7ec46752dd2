/** SECURITY.md names, after each promise, tests that show it: they have to be there. */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const { ROOT, find } = require('../../scripts/files.js');

const read = (file) => fs.readFileSync(path.join(ROOT, file), 'utf8');

/** Its bullets below "Promises", each in one line. */
function promises() {
  const [, section] = read('SECURITY.md').split(/^## Promises$/m);
  const [text] = section.split(/^## /m);
  return text
    .replace(/\n {2}/g, ' ')
    .split('\n')
    .filter((line) => line.startsWith('- **'));
}

const namesIn = (text) => [...text.matchAll(/`([^`]+)`/g)].map(([, name]) => name);

function isThere(name) {
  const [, suite, title] = /^([a-z_]+)\/([a-z_0-9]+)$/.exec(name) ?? [];
  if (suite !== undefined) return definitions().has(`${suite}, ${title}`);
  return isInFile(name);
}

/** Of JavaScript; null: it is no name of a test. */
function isInFile(name) {
  const [, file, title] = /^([a-z_]+): (.+)$/.exec(name) ?? [];
  if (file === undefined) return null;
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

test('every promise of SECURITY.md names tests, and they are there', () => {
  const found = promises();
  assert.ok(found.length >= 20, `${found.length} promises`);
  for (const promise of found) {
    const [what, shown] = promise.split(/\bShown by\b/);
    const looked = namesIn(shown ?? '').map((name) => [name, isThere(name)]);
    const missing = looked.filter(([, there]) => there === false).map(([name]) => name);
    assert.deepEqual(missing, [], what);
    assert.ok(
      looked.some(([, there]) => there === true),
      `no test: ${what}`,
    );
  }
});

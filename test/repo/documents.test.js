// Rules about the documents: lines that people can read, and links that lead somewhere.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const { ROOT, find } = require('../../scripts/files.js');
const manifest = require('../../package.json');

const PROSE_COLUMNS = 120;
const documents = find('.', /(?<!\.template)\.md$/);
const read = (file) => fs.readFileSync(path.join(ROOT, file), 'utf8');

/** The text without fenced blocks, whose lines become empty. */
function withoutCode(markdown) {
  let isCode = false;
  return markdown.split('\n').map((line) => {
    const isFence = /^\s*```/.test(line);
    const text = isCode || isFence ? '' : line;
    if (isFence) isCode = !isCode;
    return text;
  });
}

/** Tables, quoted messages, pictures and HTML can't be wrapped. */
const isProse = (line) => !/^\s*(?:\||>|!\[|<)/.test(line);

test('lines of prose have at most 120 characters', () => {
  const long = documents.flatMap((file) =>
    withoutCode(read(file))
      .map((line, index) => ({ line, at: `${file}:${index + 1}` }))
      .filter(({ line }) => isProse(line) && line.length > PROSE_COLUMNS)
      .map(({ at }) => at),
  );
  assert.deepEqual(long, []);
});

const FOLDERS = new Set(['base', 'core', 'wire', 'os', 'server', 'client', 'addon', 'cli']);
const ROOTS = new Set(fs.readdirSync(ROOT).filter((name) => name !== 'build'));
const SOURCES = ['csrc', 'lib', 'scripts', 'test'].flatMap((folder) => find(folder, /./));

/** Whether a name in code marks is that of a file or a folder here. `core/wait` stands for csrc/core/wait.c and .h. */
function isThere(name) {
  const [first] = name.split('/');
  const full = FOLDERS.has(first) ? `csrc/${name}` : name;
  if (fs.existsSync(path.join(ROOT, full))) return true;
  const pattern = full.replace(/[.]/g, '\\.').replace(/\*/g, '[^/]*');
  return SOURCES.some((file) => new RegExp(`^${pattern}(?:[._][^/]*)?$`).test(file));
}

test('the files that the maps of the tree name are there', () => {
  const lost = ['ARCHITECTURE.md', 'CONTRIBUTING.md'].flatMap((file) =>
    [
      ...withoutCode(read(file))
        .join('\n')
        .matchAll(/`([\w.-]+\/[\w./*-]*)`/g),
    ]
      .map(([, name]) => name)
      .filter((name) => FOLDERS.has(name.split('/')[0]) || ROOTS.has(name.split('/')[0]))
      .filter((name) => !isThere(name))
      .map((name) => `${file}: ${name}`),
  );
  assert.deepEqual(lost, []);
});

/** The anchor of a heading, as code hosts make it. */
const anchorOf = (heading) =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replace(/ /g, '-');

function anchors(file) {
  return withoutCode(read(file))
    .map((line) => /^#+ (.*)$/.exec(line)?.[1])
    .filter((heading) => heading !== undefined)
    .map(anchorOf);
}

/** What is wrong with a link of a document, or null. */
function faultOf(file, target) {
  const [name, anchor] = target.split('#');
  const led = name === '' ? file : path.posix.join(path.posix.dirname(file), name);
  if (!fs.existsSync(path.join(ROOT, led))) return `${file}: ${target}`;
  const isFound = anchor === undefined || anchors(led).includes(anchor);
  return isFound ? null : `${file}: ${target}`;
}

/** The targets of a document's links within this repository. */
const linksOf = (file) =>
  Array.from(
    withoutCode(read(file))
      .join('\n')
      .matchAll(/\]\(([^)\s]+)\)/g),
    ([, target]) => target,
  ).filter((target) => !/^[a-z]+:/.test(target));

test('a link in a document leads to a file and a heading that exist', () => {
  const broken = documents.flatMap((file) =>
    linksOf(file)
      .map((target) => faultOf(file, target))
      .filter((fault) => fault !== null),
  );
  assert.deepEqual(broken, []);
});

test('what the README and docs/ link to is in the package that users install', () => {
  const entries = manifest.files.map((entry) => entry.replace(/\/\*\*$/, ''));
  const isShipped = (file) =>
    entries.some((entry) => file === entry || file.startsWith(`${entry}/`));
  const missing = ['README.md', ...find('docs', /\.md$/)].flatMap((file) =>
    linksOf(file)
      .map((target) => target.split('#')[0])
      .filter((name) => name !== '')
      .map((name) => path.posix.join(path.posix.dirname(file), name))
      .filter((led) => !isShipped(led))
      .map((led) => `${file}: ${led}`),
  );
  assert.deepEqual(missing, []);
});

// Which source calls which: no circle of files, so that each folder of csrc reads from the bottom up.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const { ROOT, find } = require('../../scripts/files.js');

/** Systems that have sources of their own, each with the others' left out. */
const SYSTEMS = {
  linux: /_(?:win|mac)\.c$/,
  mac: /_(?:win|linux)\.c$/,
  win: /_(?:posix|linux|mac)\.c$/,
};

/** Code without comments, strings and preprocessor lines. */
function codeOf(text) {
  return text
    .replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, ' ')
    .replace(/"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/g, '""')
    .replace(/^[ \t]*#(?:\\\n|.)*/gm, '');
}

/** The functions that a source defines for others: a name at the beginning of a line, after its type. */
function definitionsIn(code) {
  const heads = code.matchAll(/^(?!static\b)[a-z][\w *]*\n(epb_\w+)\([^;{]*\)\n\{/gm);
  return [...heads].map(([, name]) => name);
}

/** The files in circles, as lists: the strongly connected components of more than one (Tarjan 1972). */
function circles(edges) {
  const order = new Map();
  const low = new Map();
  const stack = [];
  const found = [];
  const visit = (file) => {
    order.set(file, order.size);
    low.set(file, order.get(file));
    stack.push(file);
    for (const next of edges.get(file) ?? []) {
      if (!order.has(next)) visit(next);
      if (stack.includes(next)) low.set(file, Math.min(low.get(file), low.get(next)));
    }
    if (low.get(file) !== order.get(file)) return;
    const circle = stack.splice(stack.indexOf(file));
    if (circle.length > 1) found.push(circle.sort());
  };
  for (const file of edges.keys()) if (!order.has(file)) visit(file);
  return found;
}

/** What each file calls of the others: file -> set of files. */
function callsBetween(sources) {
  const home = new Map();
  for (const [file, code] of sources) {
    for (const name of definitionsIn(code)) home.set(name, file);
  }
  const called = (file, code) =>
    [...code.matchAll(/\b(epb_\w+)\b/g)]
      .map(([, name]) => home.get(name))
      .filter((other) => other !== undefined && other !== file);
  return new Map(sources.map(([file, code]) => [file, new Set(called(file, code))]));
}

const read = (file) => [file, codeOf(fs.readFileSync(path.join(ROOT, file), 'utf8'))];

test('a circle is found', () => {
  const f = (name, calls) => `void\nepb_${name}(void)\n{\n    ${calls}\n}\n`;
  const sources = [
    ['a.c', f('a', 'epb_b();')],
    ['b.c', f('b', 'epb_c();')],
    ['c.c', f('c', 'epb_a();')],
    ['d.c', f('d', 'epb_a();')],
  ];
  assert.deepEqual(circles(callsBetween(sources)), [['a.c', 'b.c', 'c.c']]);
});

for (const [system, others] of Object.entries(SYSTEMS)) {
  test(`no circle of calls between files of ${system}`, () => {
    const files = find('csrc', /\.c$/).filter((file) => !others.test(file));
    const edges = callsBetween(files.map(read));
    assert.ok([...edges.values()].some((called) => called.size > 3));
    assert.deepEqual(circles(edges), []);
  });
}

// Dependencies of the C sources point one way: addon -> io -> wire -> core -> base, and each
// third-party library has the users that ARCHITECTURE.md names, and no others.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const { ROOT, find } = require('../../scripts/files.js');

const LAYERS = ['base', 'core', 'wire', 'io', 'addon'];

// Below io/ there is no I/O, no clock and no thread, except in base/, which wraps the system.
const PURE_HEADERS = new Set(
  'assert ctype errno float inttypes limits math stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib string'
    .split(' ')
    .map((name) => `${name}.h`),
);

const THIRD_PARTY = [
  { header: /^uv(\.h|\/)/, users: /^csrc\/io\// },
  { header: /^mbedtls\//, users: /^csrc\/wire\/hash[_.]/ },
  { header: /^sodium\//, users: /^csrc\/wire\/cipher[_.]/ },
  { header: /^(cjson\/)?cJSON/, users: /^csrc\/wire\/jsonl[_.]/ },
  { header: /^(napi|node_api|js_native_api|node|v8)/, users: /^csrc\/addon\// },
];

const files = find('csrc', /\.(c|cc|h|def)$/);

function includesOf(file) {
  const text = fs.readFileSync(path.join(ROOT, file), 'utf8');
  return [...text.matchAll(/^\s*#\s*include\s*(["<])([^">]+)[">]/gm)].map((match) => ({
    isSystem: match[1] === '<',
    name: match[2],
  }));
}

/** The file of ours that an include means, or null for a system header. */
function resolve(file, { isSystem, name }) {
  if (isSystem) return null;
  const places = [path.posix.join(path.posix.dirname(file), name), path.posix.join('csrc', name)];
  return places.find((place) => fs.existsSync(path.join(ROOT, place))) ?? null;
}

function layerOf(file) {
  const rank = LAYERS.indexOf(file.split('/')[1]);
  return rank < 0 ? null : rank;
}

function ownIncludes(file) {
  return includesOf(file)
    .map((include) => resolve(file, include))
    .filter((target) => target !== null);
}

/** Every file of ours that `file` includes, directly or not. */
function closure(file, seen = new Set()) {
  for (const target of ownIncludes(file)) {
    if (seen.has(target)) continue;
    seen.add(target);
    closure(target, seen);
  }
  return seen;
}

test('there are sources in every layer', () => {
  for (const [rank, layer] of LAYERS.entries()) {
    assert.ok(
      files.some((file) => layerOf(file) === rank),
      `nothing in csrc/${layer}`,
    );
  }
});

test('no source includes upward', () => {
  const upward = files.flatMap((file) =>
    ownIncludes(file)
      .filter((target) => layerOf(file) !== null && layerOf(target) !== null)
      .filter((target) => layerOf(target) > layerOf(file))
      .map((target) => `${file} includes ${target}`),
  );
  assert.deepEqual(upward, []);
});

test('every quoted include is a file of the project', () => {
  const unknown = files.flatMap((file) =>
    includesOf(file)
      .filter((include) => !include.isSystem && resolve(file, include) === null)
      .map(({ name }) => `${file} includes "${name}"`),
  );
  assert.deepEqual(unknown, []);
});

test('third-party headers are included by their one user', () => {
  const strays = files.flatMap((file) =>
    includesOf(file)
      .filter(({ name }) =>
        THIRD_PARTY.some((lib) => lib.header.test(name) && !lib.users.test(file)),
      )
      .map(({ name }) => `${file} includes <${name}>`),
  );
  assert.deepEqual(strays, []);
});

test('the addon sees no libuv header, not even through another', () => {
  // Two versions of uv.h in one program is what the static copy is there to prevent.
  const seen = files
    .filter((file) => file.startsWith('csrc/addon/'))
    .flatMap((file) => [...closure(file)].map((target) => ({ file, target })))
    .filter(({ target }) => includesOf(target).some(({ name }) => /^uv(\.h|\/)/.test(name)));
  assert.deepEqual(seen, []);
});

test('core and wire know no I/O, no clock and no thread', () => {
  const impure = files
    .filter((file) => /^csrc\/(core|wire)\//.test(file))
    .flatMap((file) =>
      includesOf(file)
        .filter(({ isSystem, name }) => isSystem && !PURE_HEADERS.has(name))
        .filter(({ name }) => !THIRD_PARTY.some((lib) => lib.header.test(name)))
        .map(({ name }) => `${file} includes <${name}>`),
    );
  assert.deepEqual(impure, []);
});

test('the state of the core does not know the engine', () => {
  const rank = (file) => {
    const name = path.posix.basename(file).replace(/\.\w+$/, '');
    if (/^(budget|msg|options|commands|quota|slots|gone)$/.test(name)) return 0;
    if (name === 'wait') return 1;
    if (/^(store|lease|watch|barrier|throttle)(_|$)/.test(name)) return 2;
    return 3;
  };
  const wrong = files
    .filter((file) => file.startsWith('csrc/core/'))
    .flatMap((file) =>
      ownIncludes(file)
        .filter((target) => target.startsWith('csrc/core/') && rank(target) > rank(file))
        .map((target) => `${file} includes ${target}`),
    );
  assert.deepEqual(wrong, []);
});

test('headers include each other without a circle', () => {
  const circles = files.filter((file) => file.endsWith('.h') && closure(file).has(file));
  assert.deepEqual(circles, []);
});

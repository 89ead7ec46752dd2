// Each folder of the C sources includes the folders that ARCHITECTURE.md names, and no others; each
// third-party library has its one user.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const { ROOT, find } = require('../../scripts/files.js');

const MAY_INCLUDE = {
  base: [],
  options: ['base'],
  core: ['base', 'options'],
  wire: ['base', 'core'],
  os: ['base'],
  server: ['base', 'core', 'wire', 'os'],
  client: ['base', 'core', 'wire', 'os'],
  addon: ['base', 'core', 'wire', 'os', 'server', 'client'],
  cli: ['base', 'options', 'core', 'wire', 'os', 'server', 'client'],
};

// core/ and wire/ have no I/O, no clock and no thread.
const PURE_HEADERS = new Set(
  'assert ctype errno float inttypes limits math stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib string'
    .split(' ')
    .map((name) => `${name}.h`),
);

const THIRD_PARTY = [
  { header: /^uv(\.h|\/)/, users: /^csrc\/(os|server|client)\/|^csrc\/cli\/pipe_input\.c/ },
  { header: /^mbedtls\//, users: /^csrc\/wire\/hash[_.]/ },
  { header: /^sodium\//, users: /^csrc\/wire\/cipher[_.]/ },
  { header: /^(cjson\/)?cJSON/, users: /^csrc\/wire\/jsonl[_.]/ },
  { header: /^zlib\//, users: /^csrc\/cli\/gzip\.c/ },
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

/** The folder of a source; null for csrc/epb.h, which belongs to none. */
function folderOf(file) {
  const folder = file.split('/')[1];
  return Object.hasOwn(MAY_INCLUDE, folder) ? folder : null;
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

test('there are sources in every folder, and every folder has a rule', () => {
  const found = new Set(
    files.filter((file) => file !== 'csrc/epb.h').map((file) => file.split('/')[1]),
  );
  assert.deepEqual([...found].sort(), Object.keys(MAY_INCLUDE).sort());
});

test('no source includes a folder that its own may not know', () => {
  const wrong = files
    .filter((file) => folderOf(file) !== null)
    .flatMap((file) =>
      ownIncludes(file)
        .filter(
          (target) => ![folderOf(file), ...MAY_INCLUDE[folderOf(file)]].includes(folderOf(target)),
        )
        .map((target) => `${file} includes ${target}`),
    );
  assert.deepEqual(wrong, []);
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

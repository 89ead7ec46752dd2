// What the packages in packages/ must have.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const { ROOT, find } = require('../../scripts/files.js');

const library = require('../../package.json');

const SECTIONS = ['Install', 'Configuration', 'Tokens', 'Types', 'Troubleshooting'];

const folders = fs.readdirSync(path.join(ROOT, 'packages'));
const packages = folders.map((folder) => ({
  folder,
  home: path.join(ROOT, 'packages', folder),
  manifest: require(`../../packages/${folder}/package.json`),
}));
/** Those of a test runner. */
const adapters = packages.filter(({ folder }) =>
  fs.existsSync(path.join(ROOT, 'test/adapters', `${folder}.test.js`)),
);

const read = (...parts) => fs.readFileSync(path.join(...parts), 'utf8');

for (const { folder, home, manifest } of packages) {
  test(`packages/${folder} has the version of the root, and depends on the library alone`, () => {
    assert.equal(manifest.version, library.version);
    const { [library.name]: range, ...others } = manifest.dependencies;
    assert.ok([library.version, `^${library.version}`].includes(range), range);
    assert.deepEqual(others, {});
    assert.equal(manifest.devDependencies, undefined);
    assert.equal(manifest.optionalDependencies, undefined);
    assert.equal(manifest.scripts, undefined);
  });

  test(`packages/${folder} has a manifest that npm users read`, () => {
    assert.match(manifest.name, /^(@ephemeral-broker\/[a-z-]+|ephemeral-pipe-client)$/);
    assert.equal(manifest.license, library.license);
    assert.equal(manifest.author, library.author);
    assert.match(manifest.engines.node, /^>=\d/);
    assert.ok(manifest.description.length > 20 && manifest.keywords.length >= 3);
    assert.ok(manifest.exports['./package.json'], 'exports package.json');
    for (const [name, target] of Object.entries(manifest.exports)) {
      if (typeof target === 'string') continue;
      assert.equal(Object.keys(target)[0], 'types', `${name}: types come first`);
      for (const file of Object.values(target)) {
        assert.ok(fs.existsSync(path.join(home, file)), `${name}: ${file}`);
      }
    }
  });

  test(`packages/${folder} publishes README, LICENSE and its own files only`, () => {
    assert.equal(read(home, 'LICENSE'), read(ROOT, 'LICENSE'));
    assert.ok(fs.existsSync(path.join(home, 'README.md')));
    const published = manifest.files.map((name) => name.replace(/\/\*\*$|\/$/, ''));
    const patterns = published.map((name) => {
      const escaped = name.replace(/[.]/g, '\\.').replace(/\*/g, '[^/]*');
      return new RegExp(`^${escaped}(/|$)`);
    });
    const files = find(`packages/${folder}`, /./).map((file) =>
      path.posix.relative(`packages/${folder}`, file),
    );
    const useless = patterns.filter((pattern) => !files.some((file) => pattern.test(file)));
    assert.deepEqual(useless, []);
    const code = files.filter(
      (file) => /\.(js|cjs|mjs|ts|mts|cts)$/.test(file) && !file.startsWith('test/'),
    );
    const missing = code.filter((file) => !patterns.some((pattern) => pattern.test(file)));
    assert.deepEqual(missing, []);
    assert.ok(!published.some((name) => name.startsWith('test')));
  });
}

for (const { folder, home, manifest } of adapters) {
  test(`packages/${folder} is an adapter that a user can install`, () => {
    const pins = require(`../../test/e2e/${folder}/package.json`).dependencies;
    for (const [name, version] of Object.entries(pins))
      assert.match(version, /^\d+\.\d+\.\d+$/, name);
    const readme = read(home, 'README.md');
    const titles = [...readme.matchAll(/^## (.*)$/gm)].map(([, title]) => title);
    for (const title of SECTIONS) assert.ok(titles.includes(title), `a section "${title}"`);
    assert.match(readme, new RegExp(`npm install .*${manifest.name}`));
    assert.match(read(ROOT, 'test/adapters', `${folder}.test.js`), /\.types\(/);
    assert.ok(find(`packages/${folder}/test/types`, /\.(mts|cts|ts)$/).length > 0);
  });

  test(`the README of packages/${folder} shows each file of its example`, () => {
    const readme = read(home, 'README.md');
    const example = path.join(ROOT, 'examples', folder);
    for (const file of find(`examples/${folder}`, /\.(js|cjs|mjs|ts|mts|feature)$/)) {
      const text = read(ROOT, file).trim();
      assert.ok(readme.includes(text), `${path.relative(example, path.join(ROOT, file))}`);
    }
  });
}

test('the tarball of the library has no package in it', () => {
  assert.ok(!library.files.some((name) => name.startsWith('packages')));
});

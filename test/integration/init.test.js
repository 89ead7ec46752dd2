'use strict';

/* The command `init`: what it changes in a project, and what it leaves alone. */

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');

const ROOT = path.join(__dirname, '..', '..');
const PROGRAM = path.join(ROOT, 'bin/ephemeral-pipe-broker.js');

const manifest = (dependency, more = {}) =>
  `${JSON.stringify({ name: 'mine', devDependencies: { [dependency]: '1' }, ...more }, null, 2)}\n`;

/** npm and npx of the test note their words, and succeed or fail. */
const FAKE = `#!/bin/sh
echo "$(basename "$0") $*" >> "$FAKE_LOG"
[ "$(basename "$0")" != "$FAKE_FAILS" ]
`;

/** A project, and a way to run init in it. */
function project(t, files) {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'init-'));
  t.after(() => fs.rmSync(home, { recursive: true }));
  const [folder, bin] = ['project', 'bin'].map((name) => path.join(home, name));
  for (const name of [folder, bin]) fs.mkdirSync(name);
  for (const name of ['npm', 'npx']) fs.writeFileSync(path.join(bin, name), FAKE, { mode: 0o755 });
  for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(folder, name), text);
  const log = path.join(home, 'log');
  const all = () =>
    Object.fromEntries(
      fs
        .readdirSync(folder)
        .map((name) => [name, fs.readFileSync(path.join(folder, name), 'utf8')]),
    );
  const run = (words = ['--yes'], fails = '') => {
    fs.writeFileSync(log, '');
    const env = {
      ...process.env,
      PATH: `${bin}:${process.env.PATH}`,
      FAKE_LOG: log,
      FAKE_FAILS: fails,
    };
    const options = { cwd: folder, env, encoding: 'utf8', input: '' };
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [PROGRAM, 'init', ...words],
      options,
    );
    return { status, stdout, stderr, calls: fs.readFileSync(log, 'utf8') };
  };
  return { all, run };
}

const OPTIONS = "{ pools: { accounts: ['ann', 'bob'] }, tokens: { account: 'accounts' } }";

/** Configurations that users have: the file, the text, and what the text becomes. */
const RECOGNISED = [
  [
    'jest',
    'jest.config.js',
    "/** @type {import('jest').Config} */\nconst config = {\n  clearMocks: true,\n};\n\nmodule.exports = config;\n",
    `const { withBroker } = require('@ephemeral-broker/jest');\n\n/** @type {import('jest').Config} */\nconst config = {\n  clearMocks: true,\n};\n\nmodule.exports = withBroker(config, ${OPTIONS});\n`,
  ],
  [
    'jest',
    'jest.config.ts',
    "import type { Config } from 'jest';\n\nconst config: Config = { testRegex: /a{2}\\/['\"]/ };\n\nexport default config;\n",
    `import { withBroker } from '@ephemeral-broker/jest';\nimport type { Config } from 'jest';\n\nconst config: Config = { testRegex: /a{2}\\/['"]/ };\n\nexport default withBroker(config, ${OPTIONS});\n`,
  ],
  [
    '@playwright/test',
    'playwright.config.ts',
    "import { defineConfig } from '@playwright/test';\n\n// export default is below.\nexport default defineConfig({\n  testDir: './nowhere',\n  name: '}) // \\' {',\n});\n",
    `import { withBroker } from '@ephemeral-broker/playwright';\nimport { defineConfig } from '@playwright/test';\n\n// export default is below.\nexport default withBroker(defineConfig({\n  testDir: './nowhere',\n  name: '}) // \\' {',\n}), ${OPTIONS});\n`,
  ],
  [
    'vitest',
    'vitest.config.mts',
    "import { defineConfig } from 'vitest/config';\n\nexport default defineConfig({\n  test: { globals: true },\n});\n",
    `import { broker } from '@ephemeral-broker/vitest';\nimport { defineConfig } from 'vitest/config';\n\nexport default defineConfig({\n  plugins: [broker(${OPTIONS})],\n  test: { globals: true },\n});\n`,
  ],
  [
    'vitest',
    'vite.config.ts',
    "import vue from 'vue';\nexport default defineConfig({\n  plugins: [vue()],\n})\n",
    `import { broker } from '@ephemeral-broker/vitest';\nimport vue from 'vue';\nexport default defineConfig({\n  plugins: [broker(${OPTIONS}), vue()],\n})\n`,
  ],
  [
    '@wdio/cli',
    'wdio.conf.ts',
    "export const config: WebdriverIO.Config = {\n  runner: 'local',\n}\n",
    `import { withBrokerTokens } from '@ephemeral-broker/wdio';\n\nexport const config: WebdriverIO.Config = withBrokerTokens(${OPTIONS}, {\n  runner: 'local',\n})\n`,
  ],
  [
    'mocha',
    '.mocharc.json',
    '{\n    "spec": "test",\n    "require": "./a.js"\n}\n',
    '{\n    "spec": "test",\n    "require": [\n        "./a.js",\n        "./broker.cjs"\n    ]\n}\n',
  ],
  ['mocha', '.mocharc.yml', 'spec: test\n', 'spec: test\nrequire: ./broker.cjs\n'],
  [
    'mocha',
    '.mocharc.cjs',
    "module.exports = { spec: 'test', require: ['./a.js'] };\n",
    "module.exports = { spec: 'test', require: ['./broker.cjs', './a.js'] };\n",
  ],
  [
    'testcafe',
    '.testcaferc.cjs',
    'module.exports = {\n  skipJsErrors: true,\n};\n',
    `const { brokerHooks } = require('@ephemeral-broker/testcafe');\n\nmodule.exports = {\n  hooks: brokerHooks(${OPTIONS}),\n  skipJsErrors: true,\n};\n`,
  ],
];

for (const [dependency, file, before, after] of RECOGNISED) {
  test(`${file} of ${dependency}: changed once`, (t) => {
    const { all, run } = project(t, { 'package.json': manifest(dependency), [file]: before });
    const { status, stdout, stderr, calls } = run();
    assert.equal(status, 0, stderr);
    assert.equal(all()[file], after);
    assert.ok(stdout.includes(`+++ ${file}`), stdout);
    assert.match(calls, /^npm install --save-dev .*@ephemeral-broker\/\w+\nnpx --no-install /);
    const files = all();
    const again = run();
    assert.deepEqual([again.status, again.calls], [0, '']);
    assert.match(again.stdout, /Nothing to change/);
    assert.deepEqual(all(), files);
  });
}

/** Configurations that are computed, or that contain what the scan does not know. */
const COMPUTED = [
  ['jest', 'jest.config.js', 'module.exports = async () => ({});\n'],
  ['jest', 'jest.config.ts', 'export default { a: 1 } satisfies Config;\n'],
  ['jest', 'jest.config.js', "module.exports = createJestConfig({ dir: './' });\n"],
  ['jest', 'jest.config.js', 'module.exports = { a: `${b}` };\n'],
  ['jest', 'jest.config.js', 'module.exports = a;\nif (b) module.exports = c;\n'],
  ['jest', 'jest.config.js', 'module.exports = a\n  .b;\n'],
  ['vitest', 'vitest.config.js', 'export default defineConfig(({ mode }) => ({}));\n'],
  ['vitest', 'vitest.config.js', 'export default mergeConfig(a, {});\n'],
  ['vitest', 'vitest.config.js', 'export default defineConfig({ ...shared, test: {} });\n'],
  ['vitest', 'vitest.config.js', 'export default defineConfig({ plugins, test: {} });\n'],
  ['vitest', 'vitest.config.js', 'export default defineConfig({ plugins: all() });\n'],
  ['mocha', '.mocharc.json', '{ // a comment\n}\n'],
  ['mocha', '.mocharc.yml', 'require:\n  - a\n'],
  ['mocha', '.mocharc.cjs', "module.exports = { require: 'a' };\n"],
  ['@cucumber/cucumber', 'cucumber.yml', 'default:\n  parallel: 2\n'],
  ['@cucumber/cucumber', 'cucumber.yaml', 'default:\n  parallel: 2\n'],
  ['testcafe', '.testcaferc.json', '{}\n'],
  ['testcafe', '.testcaferc.js', 'module.exports = { hooks: mine };\n'],
];

for (const [dependency, file, text] of COMPUTED) {
  test(`${JSON.stringify(text)} gets a printed patch`, (t) => {
    const before = { 'package.json': manifest(dependency), [file]: text };
    const { all, run } = project(t, before);
    const { status, stderr, calls } = run();
    assert.equal(status, 1);
    assert.match(
      stderr,
      /does not recognise .* for certain, so it changes nothing\. Change it by hand/,
    );
    assert.match(stderr, /accounts|broker\.cjs/);
    if (text.includes('module.exports')) assert.doesNotMatch(stderr, /\bimport\b/);
    if (text.includes('export default')) assert.doesNotMatch(stderr, /\brequire\b/);
    assert.equal(calls, '');
    assert.deepEqual(all(), before);
  });
}

test('"jest" of package.json moves to a file', (t) => {
  const { all, run } = project(t, {
    'package.json': manifest('jest', { jest: { testTimeout: 9 } }),
  });
  assert.equal(run().status, 0);
  assert.equal(JSON.parse(all()['package.json']).jest, undefined);
  assert.match(all()['jest.config.cjs'], /withBroker\(\{\n {2}"testTimeout": 9\n\}, \{ pools/);
  assert.match(run().stdout, /Nothing to change/);
});

test('a project without a configuration gets one', (t) => {
  for (const [dependency, file] of [
    ['jest', 'jest.config.js'],
    ['vitest', 'vitest.config.mjs'],
    ['mocha', '.mocharc.json'],
    ['@cucumber/cucumber', 'cucumber.json'],
    ['testcafe', '.testcaferc.cjs'],
    ['@playwright/test', 'playwright.config.js'],
  ]) {
    const { all, run } = project(t, { 'package.json': manifest(dependency, { type: 'module' }) });
    const { status, stderr } = run();
    assert.equal(status, 0, stderr);
    assert.match(all()[file], /broker/);
    if (file.endsWith('.js')) assert.match(all()[file], /^import [^]*export default/);
    assert.match(run().stdout, /Nothing to change/, dependency);
  }
});

test('without a terminal and without --yes nothing is changed', (t) => {
  const before = { 'package.json': manifest('jest') };
  const { all, run } = project(t, before);
  const { status, stdout, calls } = run([]);
  assert.equal(status, 1);
  assert.match(stdout, /\+module\.exports = withBroker/);
  assert.match(stdout, /Nothing is changed, because there is no terminal to ask\. Add --yes/);
  assert.deepEqual([all(), calls], [before, '']);
});

test('an install that fails leaves the project as it was; a proof that fails says so', (t) => {
  const before = { 'package.json': manifest('jest') };
  const { all, run } = project(t, before);
  const failed = run(['--yes'], 'npm');
  assert.deepEqual([failed.status, all()], [1, before]);
  assert.match(failed.stderr, /npm install failed\. init has written nothing/);
  const proof = run(['--yes'], 'npx');
  assert.equal(proof.status, 1);
  assert.match(
    proof.stderr,
    /the proof failed\. These files stay: jest\.config\.js, broker-one\.test\.js, broker-two\.test\.js, package\.json/,
  );
});

test('bad input is an error, and no file is touched', (t) => {
  const jest = { 'package.json': manifest('jest') };
  const several = manifest('jest', { dependencies: { mocha: '1' } });
  for (const [files, words, error] of [
    [{}, ['--yes'], /There is no package\.json here/],
    [{ 'package.json': '[1' }, ['--yes'], /package\.json is not a JSON object/],
    [{ 'package.json': manifest('left-pad') }, ['--yes'], /no test runner that init knows/],
    [
      { 'package.json': several },
      ['--yes'],
      /several runners \(jest, mocha\)\. Choose one with --runner/,
    ],
    [jest, ['--runner', 'tap'], /init knows no runner "tap"/],
    [jest, ['--frce'], /init has no option "--frce"/],
    [jest, ['--runner'], /--runner needs a value/],
    [jest, ['--yes', '--packages', 'none'], /--packages none: the folder can't be read \(ENOENT\)/],
    [jest, ['--yes', '--packages', '.'], /no file ephemeral-pipe-broker-VERSION\.tgz is there/],
    [{ ...jest, 'jest.config.js': '', 'jest.config.ts': '' }, ['--yes'], /several configurations/],
    [{ ...jest, 'broker-one.test.js': '' }, ['--yes'], /broker-one\.test\.js is there already/],
    [{ 'package.json': manifest('@wdio/cli') }, ['--yes'], /no configuration of wdio/],
  ]) {
    const { all, run } = project(t, files);
    const { status, stderr, calls } = run(words);
    assert.equal(status, 1);
    assert.match(stderr, error);
    assert.doesNotMatch(stderr, /\n {4}at /);
    assert.deepEqual([all(), calls], [files, '']);
  }
});

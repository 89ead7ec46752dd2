/** What `init` knows of each runner: its configuration files, the change, the proof. */
'use strict';

const { added, json, wrapped } = require('./edit.js');

const POOLS = "{ accounts: ['ann', 'bob'] }";
const DATA = { pools: { accounts: ['ann', 'bob'] }, tokens: { account: 'accounts' } };
const OPTIONS = `{ pools: ${POOLS}, tokens: { account: 'accounts' } }`;
const scoped = (/** @type {string} */ name) => `@ephemeral-broker/${name}`;

/**
 * @typedef {object} Runner
 * @property {string} name
 * @property {string} dependency that says a project uses it
 * @property {RegExp} configs the names of its configuration files
 * @property {(file: string, text: string) => string | null} edit null: the patch is printed
 * @property {string} patch for a configuration that is not recognised
 * @property {string} [created] a configuration for a project without one
 * @property {string} [text]
 * @property {string} [key] of package.json
 * @property {Record<string, string>} [files] further files of the adapter
 * @property {(folder: string) => { files: Record<string, string>, command: string[] }} proof
 */

/**
 * Each worker counts itself in at its account: two at once would be a failure.
 * @param {string} account
 */
const PROOF = (account) => `const users = await broker.incr(\`proof:\${${account}}\`, 1, '1m');
  await new Promise((resolve) => setTimeout(resolve, 500));
  await broker.incr(\`proof:\${${account}}\`, -1, '1m');
  if (users !== 1) throw new Error(\`\${users} workers have \${${account}}\`);`;

/**
 * @param {string} extension
 * @param {string} body
 * @returns {Record<string, string>}
 */
function twice(extension, body) {
  return Object.fromEntries(
    ['one', 'two'].map((name) => [
      `broker-${name}.${extension}`,
      `${body.replace('NAME', name)}\n`,
    ]),
  );
}

/** @type {Runner[]} */
const RUNNERS = [
  {
    name: 'playwright',
    dependency: '@playwright/test',
    configs: /^playwright\.config\.[cm]?[jt]s$/,
    created: 'playwright.config.js',
    text: `const { defineConfig } = require('@playwright/test');\n\nmodule.exports = defineConfig({});\n`,
    edit: (_, text) =>
      wrapped(text, {
        name: 'withBroker',
        from: scoped('playwright'),
        options: OPTIONS,
        isFirst: false,
      }),
    patch: `withBroker(<your configuration>, ${OPTIONS})`,
    proof: () => ({
      files: twice(
        'spec.js',
        `import { test } from '@ephemeral-broker/playwright';

test('NAME: an account alone', async ({ broker, tokens }) => {
  ${PROOF('tokens.account')}
});`,
      ),
      command: ['playwright', 'test', '--workers=2', 'broker-one', 'broker-two'],
    }),
  },
  {
    name: 'jest',
    dependency: 'jest',
    configs: /^jest\.config\.[cm]?[jt]s$/,
    created: 'jest.config.js',
    text: 'module.exports = {};\n',
    key: 'jest',
    edit: (_, text) =>
      wrapped(text, { name: 'withBroker', from: scoped('jest'), options: OPTIONS, isFirst: false }),
    patch: `withBroker(<your configuration>, ${OPTIONS})`,
    proof: () => ({
      files: twice(
        'test.js',
        `test('NAME: an account alone', async () => {
  ${PROOF('brokerTokens.account')}
});`,
      ),
      command: ['jest', '--maxWorkers=2', 'broker-one', 'broker-two'],
    }),
  },
  {
    name: 'vitest',
    dependency: 'vitest',
    configs: /^(vitest|vite)\.config\.[cm]?[jt]s$/,
    created: 'vitest.config.mjs',
    text: "import { defineConfig } from 'vitest/config';\n\nexport default defineConfig({});\n",
    edit: (_, text) =>
      added(text, {
        property: 'plugins',
        value: `broker(${OPTIONS})`,
        isList: true,
        name: 'broker',
        from: scoped('vitest'),
      }),
    patch: `plugins: [broker(${OPTIONS})]`,
    proof: () => ({
      files: twice(
        'test.js',
        `import { test } from '@ephemeral-broker/vitest/test';

test('NAME: an account alone', async ({ broker, tokens }) => {
  ${PROOF('tokens.account')}
});`,
      ),
      command: ['vitest', 'run', 'broker-one', 'broker-two'],
    }),
  },
  {
    name: 'wdio',
    dependency: '@wdio/cli',
    configs: /^wdio\.conf\.m?[jt]s$/,
    edit: (_, text) =>
      wrapped(text, {
        name: 'withBrokerTokens',
        from: scoped('wdio'),
        options: OPTIONS,
        isFirst: true,
      }),
    patch: `withBrokerTokens(${OPTIONS}, <your configuration>)`,
    proof: (config) => ({
      files: twice(
        'e2e.js',
        `import { broker, getToken } from '@ephemeral-broker/wdio';

describe('NAME', () => {
  it('has an account alone', async () => {
  ${PROOF("getToken('account')")}
  });
});`,
      ),
      command: ['wdio', 'run', config, '--spec=FILE1', '--spec=FILE2'],
    }),
  },
  {
    name: 'mocha',
    dependency: 'mocha',
    configs: /^\.mocharc\.(c?js|jsonc?|ya?ml)$/,
    created: '.mocharc.json',
    text: '{}\n',
    key: 'mocha',
    files: {
      'broker.cjs': `const { plugin } = require('@ephemeral-broker/mocha');\n\nmodule.exports = plugin(${OPTIONS});\n`,
    },
    edit: mocha,
    patch: "require: './broker.cjs'",
    proof: () => ({
      files: twice(
        'spec.cjs',
        `const { broker, tokens } = require('@ephemeral-broker/mocha');

it('NAME: has an account alone', async () => {
  ${PROOF('tokens.account')}
});`,
      ),
      command: ['mocha', '--parallel', '--jobs=2', 'FILE1', 'FILE2'],
    }),
  },
  {
    name: 'cucumber',
    dependency: '@cucumber/cucumber',
    configs: /^cucumber\.(json|[cm]?js|ya?ml)$/,
    created: 'cucumber.json',
    text: '{ "default": {} }\n',
    edit: cucumber,
    patch: `plugin: ['@ephemeral-broker/cucumber'], pluginOptions: { broker: ${OPTIONS} }`,
    proof: () => ({
      files: {
        'broker.feature': `Feature: Broker

  Scenario: One has an account alone
    Given an account of the broker

  Scenario: Two has an account alone
    Given an account of the broker
`,
        'broker-steps.cjs': `const { Given } = require('@cucumber/cucumber');

Given('an account of the broker', function () {
  if (!['ann', 'bob'].includes(this.brokerTokens.account)) throw new Error('no account');
});
`,
      },
      command: ['cucumber-js', '--parallel=2', '--require=FILE2', 'FILE1'],
    }),
  },
  {
    name: 'testcafe',
    dependency: 'testcafe',
    configs: /^\.testcaferc\.(json|c?js)$/,
    created: '.testcaferc.cjs',
    text: 'module.exports = {};\n',
    edit: (file, text) =>
      file.endsWith('.json')
        ? null
        : added(text, {
            property: 'hooks',
            value: `brokerHooks(${OPTIONS})`,
            isList: false,
            name: 'brokerHooks',
            from: scoped('testcafe'),
          }),
    patch: `hooks: brokerHooks(${OPTIONS})`,
    proof: () => ({
      files: twice(
        'fixture.js',
        `fixture('NAME').page('about:blank');

test('has an account', async (t) => {
  await t.expect(['ann', 'bob'].includes(t.ctx.tokens.account)).ok();
});`,
      ),
      command: ['testcafe', 'chrome:headless', '--concurrency=2', 'FILE1', 'FILE2'],
    }),
  },
];

/**
 * @param {string} file
 * @param {string} text
 */
function mocha(file, text) {
  if (/\.json$/.test(file)) {
    return json(text, (data) => {
      data.require = [...(data.require === undefined ? [] : [data.require].flat()), './broker.cjs'];
      return true;
    });
  }
  if (/\.ya?ml$/.test(file)) {
    if (/^(require|"require"|'require')\s*:|^---|^\{/m.test(text)) return null;
    return `${text.replace(/\n*$/, '\n')}require: ./broker.cjs\n`;
  }
  if (file.endsWith('.jsonc')) return null;
  return added(text, {
    property: 'require',
    value: "'./broker.cjs'",
    isList: true,
    name: '',
    from: '',
  });
}

/**
 * @param {string} file
 * @param {string} text
 */
function cucumber(file, text) {
  if (!file.endsWith('.json')) return null;
  return json(text, (data) => {
    const profile = data.default ?? data;
    if (typeof profile !== 'object' || profile === null) return false;
    if (profile.pluginOptions?.broker !== undefined) return false;
    profile.plugin = [...(profile.plugin ?? []), scoped('cucumber')];
    profile.pluginOptions = { ...profile.pluginOptions, broker: DATA };
    return true;
  });
}

module.exports = { OPTIONS, RUNNERS, scoped };

'use strict';

const fs = require('node:fs');
const path = require('node:path');

const js = require('@eslint/js');
const globals = require('globals');

/** The folders whose files are ES modules without saying so in their names. */
const modules = ['packages', 'examples'].flatMap((parent) =>
  fs
    .readdirSync(path.join(__dirname, parent))
    .map((name) => path.join(__dirname, parent, name, 'package.json'))
    .filter((file) => fs.existsSync(file) && require(file).type === 'module')
    .map((file) => `${parent}/${path.basename(path.dirname(file))}/**/*.js`),
);

module.exports = [
  {
    ignores: ['build/', 'deps/', 'prebuilds/', '**/node_modules/', 'scripts/bootstrap'],
  },
  {
    files: ['**/*.js', '**/*.cjs', '**/*.mjs', 'scripts/*'],
    ...js.configs.recommended,
  },
  {
    files: ['**/*.js', '**/*.cjs', '**/*.mjs', 'scripts/*'],
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    languageOptions: {
      ecmaVersion: 2023,
      sourceType: 'commonjs',
      globals: globals.node,
    },
    rules: {
      'array-callback-return': 'error',
      'default-case-last': 'error',
      eqeqeq: 'error',
      'no-constructor-return': 'error',
      // Playwright and Vitest read which fixtures a function uses from its first parameter.
      'no-empty-pattern': ['error', { allowObjectPatternsAsParameters: true }],
      'no-eval': 'error',
      'no-implied-eval': 'error',
      'no-promise-executor-return': ['error', { allowVoid: true }],
      'no-self-compare': 'error',
      'no-shadow': 'error',
      'no-throw-literal': 'error',
      'no-unreachable-loop': 'error',
      'no-unused-vars': ['error', { args: 'after-used', caughtErrors: 'all' }],
      'no-var': 'error',
      'prefer-const': 'error',
      'prefer-promise-reject-errors': 'error',
      strict: ['error', 'global'],
    },
  },
  {
    files: ['**/*.mjs', ...modules],
    languageOptions: { sourceType: 'module' },
    rules: { strict: 'off' },
  },
  {
    files: ['examples/jest/**', 'packages/jest/**'],
    languageOptions: {
      globals: { ...globals.jest, broker: 'readonly', brokerTokens: 'readonly' },
    },
  },
  {
    files: ['examples/jest/**'],
    rules: { strict: 'off' },
  },
  {
    // Vitest reads the fixtures that a hook needs from its parameter.
    files: ['examples/vitest/**'],
    rules: { 'no-unused-vars': ['error', { args: 'none', caughtErrors: 'all' }] },
  },
  {
    files: ['examples/wdio/**'],
    languageOptions: { globals: { ...globals.mocha, $: 'readonly', browser: 'readonly' } },
  },
  {
    files: ['examples/mocha/**', 'examples/testcafe/**'],
    languageOptions: { globals: { ...globals.mocha, fixture: 'readonly' } },
    rules: { strict: 'off' },
  },
];

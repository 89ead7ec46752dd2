/**
 * What the adapters for Mocha, Cucumber and TestCafe add to a run: pairs of runs in turns, one without the
 * adapter and one with it, of 1 test, of many tests, and of many workers. Prints the medians of the
 * differences in time and processor time.
 *
 *   node bench/adapters/hooks.js mocha [pairs]
 */
'use strict';

const { node24 } = require('../../test/helpers/installation.js');
const { compared, numbers, print, project, remove } = require('./pairs.js');

const MANY = 200;
const WORKERS = 4;
const POOLS =
  "{ pools: { accounts: ['a', 'b', 'c', 'd', 'e', 'f'] }, tokens: { account: 'accounts' } }";
const BROWSER = 'chromium:headless --no-sandbox';

const tests = (count, line) => numbers(count).map(line).join('\n');

/** For each runner: its files, and the command of a run. @type {Record<string, any>} */
const RUNNERS = {
  mocha: {
    files: {
      'broker.js': `module.exports = require('@ephemeral-broker/mocha').plugin(${POOLS});`,
      'one.js': "it('passes', () => {});",
      'many.js': tests(MANY, (i) => `it('passes ${i}', () => {});`),
      ...Object.fromEntries(numbers(WORKERS).map((i) => [`w${i}.js`, "it('passes', () => {});"])),
    },
    command(isWith, what) {
      const adapter = isWith ? ['--require', './broker.js'] : [];
      const parallel = ['--parallel', '-j', String(WORKERS), 'w*.js'];
      const files = { one: ['one.js'], many: ['many.js'], workers: parallel };
      return ['mocha', '--reporter', 'dot', ...adapter, ...files[what]];
    },
  },
  cucumber: {
    node: node24,
    files: {
      'without.mjs': 'export default {};',
      'with.mjs': `export default {
        plugin: ['@ephemeral-broker/cucumber'], pluginOptions: { broker: ${POOLS} } };`,
      'features/steps.mjs':
        "import { When } from '@cucumber/cucumber'; When('it passes', () => {});",
      'one.feature': 'Feature: a\n\n  Scenario: a\n    When it passes\n',
      'many.feature': `Feature: a\n${tests(MANY, (i) => `\n  Scenario: a ${i}\n    When it passes`)}\n`,
    },
    command(isWith, what) {
      const config = ['--config', isWith ? 'with.mjs' : 'without.mjs'];
      const all = [...config, '--import', 'features/steps.mjs', '--format', 'summary'];
      const parallel = ['--parallel', String(WORKERS), 'one.feature'];
      const files = { one: ['one.feature'], many: ['many.feature'], workers: parallel };
      return ['cucumber-js', ...all, ...files[what]];
    },
  },
  testcafe: {
    files: {
      'without.cjs': 'module.exports = {};',
      'with.cjs': `module.exports = {
        hooks: require('@ephemeral-broker/testcafe').brokerHooks(${POOLS}) };`,
      'one.js': "fixture('a').page('about:blank'); test('passes', async () => {});",
      'many.js': `fixture('a').page('about:blank');
        ${tests(20, (i) => `test('passes ${i}', async () => {});`)}`,
    },
    many: 20,
    command(isWith, what) {
      if (what === 'workers') return null;
      const config = ['--config-file', isWith ? 'with.cjs' : 'without.cjs'];
      return ['testcafe', BROWSER, `${what}.js`, ...config];
    },
  },
};

async function main([name, pairs = '15']) {
  const runner = RUNNERS[name];
  const place = await project(name, runner.node, runner.files);
  const results = {};
  try {
    for (const what of ['one', 'many', 'workers']) {
      if (runner.command(true, what) === null) continue;
      const commandOf = (isWith) => runner.command(isWith, what);
      results[what] = compared(place, commandOf, Number(pairs));
      print(`${name}, ${what}`, results[what]);
    }
  } finally {
    remove(place);
  }
  const { one, many, workers } = results;
  for (const [unit, title] of [
    ['ms', 'time'],
    ['cpuMs', 'processor'],
  ]) {
    const run = one[unit].more;
    const each = (many[unit].more - run) / ((runner.many ?? MANY) - 1);
    const worker = workers && ((workers[unit].more - run) / WORKERS).toFixed(1);
    const last = worker === undefined ? '' : `; a worker: ${worker} ms`;
    console.log(`${title} of a run: ${run.toFixed(1)} ms; a test: ${each.toFixed(3)} ms${last}`);
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

/**
 * What the adapters for Mocha, Cucumber and TestCafe add to a run: pairs of runs in turns, one without the
 * adapter and one with it, of 1 test, of many tests, and of many workers. Prints the medians of the differences.
 *
 *   node bench/adapters/hooks.js mocha [pairs]
 */
'use strict';

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const { install, node24 } = require('../../test/helpers/installation.js');

const MANY = 200;
const WORKERS = 4;
const POOLS =
  "{ pools: { accounts: ['a', 'b', 'c', 'd', 'e', 'f'] }, tokens: { account: 'accounts' } }";
const BROWSER = 'chromium:headless --no-sandbox';

const numbers = (count) => Array.from({ length: count }, (_, i) => i);
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

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function project(name, { files, node }) {
  const installed = await install(name, []);
  const folder = fs.mkdtempSync(path.join(installed, `bench-${name}-`));
  for (const [file, text] of Object.entries({ 'package.json': '{}', ...files })) {
    fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    fs.writeFileSync(path.join(folder, file), text);
  }
  const program = node === undefined ? process.execPath : await node();
  return { folder, program, bin: path.join(installed, 'node_modules/.bin') };
}

function milliseconds({ folder, program, bin }, [command, ...args]) {
  const before = process.hrtime.bigint();
  const { status, stdout, stderr } = spawnSync(program, [path.join(bin, command), ...args], {
    cwd: folder,
  });
  const taken = Number(process.hrtime.bigint() - before) / 1e6;
  if (status !== 0) throw new Error(`${command} ended with ${status}:\n${stdout}${stderr}`);
  return taken;
}

async function main([name, pairs = '15']) {
  const runner = RUNNERS[name];
  const place = await project(name, runner);
  const differences = {};
  try {
    for (const what of ['one', 'many', 'workers']) {
      if (runner.command(true, what) === null) continue;
      const times = numbers(Number(pairs)).map((i) => {
        const order = i % 2 === 0 ? [false, true] : [true, false];
        const taken = new Map();
        for (const isWith of order) {
          taken.set(isWith, milliseconds(place, runner.command(isWith, what)));
        }
        return [taken.get(false), taken.get(true)];
      });
      differences[what] = median(times.map(([without, withIt]) => withIt - without));
      const plain = median(times.map(([without]) => without)).toFixed(0);
      console.log(`${name}, ${what}: ${plain} ms, and ${differences[what].toFixed(1)} ms more`);
    }
  } finally {
    fs.rmSync(place.folder, { recursive: true });
  }
  const { one, many, workers } = differences;
  const each = (many - one) / ((runner.many ?? MANY) - 1);
  console.log(`a run ${one.toFixed(1)} ms, a test ${each.toFixed(3)} ms`);
  if (workers !== undefined) console.log(`a worker ${((workers - one) / WORKERS).toFixed(1)} ms`);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

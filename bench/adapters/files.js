/**
 * What the adapters for Jest and Vitest add to a run: pairs of runs in turns, one without the adapter and one
 * with it. Prints the medians of the differences in time and processor time: of a run with one file, of a file
 * (many empty files, one worker), and of a suite whose files do a little work in two workers.
 *
 *   node bench/adapters/files.js jest [pairs [files]]
 */
'use strict';

const { node24 } = require('../../test/helpers/installation.js');
const { compared, numbers, print, project, remove } = require('./pairs.js');

/** What a file of the suite does: a small share of it on the processor. */
const WORK_MS = 200;
const BUSY_MS = 50;
const POOLS = "{ pools: { accounts: ['a', 'b', 'c', 'd'] }, tokens: { account: 'accounts' } }";

const EMPTY = "test('passes', () => {});";
const WORKING = `test('works', async () => {
  const until = performance.now() + ${BUSY_MS};
  while (performance.now() < until);
  await new Promise((resolve) => { setTimeout(resolve, ${WORK_MS - BUSY_MS}); });
});`;

const IMPORT = "import { test } from 'vitest';\n";

/** @type {Record<string, any>} */
const RUNNERS = {
  jest: {
    extension: 'test.js',
    head: '',
    config: {
      'without.js': 'module.exports = { transform: {} };',
      'with.js': `const { withBroker } = require('@ephemeral-broker/jest');
        module.exports = withBroker({ transform: {} }, ${POOLS});`,
    },
    command: (isWith, folder, workers) => [
      ...['jest', '-c', isWith ? 'with.js' : 'without.js', '--silent'],
      ...(workers === 1 ? ['-i'] : ['-w', String(workers)]),
      folder,
    ],
  },
  vitest: {
    node: node24,
    extension: 'test.mjs',
    head: IMPORT,
    config: {
      'without.mjs': 'export default {};',
      'with.mjs': `import { broker } from '@ephemeral-broker/vitest';
        export default { plugins: [broker(${POOLS})] };`,
    },
    command: (isWith, folder, workers) => [
      ...['vitest', 'run', '-c', isWith ? 'with.mjs' : 'without.mjs', '--reporter', 'dot'],
      ...['--maxWorkers', String(workers), folder],
    ],
  },
};

/** The files of the project. */
function filesOf({ extension, head, config }, count) {
  const all = { ...config, [`one/a.${extension}`]: head + EMPTY };
  for (const i of numbers(count)) {
    all[`empty/f${i}.${extension}`] = head + EMPTY;
    all[`suite/f${i}.${extension}`] = head + WORKING;
  }
  return all;
}

async function main([name, pairs = '15', files = '300']) {
  const runner = RUNNERS[name];
  const count = Number(files);
  const place = await project(name, runner.node, filesOf(runner, count));
  try {
    const of = (folder, workers) => (isWith) => runner.command(isWith, folder, workers);
    const one = compared(place, of('one', 1), Number(pairs));
    print(`${name}, one file`, one);
    const empty = compared(place, of('empty', 1), Number(pairs));
    print(`${name}, ${count} empty files`, empty);
    const each = (unit) => ((empty[unit].more - one[unit].more) / (count - 1)).toFixed(2);
    console.log(`${name}, a file: time ${each('ms')} ms; processor ${each('cpuMs')} ms`);
    print(`${name}, a suite of ${count} files`, compared(place, of('suite', 2), Number(pairs)));
  } finally {
    remove(place);
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

/**
 * What the adapters for Jest and Vitest add to a run: pairs of runs in turns, one without the adapter and one
 * with it. Prints the medians of the differences in time and processor time: of a run with one file, of a file
 * (many empty files, one worker), and of a suite whose files do a little work in two workers.
 *
 *   node bench/adapters/files.js jest [pairs [files]]
 */
'use strict';

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const { install, node24 } = require('../../test/helpers/installation.js');

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

const numbers = (count) => Array.from({ length: count }, (_, i) => i);
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function project(name, { node, extension, head, config }, files) {
  const installed = await install(name, []);
  const folder = fs.mkdtempSync(path.join(installed, `bench-${name}-`));
  const all = { 'package.json': '{}', ...config, [`one/a.${extension}`]: head + EMPTY };
  for (const i of numbers(files)) {
    all[`empty/f${i}.${extension}`] = head + EMPTY;
    all[`suite/f${i}.${extension}`] = head + WORKING;
  }
  for (const [file, text] of Object.entries(all)) {
    fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    fs.writeFileSync(path.join(folder, file), text);
  }
  const program = node === undefined ? process.execPath : await node();
  return { folder, program, bin: path.join(installed, 'node_modules/.bin') };
}

/** @returns {{ ms: number, cpuMs: number }} of the run with all of its processes */
function measured({ folder, program, bin }, [command, ...args]) {
  const script = 'TIMEFORMAT="%R %U %S"; { time "$@" >/dev/null 2>output; } 2>&1';
  const all = ['-c', script, 'bash', program, path.join(bin, command), ...args];
  const { status, stdout } = spawnSync('bash', all, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(fs.readFileSync(path.join(folder, 'output'), 'utf8'));
  const [real, user, system] = stdout.trim().split(' ').map(Number);
  return { ms: real * 1000, cpuMs: (user + system) * 1000 };
}

/** Medians of the run without the adapter, and of the differences. */
function compared(place, commandOf, pairs) {
  const results = numbers(pairs).map((i) => {
    const taken = new Map();
    for (const isWith of i % 2 === 0 ? [false, true] : [true, false]) {
      taken.set(isWith, measured(place, commandOf(isWith)));
    }
    return [taken.get(false), taken.get(true)];
  });
  const of = (unit) => ({
    plain: median(results.map(([without]) => without[unit])),
    more: median(results.map(([without, withIt]) => withIt[unit] - without[unit])),
  });
  return { ms: of('ms'), cpuMs: of('cpuMs') };
}

function print(what, { ms, cpuMs }) {
  const part = ({ plain, more }) =>
    `${plain.toFixed(0)} ms and ${more.toFixed(1)} more (${((100 * more) / plain).toFixed(2)} %)`;
  console.log(`${what}: time ${part(ms)}; processor ${part(cpuMs)}`);
}

async function main([name, pairs = '15', files = '300']) {
  const runner = RUNNERS[name];
  const count = Number(files);
  const place = await project(name, runner, count);
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
    fs.rmSync(place.folder, { recursive: true });
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

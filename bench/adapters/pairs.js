/** Pairs of runs of a test runner in turns, one without its adapter and one with it. */
'use strict';

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const { install } = require('../../test/helpers/installation.js');

const numbers = (count) => Array.from({ length: count }, (_, i) => i);
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

/**
 * A project in which the runner and its adapter are installed.
 * @param {string} name
 * @param {(() => Promise<string>) | undefined} node the program, if it is not ours
 * @param {Record<string, string>} files
 */
async function project(name, node, files) {
  const installed = await install(name, []);
  const folder = fs.mkdtempSync(path.join(installed, `bench-${name}-`));
  for (const [file, text] of Object.entries({ 'package.json': '{}', ...files })) {
    fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    fs.writeFileSync(path.join(folder, file), text);
  }
  const program = node === undefined ? process.execPath : await node();
  return { folder, program, bin: path.join(installed, 'node_modules/.bin') };
}

const remove = ({ folder }) => fs.rmSync(folder, { recursive: true });

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

module.exports = { compared, numbers, print, project, remove };

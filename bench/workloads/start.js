'use strict';

// What `start -- true` costs over an empty Node process: wall time, interleaved, medians.
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { deviationPercent, median } = require('../common');

const CLI = path.join(__dirname, '../../bin/ephemeral-pipe-broker.js');
const ROUNDS = 20;
const COMMANDS = {
  'node -e 0': ['-e', '0'],
  'start -- true': [CLI, 'start', '--', 'true'],
  'start --no-auth -- true': [CLI, 'start', '--no-auth', '--', 'true'],
};

function wallMs(args) {
  const began = performance.now();
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`node ${args.join(' ')} ended with ${status}: ${stderr}`);
  return performance.now() - began;
}

async function once() {
  const names = Object.keys(COMMANDS);
  const rounds = Array.from({ length: ROUNDS + 1 }, () =>
    names.map((name) => wallMs(COMMANDS[name])),
  ).slice(1);
  const rows = names.map((what, i) => {
    const times = rounds.map((round) => round[i]);
    const over = median(rounds.map((round) => round[i] - round[0]));
    const figures = {
      median: median(times),
      'over node -e 0': over,
      'deviation %': deviationPercent(times),
    };
    return { what, figures };
  });
  return { unit: 'ms', rows };
}

module.exports = [{ name: 'start -- true', order: 11, group: 'start', kind: 'once', once }];

/**
 * The adapter for Cucumber: a plugin, which starts the broker in the main process, and the hooks (hooks.js),
 * which take and release the tokens of each scenario.
 */
'use strict';

const { ensureRun } = require('ephemeral-pipe-broker/adapter');
const { exportOptions, removeOptions } = require('./worker_options.js');

const HOOKS = require.resolve('./hooks.js');

/**
 * Cucumber does not pass its shard to plugins.
 * @param {readonly string[]} argv
 */
function shardOf(argv) {
  const at = argv.findIndex((arg) => /^--shard(=|$)/.test(arg));
  const text = argv[at]?.includes('=') ? argv[at].slice('--shard='.length) : argv[at + 1];
  const found = at < 0 ? null : /^(\d+)\/(\d+)$/.exec(text ?? '');
  return found === null ? null : { index: Number(found[1]), total: Number(found[2]) };
}

/** @param {import('./index').CoordinatorContext} context */
async function coordinator({ operation, on, options }) {
  if (operation !== 'runCucumber') return undefined;
  const run = ensureRun(options, { adapter: 'cucumber', shard: shardOf(process.argv) });
  const stop = async () => {
    removeOptions();
    await run.stop();
  };
  try {
    exportOptions(options);
    await run.ready();
    await run.check();
  } catch (error) {
    await stop();
    throw error;
  }
  // Ahead of the user's files, so that our Before is the first and our After is the last.
  on('paths:resolve', ({ requirePaths, importPaths }) => {
    if (![...requirePaths, ...importPaths].includes(HOOKS)) requirePaths.unshift(HOOKS);
  });
  return async () => {
    await run.endRun().finally(stop);
  };
}

module.exports = { type: 'plugin', coordinator, optionsKey: 'broker' };

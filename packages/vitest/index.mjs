/** The plugin. Vitest loads the configuration in its main process, and calls `configureVitest` for each project. */
import { fileURLToPath } from 'node:url';
import { register } from './lib/main_process.mjs';

/** @param {string} name */
const own = (name) => fileURLToPath(new URL(`./lib/${name}`, import.meta.url));

const START = own('start.mjs');
const CHECK = own('check.mjs');
const FILE = own('setup_file.mjs');

const IN_BROWSER =
  "invalid_request: Tests in a browser can't reach the pipe; use a server-side command.";

/** @typedef {import('ephemeral-pipe-broker/adapter').RunOptions} RunOptions */

/** @param {unknown} files */
const listOf = (files = []) => (Array.isArray(files) ? files : [files]);

/**
 * What workers get, through `provide`.
 * @param {RunOptions} options
 * @param {string} pool
 */
function forWorkers({ pools = {}, values = {}, limits = {}, tokens = {}, ...options }, pool) {
  const { envVars, waitMs, noticeMs } = options;
  const known = [pools, limits, values].flatMap((all) => Object.keys(all));
  // A thread of a vm pool outlives the realms of its files.
  return { tokens, envVars, waitMs, noticeMs, known, hasRealms: /^vm/.test(pool) };
}

/**
 * @param {RunOptions} [options]
 * @returns {any}
 */
export function broker(options = {}) {
  return {
    name: 'ephemeral-broker',

    /** @param {any} config */
    config(config) {
      config.test ??= {};
      const { globalSetup, setupFiles } = config.test;
      if (listOf(setupFiles).includes(FILE)) return;
      // Before the user's, so that they have the broker; their teardown comes before ours.
      config.test.globalSetup = [START, ...listOf(globalSetup), CHECK];
      config.test.setupFiles = [FILE, ...listOf(setupFiles)];
    },

    /** @param {{ vitest: any, project: any }} context */
    configureVitest({ vitest, project }) {
      if (project.config.browser?.enabled) throw new Error(IN_BROWSER);
      // A project that extends the root has its plugins, and not what their `config` has added.
      const { setupFiles } = project.config;
      if (!setupFiles.includes(FILE)) setupFiles.unshift(FILE);
      const { index, count } = vitest.config.shard ?? {};
      register(options, index === undefined ? null : { index, total: count });
      project.provide('ephemeralBroker', forWorkers(options, project.config.pool));
    },
  };
}

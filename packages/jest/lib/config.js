/** What `withBroker` does to a configuration of Jest. */
'use strict';

const { registry } = require('./registry.js');

const SETUP = require.resolve('../global-setup.js');
const TEARDOWN = require.resolve('../global-teardown.js');
const NODE = require.resolve('../environment.js');
const MIXED = require.resolve('./environment_of_project.js');
const FILE_GLOBALS = require.resolve('./file_globals.js');
const OWN_ENVIRONMENTS = new Set([undefined, 'node', 'jest-environment-node', NODE]);

/**
 * @typedef {import('./registry').RunOptions} RunOptions
 * @typedef {Record<string, any>} Config
 */

/**
 * What workers get: JSON, in `testEnvironmentOptions`.
 * @param {RunOptions} options
 */
function forWorkers({ pools = {}, values = {}, limits = {}, tokens, envVars, waitMs, noticeMs }) {
  const known = [pools, limits, values].flatMap((all) => Object.keys(all));
  // No limit is the default, and JSON has no Infinity.
  const wait = waitMs === Infinity ? undefined : waitMs;
  const notice = noticeMs === Infinity ? 0 : noticeMs;
  const given = { tokens, known, envVars, waitMs: wait, noticeMs: notice };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/**
 * The environment and the globals of test files.
 * @param {Config} config
 * @param {RunOptions} options
 * @returns {Config}
 */
function withFiles(config, options) {
  const { testEnvironment, testEnvironmentOptions = {}, setupFiles = [] } = config;
  if (testEnvironmentOptions.ephemeralBroker !== undefined) return config;
  const isNode = OWN_ENVIRONMENTS.has(testEnvironment);
  const base = isNode ? {} : { environment: testEnvironment };
  return {
    ...config,
    setupFiles: [FILE_GLOBALS, ...setupFiles],
    testEnvironment: isNode ? NODE : MIXED,
    testEnvironmentOptions: {
      ...testEnvironmentOptions,
      ephemeralBroker: { ...forWorkers(options), ...base },
    },
  };
}

/**
 * @param {Config} config
 * @param {RunOptions | undefined} given
 * @returns {Config}
 */
function wrap(config, given) {
  const known = registry();
  // A program may call Jest several times, each time with a configuration that it loads.
  if (known.hasRun) Object.assign(known, { options: [], hooks: [], hasRun: false });
  if (given !== undefined) known.options.push(given);
  // A project's configuration, loaded after the one that lists it.
  const options = given ?? known.options[0] ?? {};
  const { globalSetup, globalTeardown, rootDir, projects } = config;
  if (globalSetup !== SETUP)
    known.hooks.push({ setup: globalSetup, teardown: globalTeardown, rootDir });
  const wrapped = { ...withFiles(config, options), globalSetup: SETUP, globalTeardown: TEARDOWN };
  if (!Array.isArray(projects)) return wrapped;
  const inline = projects.map((project) =>
    typeof project === 'object' && project !== null ? withFiles(project, options) : project,
  );
  return { ...wrapped, projects: inline };
}

/**
 * @param {Config | ((...args: unknown[]) => Config | Promise<Config>)} config
 * @param {RunOptions} [options]
 */
function withBroker(config, options) {
  if (typeof config !== 'function') return wrap(config, options);
  return async (/** @type {unknown[]} */ ...args) => wrap(await config(...args), options);
}

module.exports = { withBroker };

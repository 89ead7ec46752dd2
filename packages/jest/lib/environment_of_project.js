/**
 * The environment that `withBroker` puts in the place of the project's own: a function that makes the project's,
 * with the tokens. Jest tells the name only when it makes the environment of a file.
 */
'use strict';

const { withBrokerEnvironment } = require('./environment_mixin.js');
const { resolveFrom } = require('./packages.js');

/** By name and folder. @type {Map<string, any>} */
const made = new Map();

/**
 * @param {string} name
 * @param {string} rootDir
 */
function load(name, rootDir) {
  const names = name === 'jsdom' ? ['jest-environment-jsdom'] : [`jest-environment-${name}`, name];
  const file = names.map((one) => find(one, rootDir)).find((found) => found !== null);
  if (file === undefined) {
    throw new Error(`The testEnvironment "${name}" was not found from ${rootDir}.`);
  }
  try {
    const loaded = require(/** @type {string} */ (file));
    return loaded.TestEnvironment ?? loaded.default ?? loaded;
  } catch (cause) {
    const message =
      `The testEnvironment "${name}" can't be loaded by require(). Wrap it in its own file: ` +
      'module.exports = withBrokerEnvironment(…).';
    throw new Error(message, { cause });
  }
}

/**
 * @param {string} name
 * @param {string} rootDir
 */
function find(name, rootDir) {
  try {
    return resolveFrom(name, rootDir);
  } catch {
    return null;
  }
}

/**
 * @param {any} config
 * @param {any} context
 */
module.exports = function ProjectEnvironment(config, context) {
  const { rootDir, testEnvironmentOptions } = config.projectConfig;
  const name = testEnvironmentOptions.ephemeralBroker.environment;
  const id = `${rootDir}\0${name}`;
  if (!made.has(id)) made.set(id, withBrokerEnvironment(load(name, rootDir)));
  return new (made.get(id))(config, context);
};

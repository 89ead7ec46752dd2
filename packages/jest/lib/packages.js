/** Finds packages of Jest, which need not be direct dependencies of the project. */
'use strict';

const path = require('node:path');

/** Each package is a dependency of the one before. */
const PATHS = {
  'jest-environment-node': ['jest', '@jest/core', 'jest-config', 'jest-environment-node'],
  '@jest/transform': ['jest', '@jest/core', '@jest/transform'],
};

/**
 * @param {string} name
 * @param {string} from a folder
 * @returns {string | null}
 */
function folderOf(name, from) {
  try {
    return path.dirname(require.resolve(`${name}/package.json`, { paths: [from] }));
  } catch {
    return null;
  }
}

/**
 * Loads a package that Jest depends on.
 * @param {keyof typeof PATHS} name
 * @returns {any}
 */
function ofJest(name) {
  for (const start of [process.cwd(), __dirname]) {
    const folder = PATHS[name].reduce(
      (/** @type {string | null} */ from, next) => from && folderOf(next, from),
      start,
    );
    if (folder !== null) return require(folder);
  }
  return require(name);
}

/**
 * The file that a name in a configuration of the project means.
 * @param {string} name
 * @param {string} rootDir
 */
function resolveFrom(name, rootDir) {
  const given = name.replace(/^<rootDir>/, rootDir);
  return require.resolve(given, { paths: [rootDir, __dirname] });
}

/**
 * @param {string} name
 * @param {string} rootDir
 * @returns {any}
 */
const ofProject = (name, rootDir) => require(resolveFrom(name, rootDir));

module.exports = { ofJest, ofProject, resolveFrom };

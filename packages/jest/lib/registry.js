/**
 * What jest.config.js gives to the global hooks, which Jest runs in the same process. The registry is on the
 * global object, because a project may load several copies of this package.
 */
'use strict';

const REGISTRY = Symbol.for('@ephemeral-broker/jest');

/**
 * @typedef {import('ephemeral-pipe-broker/adapter').RunOptions} RunOptions
 * @typedef {import('ephemeral-pipe-broker/adapter').Run} Run
 * @typedef {{ setup?: string, teardown?: string, rootDir?: string }} Hooks the user's own, as they are written
 */

/**
 * @typedef {object} Registry
 * @property {RunOptions[]} options of each configuration that has some
 * @property {Hooks[]} hooks
 * @property {Run[]} runs of the present run; empty between runs of a watch mode
 * @property {boolean} hasRun whether a run has ended; the next configuration is not one of its projects
 */

/** @returns {Registry} */
function registry() {
  const realm = /** @type {Record<symbol, Registry>} */ (/** @type {unknown} */ (globalThis));
  realm[REGISTRY] ??= { options: [], hooks: [], runs: [], hasRun: false };
  return realm[REGISTRY];
}

module.exports = { registry };

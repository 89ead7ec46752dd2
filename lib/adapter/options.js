/** What `ensureRun` and `takeTokens` accept. An option that is misspelt fails before any worker starts. */
'use strict';

const { checkNames } = require('../options.js');
const { invalid } = require('./errors.js');

const RUN_OPTIONS = [
  'pools',
  'values',
  'limits',
  'ttl',
  'tokens',
  'envVars',
  'shard',
  'waitMs',
  'noticeMs',
  'broker',
  'cleanup',
];
const SPEC_OPTIONS = ['key', 'shared', 'slot', 'ttl', 'waitMs', 'env'];

/**
 * @typedef {import('../adapter').TokenSpec} TokenSpec
 * @typedef {Exclude<TokenSpec, string>} Spec
 * @typedef {{ index: number, total: number }} Shard
 */

/**
 * @param {string} alias
 * @param {unknown} spec
 * @returns {Spec}
 */
function specOf(alias, spec) {
  if (typeof spec === 'string') return { key: spec };
  const owner = `The token ${JSON.stringify(alias)}`;
  checkNames(owner, /** @type {any} */ (spec), SPEC_OPTIONS);
  const { key, shared, slot } = /** @type {Spec} */ (spec);
  if (typeof key !== 'string' || key === '') throw invalid(`${owner} needs a key.`);
  if (slot && shared) throw invalid(`${owner} is a slot, which no other worker can share.`);
  return /** @type {Spec} */ (spec);
}

/**
 * @param {Record<string, unknown>} [tokens]
 * @returns {Map<string, Spec>} sorted by alias
 */
function specsOf(tokens = {}) {
  const aliases = Object.keys(tokens).sort();
  return new Map(aliases.map((alias) => [alias, specOf(alias, tokens[alias])]));
}

/** @param {unknown} shard */
function checkShard(shard) {
  if (shard === undefined || typeof shard === 'boolean') return;
  const { index, total } = /** @type {Shard} */ (shard ?? {});
  const isShard =
    Number.isSafeInteger(index) && Number.isSafeInteger(total) && index >= 1 && index <= total;
  if (!isShard)
    throw invalid('shard is true, false, or { index, total } with 1 <= index <= total.');
}

/** @param {import('../adapter').RunOptions} options */
function checkRunOptions(options) {
  checkNames('ensureRun()', options, RUN_OPTIONS);
  specsOf(options.tokens);
  checkShard(options.shard);
  for (const name of /** @type {const} */ (['pools', 'values', 'limits'])) {
    const given = options[name];
    if (given === undefined) continue;
    if (typeof given !== 'object' || given === null || Array.isArray(given)) {
      throw invalid(`${name} is an object: a key, and what it is.`);
    }
  }
  const { cleanup } = options;
  if (cleanup !== undefined && typeof cleanup !== 'function')
    throw invalid('cleanup is a function.');
}

/**
 * The shard whose elements this run uses, if any.
 * @param {import('../adapter').RunOptions} options
 * @param {Shard | null | undefined} runners
 * @returns {Shard | null}
 */
function shardOf({ shard }, runners) {
  if (shard === true) checkShard(runners ?? undefined);
  if (shard === true) return runners ?? null;
  return typeof shard === 'object' ? shard : null;
}

module.exports = { checkRunOptions, shardOf, specsOf };

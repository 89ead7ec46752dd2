/** The environment variables of tokens. */
'use strict';

const { invalid } = require('./errors.js');

const PREFIX = 'BROKER_TOKEN_';

/** @param {string} alias */
function upperSnake(alias) {
  return alias
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1_$2')
    .replace(/[^A-Za-z0-9]+/g, '_')
    .toUpperCase();
}

/**
 * @param {string} alias
 * @param {import('../adapter').EnvVars | undefined} envVars
 * @returns {string | undefined}
 */
function nameOf(alias, envVars) {
  if (envVars === undefined || envVars === false) return undefined;
  if (typeof envVars === 'object') return envVars[alias];
  return (envVars === true ? PREFIX : envVars) + upperSnake(alias);
}

/**
 * Text is passed as it is, everything else as JSON.
 * @param {Record<string, unknown>} values by alias
 * @param {import('../adapter').EnvVars | undefined} envVars
 * @param {ReadonlyMap<string, { env?: string }>} specs a name of their own comes first
 * @returns {Record<string, string>}
 */
function variables(values, envVars, specs) {
  /** @type {Map<string, string>} */
  const owners = new Map();
  /** @type {Record<string, string>} */
  const env = {};
  for (const [alias, value] of Object.entries(values)) {
    const name = specs.get(alias)?.env ?? nameOf(alias, envVars);
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    if (name === undefined || text === undefined) continue;
    const other = owners.get(name);
    if (other !== undefined) {
      throw invalid(`The tokens "${other}" and "${alias}" would both be the variable ${name}.`);
    }
    owners.set(name, alias);
    env[name] = text;
  }
  return env;
}

module.exports = { variables };

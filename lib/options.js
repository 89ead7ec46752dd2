/**
 * The options of `new Broker()` and `new PipeClient()`, and what their values may be. The table itself is
 * csrc/options/options.def, for JavaScript lib/option_rows.js.
 *
 * An explicit option overrides the environment, and the environment overrides the default. An invalid value
 * is never replaced by a default: BrokerError `invalid_request` names the option and its valid values.
 */
'use strict';

const {
  DURATION_HELP,
  FOREVER_MS,
  UNITS_MS,
  milliseconds,
  warnOfShortTtl,
} = require('./duration.js');
const { BrokerError, describeType } = require('./error.js');
const { rows } = require('./option_rows.js');

/**
 * @typedef {'bytes' | 'ms' | 'count' | 'boolean' | 'enum' | 'string' | 'function'} OptionType
 * @typedef {'broker' | 'client'} OptionKind
 * @typedef {object} Option
 * @property {string} name
 * @property {OptionKind} kind
 * @property {OptionType} type
 * @property {any} default
 * @property {number} [min] the least number; default 0
 * @property {string} [zeroMeans] the meaning of 0, where it is special
 * @property {boolean} [endless] Infinity is allowed and means until the broker ends
 * @property {boolean} [isNever] Infinity is allowed and means the same as 0
 * @property {readonly string[]} [values] of an enum
 * @property {RegExp} [pattern] of a string
 * @property {string} [patternHelp] the pattern in words
 * @property {string | null} [env] null: none
 */

const KIB = 1024;
const MIB = 1024 * KIB;

/** Variables in which test runners and others pass the worker id; the first one that is set wins. */
const WORKER_ENV = Object.freeze([
  'WORKER_ID',
  'WDIO_WORKER_ID',
  'TEST_PARALLEL_INDEX',
  'VITEST_POOL_ID',
  'JEST_WORKER_ID',
  'MOCHA_WORKER_ID',
  'CUCUMBER_WORKER_ID',
  'NODE_TEST_WORKER_ID',
]);

/**
 * Options of `@ephemeral-broker/core` that have no effect here, and why. Programs that change only the
 * import keep working, with one warning.
 * @type {Readonly<Record<'broker' | 'client', Readonly<Record<string, string>>>>}
 */
const FOREIGN = Object.freeze({
  broker: Object.freeze({
    compression: 'clients compress',
    compressionThreshold: 'clients compress',
    logLevel: "'debug' is debug: true; else `log` chooses what to show",
    structuredLogging: 'every line of the log is JSON',
    metrics: 'metrics() always answers, and costs nothing until then',
  }),
  client: Object.freeze({
    debug: 'a BrokerError names the operation and the key',
    allowNoTtl: "the broker's requireTTL decides",
  }),
});
let toldForeign = false;

/** The variables of the secret, which is no row: it has several names and is never shown. */
const SECRET_ENV = Object.freeze({
  broker: Object.freeze(['EPHEMERAL_SECRET', 'BROKER_SECRET']),
  client: Object.freeze(['EPHEMERAL_SECRET', 'CLIENT_SECRET']),
});

/**
 * The worker id from the environment.
 * @param {Record<string, string | undefined>} [env]
 * @returns {string | undefined}
 */
function workerFromEnv(env = process.env) {
  const name = ['CLIENT_WORKER_ID', ...WORKER_ENV].find((candidate) => env[candidate]);
  return name === undefined ? undefined : env[name];
}

/**
 * The worker id of a client without an explicit one.
 * @returns {string}
 */
function defaultWorkerId() {
  const { threadId } = require('node:worker_threads');
  return threadId === 0 ? String(process.pid) : `${process.pid}-${threadId}`;
}

/**
 * The rows of a kind.
 * @param {OptionKind} kind
 * @returns {Option[]}
 */
const rowsOf = (kind) => rows.filter((row) => row.kind === kind);

const UNITS = {
  ms: { '': 1, ...UNITS_MS },
  bytes: { '': 1, b: 1, k: KIB, kb: KIB, kib: KIB, m: MIB, mb: MIB, mib: MIB, g: KIB * MIB },
  count: { '': 1 },
};

/**
 * Converts text to a number in the option's unit; NaN if it is not a number.
 * @param {'ms' | 'bytes' | 'count'} type
 * @param {string} text
 */
function parseNumber(type, text) {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  if (!match) return NaN;
  const factors = /** @type {Record<string, number>} */ (UNITS[type]);
  const unit = match[2].toLowerCase();
  return Object.hasOwn(factors, unit) ? Number(match[1]) * factors[unit] : NaN;
}

/** The text of Infinity in an environment variable. */
const FOREVER = 'forever';

const ACCEPTED = {
  ms: DURATION_HELP,
  bytes: 'a whole number of bytes',
  count: 'a whole number',
};
const ACCEPTED_TEXT = {
  ms: 'a time such as 500ms, 30s, 5m or 1h',
  bytes: 'a size such as 4096, 64k or 1m',
  count: 'a whole number',
};

/**
 * The valid values of an option, in words.
 * @param {Option} row
 * @param {boolean} asText from the environment, rather than from code
 * @returns {string}
 */
function accepted(row, asText) {
  if (row.type === 'boolean') return asText ? 'true or false' : 'a boolean';
  if (row.type === 'enum') return `one of ${(row.values ?? []).join(', ')}`;
  if (row.type === 'function') return 'a function';
  if (row.type === 'string') return row.patternHelp ?? 'a string that is not empty';
  const least = row.min ? ` of at least ${row.min}` : '';
  const zero = row.zeroMeans ? ` (0: ${row.zeroMeans})` : '';
  const end = row.endless ? `, or ${asText ? FOREVER : 'Infinity'} (as long as the broker)` : '';
  return (asText ? ACCEPTED_TEXT : ACCEPTED)[row.type] + least + zero + end;
}

/**
 * @param {string} where the option or variable
 * @param {Option} row
 * @param {string} got
 * @param {boolean} asText
 */
function wrong(where, row, got, asText) {
  const message = `${where} takes ${accepted(row, asText)}, not ${got}.`;
  return new BrokerError('invalid_request', message);
}

/**
 * @param {Option} row
 * @param {unknown} value
 */
function fits(row, value) {
  switch (row.type) {
    case 'boolean':
      return typeof value === 'boolean';
    case 'function':
      return typeof value === 'function';
    case 'enum':
      return typeof value === 'string' && (row.values ?? []).includes(value);
    case 'string':
      return typeof value === 'string' && value !== '' && (!row.pattern || row.pattern.test(value));
    default:
      return Number.isSafeInteger(value) && /** @type {number} */ (value) >= (row.min ?? 0);
  }
}

/**
 * @param {Option} row
 * @param {unknown} value
 * @param {string} owner
 */
function checkGiven(row, value, owner) {
  if (row.type === 'ms') {
    const ms = value === Infinity ? endOf(row) : milliseconds(value);
    if (row.endless && fits(row, ms)) warnOfShortTtl(`${owner} option ${row.name}`, value);
    if (fits(row, ms)) return ms;
  } else if (fits(row, value)) {
    return value;
  }
  const isText = typeof value === 'string' && row.type !== 'function';
  const got = isText ? JSON.stringify(value.slice(0, 80)) : shownNumber(value);
  throw wrong(`${owner} option ${row.name}`, row, got, false);
}

/**
 * The number that Infinity stands for in an option.
 * @param {Option} row
 */
function endOf({ endless, isNever }) {
  if (endless) return FOREVER_MS;
  return isNever ? 0 : Infinity;
}

/** @param {unknown} value */
function shownNumber(value) {
  return typeof value === 'number' ? String(value) : describeType(value);
}

/** @type {Record<string, boolean>} */
const BOOLEANS = {
  ...{ true: true, 1: true, yes: true, on: true },
  ...{ false: false, 0: false, no: false, off: false },
};

/**
 * Converts text from the environment to a checked value.
 * @param {Option} row
 * @param {string} text
 * @param {string} where
 */
function parseText(row, text, where) {
  /** @type {unknown} */
  let value = text;
  if (row.type === 'boolean') value = BOOLEANS[text.trim().toLowerCase()];
  else if (row.endless && text.trim() === FOREVER) value = FOREVER_MS;
  else if (row.type in UNITS)
    value = parseNumber(/** @type {'ms' | 'bytes' | 'count'} */ (row.type), text);
  if (fits(row, value)) return value;
  throw wrong(where, row, JSON.stringify(text.slice(0, 80)), true);
}

/**
 * The name in `candidates` closest to a misspelled `word`; null if none is close.
 * @param {string} word
 * @param {readonly string[]} candidates
 * @returns {string | null}
 */
function nearest(word, candidates) {
  let best = null;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/**
 * Levenshtein's distance, one row at a time.
 * @param {string} a
 * @param {string} b
 */
function editDistance(a, b) {
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = above[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(change, above[j] + 1, row[j - 1] + 1));
    }
    above = row;
  }
  return above[b.length];
}

/**
 * @param {string} word
 * @param {readonly string[]} candidates
 */
function suggestion(word, candidates) {
  const found = nearest(word, candidates);
  return found === null ? '' : ` Did you mean ${found}?`;
}

/**
 * @param {string} owner
 * @param {unknown} given
 * @param {readonly string[]} names
 */
function checkNames(owner, given, names) {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    const message = `The options of ${owner} are an object, not ${describeType(given)}.`;
    throw new BrokerError('invalid_request', message);
  }
  for (const name of Object.keys(given)) {
    if (names.includes(name)) continue;
    const message = `${owner} has no option ${JSON.stringify(name.slice(0, 80))}.`;
    throw new BrokerError('invalid_request', message + suggestion(name, names));
  }
}

/**
 * All options of a broker or a client: explicit, else from the environment, else the default. Excludes the
 * secret: see resolveSecret.
 * @param {'broker' | 'client'} kind
 * @param {Record<string, unknown>} [given]
 * @param {Record<string, string | undefined>} [env]
 * @returns {Record<string, any>}
 */
function resolve(kind, given = {}, env = process.env) {
  const owner = kind === 'broker' ? 'Broker' : 'PipeClient';
  const known = rowsOf(kind);
  const foreign = Object.keys(FOREIGN[kind]).filter((name) => isSet(given[name]));
  checkNames(owner, given, [...known.map((row) => row.name), 'secret', 'auth', ...foreign]);
  if (foreign.length > 0) warnOfForeign(kind, owner, foreign);
  /** @type {Record<string, any>} */
  const options = {};
  for (const row of known) {
    const text = row.env ? env[row.env] : undefined;
    if (isSet(given[row.name])) options[row.name] = checkGiven(row, given[row.name], owner);
    else if (text !== undefined) options[row.name] = parseText(row, text, String(row.env));
    else options[row.name] = row.default;
  }
  if (kind === 'broker' && given.logLevel === 'debug' && !isSet(given.debug)) options.debug = true;
  return options;
}

/**
 * @param {'broker' | 'client'} kind
 * @param {string} owner
 * @param {string[]} names
 */
function warnOfForeign(kind, owner, names) {
  if (toldForeign) return;
  toldForeign = true;
  const reasons = names.map((name) => `${name} (${FOREIGN[kind][name]})`);
  const message = `${owner} leaves out options of @ephemeral-broker/core: ${reasons.join(', ')}.`;
  process.emitWarning(message, { code: 'EPB_OPTION' });
}

/**
 * `null` counts as not given, like a missing member of a configuration file.
 * @param {unknown} value
 */
function isSet(value) {
  return value !== undefined && value !== null;
}

/**
 * The secret: option `secret` or `auth`, else the environment. `null` means no secret, even if the
 * environment contains one. Two different options, or two different variables, are an error.
 * @param {'broker' | 'client'} kind
 * @param {Record<string, unknown>} [given]
 * @param {Record<string, string | undefined>} [env]
 * @returns {string | Uint8Array | null}
 */
function resolveSecret(kind, given = {}, env = process.env) {
  /** @type {[string, unknown][]} */
  const options = [
    ['option secret', given.secret],
    ['option auth', given.auth],
  ];
  const variables = SECRET_ENV[kind].map((name) => /** @type {const} */ ([name, env[name]]));
  if (options.some(([, value]) => value !== undefined)) return oneSecret(options);
  return oneSecret(variables);
}

/**
 * @param {readonly (readonly [string, unknown])[]} sources
 * @returns {string | Uint8Array | null}
 */
function oneSecret(sources) {
  const given = sources.filter(([, value]) => value !== undefined);
  for (const [name, value] of given) checkSecret(name, value);
  if (given.length === 0) return null;
  const [first, ...others] = /** @type {[string, string | Uint8Array | null][]} */ (given);
  for (const other of others) {
    if (sameSecret(first[1], other[1])) continue;
    const message = `${first[0]} and ${other[0]} are different secrets: give one of them.`;
    throw new BrokerError('invalid_request', message);
  }
  return first[1];
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function checkSecret(name, value) {
  if (value === null) return;
  if (typeof value !== 'string' && !(value instanceof Uint8Array)) {
    const message = `${name} takes a string, a Buffer or null, not ${describeType(value)}.`;
    throw new BrokerError('invalid_request', message);
  }
  if (value.length > 0) return;
  const message = `${name} is empty: give it a value, or leave it out.`;
  throw new BrokerError('invalid_request', message);
}

/**
 * @param {string | Uint8Array | null} a
 * @param {string | Uint8Array | null} b
 */
function sameSecret(a, b) {
  if (a === null || b === null) return a === b;
  return Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0;
}

module.exports = {
  FOREIGN,
  checkNames,
  defaultWorkerId,
  resolve,
  resolveSecret,
  rowsOf,
  sameSecret,
  workerFromEnv,
};

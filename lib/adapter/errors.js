/**
 * The errors of adapters. A runner prints only the message, so the message begins with the code, which is
 * also the name of its page in docs/errors.
 */
'use strict';

const { BrokerError } = require('../client/client.js');
const { quoteKey } = require('../error.js');

const BELOW_START = 'Or run it below `ephemeral-pipe-broker start --`.';
/** What a user of each adapter does about a worker without a pipe. @type {Record<string, string>} */
const FIXES = {
  'node-test':
    'Run node --test --test-global-setup=<file>, with withBroker() in that file (Node 24 or later).',
  wdio: 'Wrap the config: export const config = withBrokerTokens({ … }, { … }).',
  playwright: 'Wrap the config: export default withBroker(defineConfig({ … })).',
  jest:
    "Your jest.config has a globalSetup of its own, which replaces the preset's: export " +
    'withBroker(config).',
  vitest: 'Add broker() of @ephemeral-broker/vitest to the plugins of the config.',
  mocha: 'Add --require @ephemeral-broker/mocha.',
  testcafe: 'Add brokerHooks() of @ephemeral-broker/testcafe to the hooks of the config.',
  cucumber: 'Add @ephemeral-broker/cucumber to the plugins of the config.',
};

/**
 * @param {string} code
 * @param {string} message
 * @param {unknown} [cause]
 */
function failure(code, message, cause) {
  return new BrokerError(code, `${code}: ${message}`, { cause });
}

/** @param {string} message */
const invalid = (message) => failure('invalid_request', message);

/** @param {string} adapter */
function noPipe(adapter) {
  const fix = Object.hasOwn(FIXES, adapter) ? ` ${FIXES[adapter]}` : '';
  return failure('broker_gone', `EPHEMERAL_PIPE is not set in this worker.${fix} ${BELOW_START}`);
}

/** @param {readonly string[]} names */
const listed = (names) => (names.length === 0 ? 'nothing' : names.map(quoteKey).join(', '));

/**
 * @param {string} alias
 * @param {string} key
 * @param {readonly string[]} known names that exist
 */
function unknownKey(alias, key, known) {
  return failure(
    'not_found',
    `The token ${quoteKey(alias)} names the key ${quoteKey(key)}, and nothing has that name. ` +
      `Known: ${listed(known)}. Define it in pools or values, or say { key: '${key}', slot: true } ` +
      'for a number. A global setup, or the broker of `start`, may also have it before the workers start.',
  );
}

/**
 * @param {number} count
 * @param {string} key
 * @param {number} size
 */
function tooFew(count, key, size) {
  const message = `${count} aliases need elements of ${quoteKey(key)} at once, and it has ${size}.`;
  return failure('conflict', message);
}

/** @param {number} ms */
const seconds = (ms) => `${Math.round(ms / 1000)} s`;

/**
 * @param {import('../index').BrokerError} error wait_timeout of the core
 * @param {object} about
 * @param {string} about.key
 * @param {readonly string[]} about.aliases empty: the key was not named by a token
 * @param {number} about.waitedMs
 * @param {number | undefined} about.size elements of the key, if known
 */
function waitedTooLong(error, { key, aliases, waitedMs, size }) {
  const holders = error.holders ?? [];
  const held = holders.map(({ workerId, heldMs }) => `${workerId} for ${seconds(heldMs)}`);
  const token = aliases.length === 0 ? '' : ` (token ${aliases.map(quoteKey).join(', ')})`;
  // This worker no longer waits.
  const workers = new Set(holders.map(({ workerId }) => workerId)).size + (error.waiting ?? 0) + 1;
  const advice =
    size === undefined
      ? 'Lower the number of workers, or raise waitMs.'
      : `The pool has ${size} elements for ${workers} workers: add elements, lower the number of ` +
        'workers, or raise waitMs.';
  const by = held.length === 0 ? '' : `: held by ${held.join(', ')}`;
  return failure(
    'wait_timeout',
    `Waited ${seconds(waitedMs)} for ${quoteKey(key)}${token}${by}. ${advice}`,
    error,
  );
}

/**
 * @param {string} alias
 * @param {number} ttlMs
 * @param {string} during
 * @param {unknown} cause
 */
function lost(alias, ttlMs, during, cause) {
  return failure(
    'lease_lost',
    `The token ${quoteKey(alias)} was taken from this worker during ${during}: it stood still for ` +
      `longer than ${ttlMs} ms, or somebody used --force. Another worker may have used it meanwhile.`,
    cause,
  );
}

/**
 * @param {string} alias
 * @param {readonly string[]} aliases
 */
function noSuchAlias(alias, aliases) {
  const message = `getToken(${quoteKey(alias)}): no such alias. There are: ${aliases.join(', ')}.`;
  return invalid(message);
}

module.exports = {
  failure,
  invalid,
  lost,
  noPipe,
  noSuchAlias,
  tooFew,
  unknownKey,
  waitedTooLong,
};

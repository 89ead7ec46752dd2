/**
 * The options that the hooks of each worker need. Workers are threads or processes and inherit only the
 * environment; it carries names of keys and limits, no values of tokens.
 */
'use strict';

const VARIABLE = 'EPHEMERAL_BROKER_CUCUMBER';

/** @param {import('./index').RunOptions} options */
function exportOptions({ tokens, envVars, waitMs, noticeMs, pools, values, limits }) {
  const known = [pools, values, limits].flatMap((all) => Object.keys(all ?? {}));
  // JSON has no Infinity, which is the default.
  const wait = waitMs === Infinity ? undefined : waitMs;
  process.env[VARIABLE] = JSON.stringify({ tokens, envVars, waitMs: wait, noticeMs, known });
}

function removeOptions() {
  delete process.env[VARIABLE];
}

/**
 * @returns {Pick<import('./index').RunOptions, 'tokens' | 'envVars' | 'waitMs' | 'noticeMs'> & { known?: string[] }}
 */
const importedOptions = () => JSON.parse(process.env[VARIABLE] ?? '{}');

module.exports = { exportOptions, importedOptions, removeOptions };

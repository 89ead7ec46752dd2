/** The options of the service, as `ensureRun` of the library takes them. */

/** Options of `@ephemeral-broker/wdio` 0.1, which have no meaning here. */
const IGNORED = ['debug', 'refreshTTLOnGet'];

/**
 * `seedData` of version 0.1: the cache as a whole, and each entry under its own name.
 * @param {{ cache?: Record<string, any>, ephemeral?: Record<string, any> }} seedData
 */
function seededValues({ cache, ephemeral }) {
  const entries = [
    ...(cache === undefined ? [] : [['cache', cache]]),
    ...Object.entries(cache ?? {}).filter(([name]) => !name.startsWith('_')),
    ...Object.entries(ephemeral ?? {}),
  ];
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

/**
 * @param {Record<string, any>} [options]
 * @returns {import('ephemeral-pipe-broker/adapter').RunOptions}
 */
export function runOptions({ seedData, ...options } = {}) {
  for (const name of IGNORED) delete options[name];
  if (seedData === undefined) return options;
  return { ...options, values: { ...seededValues(seedData), ...options.values } };
}

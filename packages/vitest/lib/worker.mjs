/** The client of a worker and the tokens of its test file, for the set-up file and for fixtures. */
import adapter from 'ephemeral-pipe-broker/adapter';

const TOKENS = Symbol.for('@ephemeral-broker/vitest.tokens');

/** @type {any} */
const realm = globalThis;

export const workerId = () => `vitest:${process.env.VITEST_POOL_ID ?? '1'}`;

export const newClient = () => adapter.worker({ adapter: 'vitest', workerId: workerId() });

/** @param {Record<string, any>} values */
export function setTokens(values) {
  realm[TOKENS] = values;
}

/** @returns {Record<string, any> | undefined} */
export const tokens = () => realm[TOKENS];

/** @param {string} alias */
export function getToken(alias) {
  const values = tokens();
  return adapter.getToken(values === undefined ? null : { values }, alias, 'beforeAll');
}

/**
 * Runs a function that may wait. Its signal aborts when Vitest's main process has ended, so that this process
 * ends, too.
 * @template R
 * @param {(signal: AbortSignal) => Promise<R>} wait
 * @returns {Promise<R>}
 */
export async function whileVitestRuns(wait) {
  const abort = new AbortController();
  const onEnd = () => abort.abort();
  // A listener keeps the process alive, so it is here no longer than the wait.
  process.once('disconnect', onEnd);
  try {
    return await wait(abort.signal);
  } finally {
    process.off('disconnect', onEnd);
  }
}

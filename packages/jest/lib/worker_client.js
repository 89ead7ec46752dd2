/**
 * The client that takes the tokens of all files of a worker. It belongs to the process, or the thread, and
 * not to the realm of a test file. In band, the global teardown closes it.
 */
'use strict';

const { worker } = require('ephemeral-pipe-broker/adapter');

const CLIENT = Symbol.for('@ephemeral-broker/jest.client');

/**
 * @typedef {import('ephemeral-pipe-broker').PipeClient} PipeClient
 * @typedef {{ client: PipeClient, pipe: string | undefined }} Kept
 */

const realm = /** @type {Record<symbol, Kept | undefined>} */ (/** @type {unknown} */ (globalThis));

const workerId = () => `jest:${process.env.JEST_WORKER_ID ?? '1'}`;

/**
 * Runs a function that may wait. Its signal aborts when Jest's main process has ended, so that this process
 * ends, too.
 * @template R
 * @param {(signal: AbortSignal) => Promise<R>} wait
 * @returns {Promise<R>}
 */
async function whileJestRuns(wait) {
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

/** @returns {PipeClient} */
function clientOfWorker() {
  const pipe = process.env.EPHEMERAL_PIPE;
  const kept = realm[CLIENT];
  // In watch mode, each run in band has a broker of its own.
  if (kept !== undefined && kept.pipe === pipe) return kept.client;
  closeClient();
  const client = worker({ adapter: 'jest', workerId: workerId() });
  realm[CLIENT] = { client, pipe };
  return client;
}

function closeClient() {
  realm[CLIENT]?.client.close();
  realm[CLIENT] = undefined;
}

module.exports = { clientOfWorker, closeClient, whileJestRuns, workerId };

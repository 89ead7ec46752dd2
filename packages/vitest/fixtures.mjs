/** `test` with the fixtures `broker` and `tokens`, and everything else of Vitest. */
import { test as base } from 'vitest';
import adapter from 'ephemeral-pipe-broker/adapter';
import { newClient, tokens as tokensOfFile, workerId } from './lib/worker.mjs';

export * from 'vitest';
export { getToken } from './lib/worker.mjs';

export const test = base.extend({
  // Vitest reads the names of the fixtures that a fixture needs from its first parameter.
  broker: [
    async (/** @type {{}} */ {}, /** @type {any} */ use) => {
      const client = newClient();
      await use(client);
      await client.close();
    },
    { scope: 'worker' },
  ],
  tokens: async (/** @type {{}} */ {}, /** @type {any} */ use) => use(tokensOfFile()),
});

export { test as it };

/**
 * @param {any} client
 * @param {string} key
 * @param {any} options
 * @param {(value: any) => Promise<void>} use
 */
async function withLease(client, key, options, use) {
  const lease = await adapter.acquireNoticed(client, key, { workerId: workerId(), ...options });
  try {
    await use(lease.value);
    if (lease.lost) throw lease.signal.reason;
  } finally {
    await lease.release().catch(() => false);
  }
}

/**
 * @param {string} key
 * @param {any} [options]
 */
export function leased(key, { scope, ...options } = {}) {
  const forLong = async (/** @type {any} */ { broker }, /** @type {any} */ use) =>
    withLease(broker, key, options, use);
  // The test's own signal ends the wait of a test that is over.
  const forTest = async (/** @type {any} */ { broker, signal }, /** @type {any} */ use) =>
    withLease(broker, key, { signal, ...options }, use);
  // Vitest takes a pair whose options are empty for a value.
  return scope === undefined ? forTest : [forLong, { scope }];
}

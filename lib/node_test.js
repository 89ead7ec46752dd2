/**
 * The adapter for node:test, the export `ephemeral-pipe-broker/node-test`. A file with `withBroker` is the
 * argument of `node --test --test-global-setup`, which exists since Node 24.
 */
'use strict';

const { TestScope, ensureRun, lazyWorker } = require('./adapter/adapter.js');

const who = () => ({
  adapter: 'node-test',
  workerId: `node-test:${process.env.NODE_TEST_WORKER_ID ?? process.pid}`,
});
const { client } = lazyWorker(who);

/** @param {import('./adapter').RunOptions} [options] */
function withBroker(options = {}) {
  /** @type {import('./adapter').Run | null} */
  let run = null;
  return {
    async globalSetup() {
      run = ensureRun(options, { adapter: 'node-test' });
      await run.ready();
    },
    async globalTeardown() {
      await run?.endRun();
      await run?.stop();
    },
  };
}

/**
 * @param {{ name: string, after(hook: () => Promise<void>): void }} test
 * @param {string} key
 * @param {Omit<import('./index').AcquireOptions, 'workerId' | 'signal'>} [options]
 */
async function lease(test, key, options) {
  const scope = new TestScope(client, { workerId: who().workerId });
  test.after(() => scope.end({ during: JSON.stringify(test.name) }));
  return scope.lease(key, options);
}

module.exports = { broker: client, lease, withBroker };

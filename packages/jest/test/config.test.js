/** `withBroker` and the environment without Jest. */
'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const vm = require('node:vm');
const { Broker, PipeClient } = require('ephemeral-pipe-broker');
const { withBroker, withBrokerEnvironment } = require('..');

test('a wrapped configuration has our hooks, and keeps its own files', () => {
  const config = { setupFiles: ['./own.js'], testEnvironment: 'node', verbose: true };
  const options = {
    pools: { accounts: ['secret'] },
    tokens: { account: 'accounts' },
    waitMs: Infinity,
  };
  const wrapped = withBroker(config, options);
  assert.equal(wrapped.verbose, true);
  assert.deepEqual(wrapped.setupFiles.slice(1), ['./own.js']);
  const { ephemeralBroker } = wrapped.testEnvironmentOptions;
  assert.deepEqual(ephemeralBroker, { tokens: options.tokens, known: ['accounts'] });
  assert.deepEqual(withBroker(wrapped).setupFiles, wrapped.setupFiles, 'wrapped once');
  assert.deepEqual(config.setupFiles, ['./own.js'], 'the given object is as it was');
});

test('a configuration that is a function stays one', async () => {
  const later = withBroker(async () => ({ testEnvironment: 'jsdom' }));
  const { testEnvironmentOptions } = await later();
  assert.equal(testEnvironmentOptions.ephemeralBroker.environment, 'jsdom');
});

test('a configuration that is loaded after a run has options of its own', async (t) => {
  const { start, stop } = require('../lib/main_process.js');
  t.after(() => stop({}, {}));
  // The end of a run with the configurations of the tests above.
  await stop({}, {});
  const shard = { shardIndex: 2, shardCount: 2 };
  for (const accounts of [['ann'], ['bob', 'eve']]) {
    withBroker(
      {},
      { pools: { accounts }, tokens: { account: 'accounts' }, shard: accounts.length > 1 },
    );
    await start({ shard }, {});
    const client = new PipeClient();
    assert.deepEqual(await client.describe('accounts'), {
      kind: 'pool',
      size: 1,
      free: 1,
      waiting: 0,
    });
    await client.close();
    await stop({}, {});
    assert.equal(process.env.EPHEMERAL_PIPE, undefined);
  }
});

/** What Jest gives to an environment, and what it calls. */
function environmentOf(ephemeralBroker) {
  class Base {
    constructor({ projectConfig }) {
      this.given = projectConfig.testEnvironmentOptions;
      this.global = vm.createContext({ process: { env: {} } });
      for (const name of ['Set', 'JSON', 'Object'])
        this.global[name] = vm.runInContext(name, this.global);
    }

    async setup() {}

    async teardown() {
      this.isDown = true;
    }
  }
  const Environment = withBrokerEnvironment(Base);
  const projectConfig = { testEnvironmentOptions: { url: 'x', ephemeralBroker } };
  return new Environment({ projectConfig }, { testPath: '/tests/a.test.js' });
}

test('a test whose token is lost fails at its end', async (t) => {
  const broker = new Broker({ exportEnv: true });
  broker.startSync();
  t.after(() => broker.stop({ drainMs: 0 }));
  const client = broker.client();
  await client.pool('accounts', [{ user: 'ann' }]);
  const environment = environmentOf({ tokens: { account: { key: 'accounts', ttl: 600 } } });
  t.after(() => require('../lib/worker_client.js').closeClient());
  assert.deepEqual(
    environment.given,
    { url: 'x' },
    'the environment below does not see our options',
  );
  await environment.setup();
  assert.deepEqual(JSON.stringify(environment.global.brokerTokens), '{"account":{"user":"ann"}}');

  const fine = { name: 'fine', errors: [] };
  await environment.handleTestEvent({ name: 'test_done', test: fine });
  assert.deepEqual(fine.errors, []);

  const [{ workerId }] = await client.leases('accounts');
  await client.release(workerId, 'accounts', { force: true });
  const late = { name: 'late', errors: [] };
  while (late.errors.length === 0) {
    await new Promise((resolve) => void setTimeout(resolve, 20));
    await environment.handleTestEvent({ name: 'test_done', test: late });
  }
  const [[error]] = late.errors;
  assert.equal(error.code, 'lease_lost');
  assert.match(error.message, /^lease_lost: The token "account" was taken .* during "late": /);
  await assert.rejects(environment.teardown(), { code: 'lease_lost' });
  assert.equal(environment.isDown, true, 'the environment below is down, too');
});

/** The plugin without Vitest: what it does to a configuration. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { broker } from '../index.mjs';

const nameOf = (/** @type {string} */ file) => file.split('/').pop();

/** @param {object} config */
function project(config = {}) {
  /** @type {Record<string, any>} */
  const provided = {};
  return {
    config: { setupFiles: [], pool: 'forks', ...config },
    provided,
    provide(/** @type {string} */ name, /** @type {unknown} */ value) {
      provided[name] = value;
    },
  };
}

test("set-up files of the user stay, behind ours; the check comes after the user's set-up", () => {
  const config = { test: { globalSetup: './mine.js', setupFiles: ['./own.js'] } };
  const plugin = broker();
  plugin.config(config);
  plugin.config(config);
  const { globalSetup, setupFiles } = /** @type {any} */ (config.test);
  assert.deepEqual(globalSetup.map(nameOf), ['start.mjs', 'mine.js', 'check.mjs']);
  assert.deepEqual(setupFiles.map(nameOf), ['setup_file.mjs', 'own.js']);

  const empty = /** @type {any} */ ({});
  broker().config(empty);
  assert.deepEqual(empty.test.globalSetup.map(nameOf), ['start.mjs', 'check.mjs']);
});

test('a project that extends the root gets the set-up file, and workers get no value', () => {
  const one = project({ setupFiles: ['/own.js'], pool: 'vmThreads' });
  const tokens = { account: 'accounts' };
  broker({ pools: { accounts: ['secret'] }, tokens, waitMs: '1m' }).configureVitest({
    vitest: { config: {} },
    project: one,
  });
  assert.deepEqual(one.config.setupFiles.map(nameOf), ['setup_file.mjs', 'own.js']);
  const { ephemeralBroker } = one.provided;
  assert.deepEqual(
    { ...ephemeralBroker },
    {
      tokens,
      known: ['accounts'],
      hasRealms: true,
      waitMs: '1m',
      envVars: undefined,
      noticeMs: undefined,
    },
  );
  assert.doesNotMatch(JSON.stringify(ephemeralBroker), /secret/);
});

test('a project in a browser is refused', () => {
  const context = { vitest: { config: {} }, project: project({ browser: { enabled: true } }) };
  assert.throws(() => broker().configureVitest(context), {
    message: "invalid_request: Tests in a browser can't reach the pipe; use a server-side command.",
  });
});

/** Support code: the tokens and leases of each scenario. Cucumber loads it in each worker. */
'use strict';

const { After, AfterAll, Before } = require('@cucumber/cucumber');
const { TestScope, worker } = require('ephemeral-pipe-broker/adapter');
const { importedOptions } = require('./worker_options.js');

const NAME = 'ephemeral-broker';
const workerId = `cucumber:${process.env.CUCUMBER_WORKER_ID ?? 0}`;
const { tokens = {}, envVars, waitMs, noticeMs, known } = importedOptions();
/** Made for the first scenario. @type {import('ephemeral-pipe-broker').PipeClient | null} */
let client = null;

/** By World. @type {WeakMap<object, TestScope>} */
const scopes = new WeakMap();

/**
 * @this {any} the World
 */
async function takeTokens() {
  client ??= worker({ adapter: 'cucumber', workerId });
  const scope = new TestScope(client, { workerId, waitMs, noticeMs, known });
  scopes.set(this, scope);
  this.lease = scope.lease.bind(scope);
  this.broker = client;
  this.brokerTokens = await scope.take(tokens);
  // A worker runs one scenario at a time, and has an environment of its own.
  Object.assign(process.env, scope.env(envVars));
}

/**
 * @this {any} the World
 * @param {{ pickle: { name: string } }} scenario
 */
async function releaseTokens({ pickle }) {
  const scope = scopes.get(this);
  for (const name of Object.keys(scope?.env(envVars) ?? {})) delete process.env[name];
  await scope?.end({ during: `"${pickle.name}"` });
}

// -1: a wait for a token has no time limit.
Before({ name: NAME, timeout: -1 }, takeTokens);
After({ name: NAME, timeout: -1 }, releaseTokens);
// An open connection would delay the end of the broker.
AfterAll({ timeout: -1 }, async () => {
  await client?.close();
  client = null;
});

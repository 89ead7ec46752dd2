// How an adapter of a test runner uses the package; compiled, not run.
import { ensureRun, getToken, takeTokens, worker } from 'ephemeral-pipe-broker/adapter';
import type { Run, RunOptions, Taken } from 'ephemeral-pipe-broker/adapter';

const options: RunOptions = {
  pools: { accounts: [{ user: 'ann' }], devices: async () => ['phone'] },
  values: { token: () => 't' },
  ttl: '1h',
  envVars: { account: 'ACCOUNT' },
  shard: true,
};

export async function main(): Promise<Run> {
  const run = ensureRun(options, { adapter: 'mine', shard: { index: 1, total: 2 } });
  await run.ready({ shard: null });
  return run;
}

export async function inWorker(): Promise<string> {
  const broker = worker({ adapter: 'mine', workerId: 'mine:1' });
  const specs = { account: 'accounts', port: { key: 'ports', slot: true } };
  const taken = await takeTokens(broker, specs, { workerId: 'mine:1', waitMs: '30s', noticeMs: 0 });
  const account: { user: string } = taken.values.account;
  // @ts-expect-error: no such alias
  taken.values.acount;
  const any: Taken = taken;
  await any.release({ discard: true, during: 'a test' });
  return account.user + getToken(taken, 'port');
}

// @ts-expect-error: no such option
ensureRun({ pool: {} }, { adapter: 'mine' });
// @ts-expect-error: a key is missing
ensureRun({ tokens: { a: { slot: true } } }, { adapter: 'mine' });

import { broker as ofFile, lease, withBroker } from 'ephemeral-pipe-broker/node-test';
import { test as nodeTest } from 'node:test';

export const { globalSetup, globalTeardown } = withBroker({ pools: { accounts: ['ann'] } });
// @ts-expect-error: a test calls lease
withBroker({ tokens: { admin: 'accounts' } });
nodeTest('types', async (t) => {
  const account: { user: string } = await lease<{ user: string }>(t, 'accounts', { waitMs: '1m' });
  const count: number = await ofFile.incr(account.user);
  // @ts-expect-error: the first argument is the test
  await lease('accounts', String(count));
});

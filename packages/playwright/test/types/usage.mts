// The types as a user meets them.

import { test as other } from '@playwright/test';
import {
  defineConfig,
  expect,
  leased,
  mergeTests,
  test as base,
  withBroker,
} from '@ephemeral-broker/playwright';

interface Account {
  user: string;
}

declare module '@ephemeral-broker/playwright' {
  interface BrokerTokens {
    admin: Account;
  }
}

export default withBroker(defineConfig({ workers: 2, use: { baseURL: 'http://localhost' } }), {
  pools: { accounts: [{ user: 'ann' }], late: async () => ['a'] },
  values: { url: 'http://localhost' },
  limits: { logins: 2 },
  tokens: { admin: 'accounts', port: { key: 'ports', slot: true } },
  shard: true,
  envVars: { admin: 'ADMIN' },
});

// @ts-expect-error: an option that does not exist
withBroker({}, { pool: {} });
// @ts-expect-error: no configuration
withBroker();

const test = base.extend<{ account: Account }, { seat: number }>({
  account: leased<Account>('accounts', { waitMs: '5m' }),
  seat: [async ({ broker }, use) => use(await broker.incr('seats')), { scope: 'worker' }],
});
const withWorker = base.extend<{}, { account: Account }>({
  account: leased<Account>('accounts', { scope: 'worker', ttl: 10_000 }),
});

test('fixtures', async ({ account, broker, lease, page, seat, tokens }) => {
  const user: string = account.user;
  const second = await lease<Account>('accounts', { waitMs: 1000 });
  expect(second.user).not.toBe(user);
  const admin: Account = tokens.admin;
  const total: number = await broker.incr(admin.user, seat);
  await page.goto(`/${total}`);
  // @ts-expect-error: the adapter sets the worker id
  await lease('accounts', { workerId: 'me' });
});

// @ts-expect-error: worker scope is no scope of a test fixture
base.extend<{ account: Account }>({ account: leased<Account>('accounts', { scope: 'worker' }) });

const merged = mergeTests(withWorker, other.extend<{ mine: number }>({ mine: 1 }));
merged('merged', ({ account, mine }) => {
  expect(account.user.length).toBe(mine);
});

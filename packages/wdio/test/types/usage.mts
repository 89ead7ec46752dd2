/// <reference types="webdriverio" />

import BrokerWorkerService, {
  broker,
  EphemeralBrokerService,
  getToken,
  tokensReady,
  withBrokerTokens,
  withToken,
} from '@ephemeral-broker/wdio';

interface Account {
  user: string;
}
declare module '@ephemeral-broker/wdio' {
  interface BrokerTokens {
    admin: Account;
  }
}

export const config: WebdriverIO.Config = withBrokerTokens(
  {
    pools: { accounts: async () => [{ user: 'ann' }] },
    tokens: { admin: 'accounts', port: { key: 'ports', slot: true } },
    envVars: true,
    shard: true,
  },
  { capabilities: [{ browserName: 'chrome' }], specs: ['./specs/*.js'], maxInstances: 3 },
);
export const services: WebdriverIO.Config['services'] = [
  ['@ephemeral-broker/wdio', { tokens: { admin: 'accounts' } }],
  [EphemeralBrokerService, { values: { token: 't' } }],
];

export async function inTest(browser: WebdriverIO.Browser): Promise<string> {
  const { user } = getToken('admin');
  const same: string = browser.brokerTokens.admin.user + (await tokensReady()).admin.user;
  await broker.set(user, same, '1m');
  return withToken('accounts', async (account: Account) => account.user, { waitMs: '30s' });
}
export const service = BrokerWorkerService;

// @ts-expect-error: no such option
withBrokerTokens({ pool: {} }, {});
// @ts-expect-error: a number
getToken('admin').user satisfies number;

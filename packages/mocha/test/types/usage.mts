/// <reference types="mocha" />

import { broker, leased, plugin, tokens } from '@ephemeral-broker/mocha';
import type { BrokerPlugin } from '@ephemeral-broker/mocha';

interface Account {
  user: string;
}
declare module '@ephemeral-broker/mocha' {
  interface BrokerTokens {
    account: Account;
  }
}

const own: BrokerPlugin = plugin({
  pools: { accounts: async () => [{ user: 'ann' }] },
  tokens: { account: 'accounts', port: { key: 'ports', slot: true } },
  envVars: true,
  waitMs: '1m',
});
// What Mocha takes.
const hooks: Mocha.RootHookObject = own.mochaHooks();
export const { mochaGlobalSetup, mochaGlobalTeardown } = own;
export { hooks };

describe('a suite', () => {
  const device = leased<{ name: string }>('devices', { waitMs: '30s' }).install();

  it('has its tokens', async () => {
    const user: string = tokens.account.user;
    const name: string = device.value.name;
    await broker.set(user, name, '1m');
  });
});

// @ts-expect-error: no such option
plugin({ pool: {} });
// @ts-expect-error: a number
tokens.account.user satisfies number;

import { When, World, setWorldConstructor } from '@cucumber/cucumber';
import type { IRunConfiguration } from '@cucumber/cucumber/api';
import plugin = require('@ephemeral-broker/cucumber');
import type { BrokerWorld, RunOptions } from '@ephemeral-broker/cucumber';

declare module '@ephemeral-broker/cucumber' {
  interface BrokerTokens {
    account: { user: string };
  }
}

const broker: RunOptions = {
  pools: { accounts: async () => [{ user: 'ann' }] },
  tokens: { account: 'accounts' },
};
export const profile = { plugin: ['@ephemeral-broker/cucumber'], pluginOptions: { broker } };
export type Plugins = IRunConfiguration['plugins'];

const key: 'broker' = plugin.optionsKey;

interface Mine extends BrokerWorld {}
class Mine extends World {}
setWorldConstructor(Mine);

When('I log in', async function (this: Mine) {
  const user: string = this.brokerTokens.account.user;
  const device = await this.lease<{ name: string }>('devices', { waitMs: '3s' });
  await this.broker.set(user, device.name + key, '1m');
  // @ts-expect-error: a number
  user satisfies number;
});

// @ts-expect-error: no such option
({ pool: {} }) satisfies RunOptions;

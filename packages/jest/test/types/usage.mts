import {
  broker,
  brokerTokens,
  getToken,
  withBroker,
  withBrokerEnvironment,
} from '@ephemeral-broker/jest';

declare module '@ephemeral-broker/jest' {
  interface BrokerTokens {
    account: { user: string };
  }
}

export default withBroker(
  { testMatch: ['x'] },
  { pools: { a: [1] }, tokens: { account: 'a' }, shard: true, envVars: { account: 'ACCOUNT' } },
);
export const later = withBroker(async () => ({ verbose: true }), { values: { v: async () => 1 } });
// @ts-expect-error there is no such option
withBroker({}, { pool: {} });
// @ts-expect-error nor is this a configuration of Jest
withBroker({ testMatch: 5 });

const user: string = brokerTokens.account.user;
// @ts-expect-error a user is text
export const wrong: number = getToken('account').user;
export const entry: Promise<unknown> = broker.get(user);
export const own: Promise<unknown> = globalThis.broker.get(globalThis.brokerTokens.account.user);

export class Mine extends withBrokerEnvironment(
  class {
    async setup() {}
  },
) {}

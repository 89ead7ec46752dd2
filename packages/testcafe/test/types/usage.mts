import 'testcafe';

import { brokerHooks } from '@ephemeral-broker/testcafe';
import type { BrokerContext, TestCafeHooks } from '@ephemeral-broker/testcafe';

declare module '@ephemeral-broker/testcafe' {
  interface BrokerTokens {
    account: { user: string };
  }
}

const own: TestCafeHooks = {
  test: {
    async before(t: TestController) {
      await t.maximizeWindow();
    },
  },
};

// In a .testcaferc.cjs or a runner.
export const config = {
  hooks: brokerHooks(
    { pools: { accounts: async () => [{ user: 'ann' }] }, tokens: { account: 'accounts' } },
    own,
  ),
};

fixture('orders').page('about:blank');

test('belong to the account', async (t) => {
  const { tokens, lease }: BrokerContext = t.ctx as any;
  const user: string = tokens.account.user;
  const printer = await lease<number>('printers', { waitMs: '30s' });
  await t.expect(user.length).gt(printer);
  // @ts-expect-error: a number
  user satisfies number;
});

// @ts-expect-error: no such option
brokerHooks({ pool: {} });

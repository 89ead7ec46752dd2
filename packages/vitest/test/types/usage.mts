import { broker } from '@ephemeral-broker/vitest';
import { expect, getToken, inject, leased, test as base } from '@ephemeral-broker/vitest/test';
import { defineConfig } from 'vitest/config';

declare module '@ephemeral-broker/vitest/test' {
  interface BrokerTokens {
    account: { user: string };
  }
}

export default defineConfig({
  plugins: [broker({ pools: { accounts: [1] }, tokens: { account: 'accounts' }, shard: true })],
});
// @ts-expect-error there is no such option
broker({ pool: {} });

const test = base.extend<{ box: string; db: number }>({
  box: leased<string>('boxes', { waitMs: '1m' }),
  db: leased<number>('dbs', { scope: 'file' }),
});
test.beforeEach(({ box }) => void box, 0);
test('types', async ({ broker: client, tokens, box }) => {
  const user: string = tokens.account.user;
  expect(await client.get(user)).toBe(box.length);
  // @ts-expect-error a user is text
  const wrong: number = getToken('account').user;
  return void wrong;
});

export const pipe: string = inject('ephemeralPipe');
// @ts-expect-error nothing of that name is provided
inject('nope');

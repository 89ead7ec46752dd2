import { broker } from '@ephemeral-broker/vitest';
import { defineConfig } from 'vitest/config';

const pools = { accounts: [{ user: 'ann' }, { user: 'bob' }], mailboxes: ['one', 'two'] };

export default defineConfig({
  plugins: [broker({ pools, tokens: { account: 'accounts' } })],
  test: { include: ['tests/*.test.mjs'] },
});

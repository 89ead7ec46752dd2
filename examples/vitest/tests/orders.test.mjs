import { expect, leased, test as base } from '@ephemeral-broker/vitest/test';

const test = base.extend({ mailbox: leased('mailboxes') });
// The wait for the mailbox happens here, and uses up no time of the test.
test.beforeEach(({ mailbox }) => {}, 0);

test('an order', async ({ broker, tokens, mailbox }) => {
  const { user } = tokens.account;
  const session = await broker.getOrSet(`session:${user}`, '10m', () => ({
    user,
    token: 'secret',
  }));
  expect(session.user).toBe(user);
  expect(['one', 'two']).toContain(mailbox);
});

import { expect, test } from '../fixtures';

test.describe.configure({ mode: 'parallel' });

for (const page of ['basket', 'checkout', 'orders', 'profile', 'search', 'shipping']) {
  test(`${page} has an account alone`, async ({ account, broker }) => {
    // Independent of the leases: this is not 1 if another test uses the account now.
    expect(await broker.incr(`uses of ${account.user}`, 1, '10m')).toBe(1);
    await broker.incr(`uses of ${account.user}`, -1);
  });

  test(`${page} for a guest and a member`, async ({ lease }) => {
    const member = await lease<{ user: string }>('accounts');
    expect(member.user).toMatch(/^(ann|bob)$/);
  });
}

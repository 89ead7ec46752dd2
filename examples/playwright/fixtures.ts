import { leased, test as base } from '@ephemeral-broker/playwright';

export { expect } from '@ephemeral-broker/playwright';
export const test = base.extend<{ account: { user: string } }>({ account: leased('accounts') });

import { withBrokerTokens } from '@ephemeral-broker/wdio';
import { yours } from './yours.js'; // the configuration as before

const pools = { accounts: [{ user: 'ann' }, { user: 'bob' }] };

export const config = withBrokerTokens({ pools, tokens: { admin: 'accounts' } }, yours);

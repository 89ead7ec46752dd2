const { withBroker } = require('@ephemeral-broker/jest');

module.exports = withBroker(
  { testMatch: ['**/tests/*.test.js'] },
  { pools: { accounts: [{ user: 'ann' }, { user: 'bob' }] }, tokens: { account: 'accounts' } },
);

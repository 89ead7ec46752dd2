const { plugin } = require('@ephemeral-broker/mocha');

module.exports = plugin({
  pools: { accounts: [{ user: 'ann' }, { user: 'bob' }] },
  tokens: { account: 'accounts' },
});

const pools = { accounts: [{ user: 'ann' }, { user: 'bob' }] };

export default {
  plugin: ['@ephemeral-broker/cucumber'],
  pluginOptions: { broker: { pools, tokens: { account: 'accounts' } } },
};

const { brokerHooks } = require('@ephemeral-broker/testcafe');

const pools = { accounts: [{ user: 'ann' }, { user: 'bob' }] };
const hooks = brokerHooks({ pools, limits: { printers: 1 }, tokens: { account: 'accounts' } });

module.exports = { hooks, src: 'tests/*.js', browsers: 'chromium:headless', concurrency: 3 };

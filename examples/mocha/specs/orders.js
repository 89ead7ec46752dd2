const assert = require('node:assert/strict');
const { broker, leased, tokens } = require('@ephemeral-broker/mocha');

describe('orders', () => {
  const printer = leased('printers').install();

  before(() => broker.limit('printers', 1));

  it('are those of the account', () => {
    assert.match(tokens.account.user, /ann|bob/);
  });

  it('are printed by one test at a time', () => {
    assert.equal(printer.value, 0);
  });

  it('need one log-in for all workers', async () => {
    const session = await broker.getOrSet(`session:${tokens.account.user}`, '5m', async () => {
      return { user: tokens.account.user }; // log in here
    });
    assert.deepEqual(session, tokens.account);
  });
});

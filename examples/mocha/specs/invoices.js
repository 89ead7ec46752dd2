const assert = require('node:assert/strict');
const { tokens } = require('@ephemeral-broker/mocha');

describe('invoices', () => {
  it('are those of the account', () => assert.match(tokens.account.user, /ann|bob/));
});

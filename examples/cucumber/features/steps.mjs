import assert from 'node:assert/strict';
import { BeforeAll, Then, When } from '@cucumber/cucumber';
import { PipeClient } from 'ephemeral-pipe-broker';

// In each worker: the same list is the same pool.
BeforeAll(() => new PipeClient().pool('printers', ['ground floor']));

When('I log in', async function () {
  const { user } = this.brokerTokens.account;
  this.session = await this.broker.getOrSet(`session:${user}`, '5m', async () => ({ user })); // log in here
});

Then('I see my orders', function () {
  assert.equal(this.session.user, this.brokerTokens.account.user);
});

Then('I print a receipt alone', async function () {
  assert.equal(await this.lease('printers'), 'ground floor');
});

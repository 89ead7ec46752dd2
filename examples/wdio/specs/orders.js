import assert from 'node:assert/strict';
import { broker, getToken } from '@ephemeral-broker/wdio';

describe('orders', () => {
  it('are those of the account', async () => {
    const { user } = getToken('admin');
    await browser.url(`data:text/html,<h1>Orders of ${user}</h1>`);
    assert.equal(await $('h1').getText(), `Orders of ${browser.brokerTokens.admin.user}`);
  });

  it('need one log-in for all workers', async () => {
    const { user } = getToken('admin');
    const session = await broker.getOrSet(`session:${user}`, '5m', async () => {
      return { user }; // log in here
    });
    assert.equal(session.user, user);
  });
});

import assert from 'node:assert';
import { test } from 'node:test';
import { lease } from 'ephemeral-pipe-broker/node-test';

test('an order', async (t) => {
  const account = await lease(t, 'accounts');
  assert.match(account.user, /^(ann|bob)$/);
});

'use strict';

const test = require('ava');
const { PipeClient } = require('ephemeral-pipe-broker');

const broker = new PipeClient();

test.before(() => broker.pool('accounts', ['ann', 'bob'])); // each file may: the same list is the same pool
test.beforeEach(async (t) => {
  t.context.lease = await broker.acquire('accounts');
});
test.afterEach.always(async (t) => {
  const { lease } = t.context;
  const isHeld = await lease?.release();
  if (lease && !isHeld) t.fail('lease_lost: another test may have used the account');
});

test('has an account', (t) => {
  t.true(['ann', 'bob'].includes(t.context.lease.value));
});

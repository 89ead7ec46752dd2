fixture('orders').page('about:blank');

test('belong to the account', async (t) => {
  const { user } = t.ctx.tokens.account;
  await t.expect(['ann', 'bob']).contains(user);
});

test('are printed by one test at a time', async (t) => {
  const printer = await t.ctx.lease('printers');
  await t.expect(printer).eql(0);
});

test('are cancelled', async (t) => {
  await t.expect(t.ctx.tokens.account.user).ok();
});

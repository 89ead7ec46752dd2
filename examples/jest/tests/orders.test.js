test('an order', async () => {
  const { user } = brokerTokens.account;
  const session = await broker.getOrSet(`session:${user}`, '10m', () => ({
    user,
    token: 'secret',
  }));
  expect(session.user).toBe(user);
});

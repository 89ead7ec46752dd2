'use strict';

const { PipeClient, report, session } = require('../shared.js');

const client = new PipeClient();

afterAll(() => client.close());

test('shipping: uses the session of the run and counts itself', async () => {
  const { user, token } = await session(client);
  expect(user).toBe('ada');
  expect(token).toMatch(/^[0-9a-f-]{36}$/);
  const count = await report(client, 'shipping', { token });
  expect(count).toBeGreaterThanOrEqual(1);
  expect(count).toBeLessThanOrEqual(8);
});

// Fails on request, to show the exit status of a failing run.
test('shipping: fails on request', () => {
  expect(process.env.EXAMPLE_FAIL).toBeUndefined();
});

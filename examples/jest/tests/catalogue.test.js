'use strict';

const { PipeClient, report, session } = require('../shared.js');

const client = new PipeClient();

afterAll(() => client.close());

test('catalogue: uses the session of the run and counts itself', async () => {
  const { user, token } = await session(client);
  expect(user).toBe('ada');
  expect(token).toMatch(/^[0-9a-f-]{36}$/);
  const count = await report(client, 'catalogue', { token });
  expect(count).toBeGreaterThanOrEqual(1);
  expect(count).toBeLessThanOrEqual(8);
});

'use strict';

const { RUN_TTL, expect, test } = require('../fixtures.js');

for (const page of ['basket', 'catalogue', 'checkout', 'orders', 'profile', 'search']) {
  for (const language of ['en', 'de']) {
    test(`${page} in ${language}`, async ({ account, broker, session }, { parallelIndex }) => {
      expect(session.user).toBe('admin');
      // Independent of the leases: this would not be 1 if another test used the account now.
      const uses = `in use: ${account.user}`;
      expect(await broker.incr(uses, 1, RUN_TTL)).toBe(1);
      await broker.incr(`used by ${parallelIndex}`, 1, RUN_TTL);
      await broker.incr('tests', 1, RUN_TTL);
      expect(await broker.incr(uses, -1)).toBe(0);
    });
  }
}

'use strict';

const { PipeClient } = require('ephemeral-pipe-broker');

/** Prints the counters of the tests. */
module.exports = async function teardown() {
  const broker = new PipeClient();
  const count = (key) => broker.get(key, { default: 0 });
  const used = (await broker.list('used by ')).length;
  const held = (await broker.leases('accounts')).length;
  console.log(
    `${await count('tests')} tests in ${used} workers; log-ins: ${await count('log-ins')}; accounts held: ${held}`,
  );
  await broker.close();
};

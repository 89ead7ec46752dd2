'use strict';

const { PipeClient } = require('ephemeral-pipe-broker');

/** Fewer accounts than workers, as it is in real life. */
module.exports = async function setup() {
  const broker = new PipeClient();
  await broker.pool('accounts', [
    { user: 'ann', password: 'of ann' },
    { user: 'bob', password: 'of bob' },
  ]);
  await broker.close();
};

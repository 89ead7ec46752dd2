'use strict';

const { PipeClient } = require('ephemeral-pipe-broker');

/** Defines fewer accounts than workers, as in real projects. */
module.exports = async function setup() {
  const broker = new PipeClient();
  await broker.pool('accounts', [
    { user: 'ann', password: 'of ann' },
    { user: 'bob', password: 'of bob' },
  ]);
  await broker.close();
};

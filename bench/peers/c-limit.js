'use strict';

// The limit of a transport: two C programs that only send each other 100 bytes (c/ping_pong.c). They are not
// a store and treat all requests alike.
const { execFile } = require('node:child_process');
const { promisify } = require('node:util');
const { compile, missingCommand } = require('../common.js');

const execute = promisify(execFile);

/** A team for rounds.js: one program that is both the client and the server. */
function openTeam(way, how, place) {
  const program = compile(place.dir, 'ping_pong');
  const measure = async (workload, { ms, warmMs }) => {
    const { stdout } = await execute(program, [way, how, place.client, place.server, warmMs, ms]);
    const { operations, ms: taken, percentiles } = JSON.parse(stdout);
    return { perSecond: (1_000 * operations) / taken, percentiles };
  };
  return { measure, close: async () => {} };
}

const limit = (name, order, places, way, how) => ({
  name,
  order,
  places,
  only: ['sequential GET', 'sequential SET'],
  missing: () => missingCommand('cc', '--version', 'gcc'),
  versions: () => ({}),
  openTeam: (place) => openTeam(way, how, place),
});

module.exports = [
  limit('C, blocking', 9, ['one CPU', 'two CPUs'], 'socket', 'block'),
  limit('C, spinning', 10, ['two CPUs'], 'socket', 'spin'),
  limit('C, pipes, blocking', 11, ['one CPU', 'two CPUs'], 'pipes', 'block'),
  limit('C, pipes, spinning', 12, ['two CPUs'], 'pipes', 'spin'),
];

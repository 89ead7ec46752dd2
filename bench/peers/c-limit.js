'use strict';

// The limit: two C programs that send each other 100 bytes and do nothing else (c/ping_pong.c). They
// are no store; a request and its reply are the same to them, whatever it is about.
const { execFile } = require('node:child_process');
const { promisify } = require('node:util');
const { compile, missingCommand } = require('../common.js');

const execute = promisify(execFile);

/** A team as rounds.js makes one of processes, of the program that is a client and a server. */
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

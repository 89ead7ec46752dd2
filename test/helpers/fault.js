/**
 * Runs Node processes with injected faults: fault_shim.c is preloaded into them. A script controls the shim
 * by `fault(order)` and queries it by `fired()`. Linux with a C compiler only; elsewhere `available` is
 * false.
 */
'use strict';

const { runNode } = require('./broker.js');
const { available, shim } = require('./shim.js');

const PRELUDE = `
  const assert = require('node:assert/strict');
  const fs = require('node:fs');
  const { Broker, PipeClient, BrokerError } = require(ROOT);
  // The shim looks for it with each order.
  require(ROOT + '/lib/binding').load();
  const fault = (order) => fs.accessSync('/epb-fault/' + order);
  const fired = () => fs.existsSync('/epb-fault/fired');
`;

/** Runs a script with injected faults; it must print only "done", and end by itself. */
async function runAmongFaults(script, { env = {}, args = [] } = {}) {
  // A rejection would be lost in a process whose event loop is empty.
  const source = `${PRELUDE}
    (async () => {${script}})().then(
      () => console.log('done'),
      (error) => { console.error(error); process.exit(1); },
    );`;
  return runNode(source, { args, env: { ...env, LD_PRELOAD: shim('fault_shim') } });
}

module.exports = { available, runAmongFaults };

/**
 * Node processes among faults: fault_shim.c, compiled here, preloaded into them. A script has `fault(order)`
 * to tell it what to do, and `fired()`. Linux with a C compiler only; elsewhere `available` is false.
 */
'use strict';

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { runNode } = require('./broker');

const SOURCE = path.join(__dirname, 'fault_shim.c');
const available =
  process.platform === 'linux' && !spawnSync('cc', ['--version'], { stdio: 'ignore' }).error;

let library = null;

/** The compiled shim; goes with this process. */
function shim() {
  if (library !== null) return library;
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'epb-fault-'));
  process.once('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
  library = path.join(folder, 'shim.so');
  const flags = ['-std=gnu11', '-O1', '-shared', '-fPIC'];
  const made = spawnSync('cc', [...flags, '-o', library, SOURCE, '-ldl'], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`the shim does not compile:\n${made.stderr}`);
  return library;
}

const PRELUDE = `
  const assert = require('node:assert/strict');
  const fs = require('node:fs');
  const { Broker, PipeClient, BrokerError } = require(ROOT);
  // The shim looks for it with each order.
  require(ROOT + '/lib/binding').load();
  const fault = (order) => fs.accessSync('/epb-fault/' + order);
  const fired = () => fs.existsSync('/epb-fault/fired');
`;

/** Runs a script among faults; it must print "done" and nothing else, and end by itself. */
async function runAmongFaults(script, { env = {}, args = [] } = {}) {
  // The promise's failure would be lost in a process that has nothing left to do.
  const source = `${PRELUDE}
    (async () => {${script}})().then(
      () => console.log('done'),
      (error) => { console.error(error); process.exit(1); },
    );`;
  return runNode(source, { args, env: { ...env, LD_PRELOAD: shim() } });
}

module.exports = { available, runAmongFaults };

/**
 * A broker in a separate process, so that its memory can be distinguished from the test's.
 */
'use strict';

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const { once } = require('node:events');
const { PipeClient, ROOT } = require('./broker.js');

/** The resident memory of the process, in MiB. */
function residentMib(pid) {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)[1]) / 1024;
}

/**
 * @param {import('node:test').TestContext} t
 * @param {object} [options] of the broker, as JSON can hold them
 */
async function startBrokerProcess(t, options = {}) {
  const given = { exportEnv: false, secret: null, ...options };
  const script = `
    'use strict';
    const { Broker } = require(${JSON.stringify(ROOT)});
    const broker = new Broker(${JSON.stringify(given)});
    broker.start().then((pipe) => process.send(pipe));
    process.on('disconnect', () => process.exit());
  `;
  const child = spawn(process.execPath, ['--no-warnings', '-e', script], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit');
  const [pipe] = await once(child, 'message');
  const client = new PipeClient(pipe, { secret: given.secret, timeout: 120_000 });
  t.after(async () => {
    await client.close();
    if (child.connected) child.disconnect();
    await ended;
  });
  return { pipe, client, pid: child.pid, residentMib: () => residentMib(child.pid) };
}

module.exports = { startBrokerProcess };

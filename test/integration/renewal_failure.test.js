'use strict';

// A connection that renews leases and cannot be made: the lease is lost, and its error says why. The client's own
// connection stays.
const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { test } = require('node:test');
const { promisify } = require('node:util');
const { ROOT, startBroker } = require('../helpers/broker.js');
const { stretched } = require('../helpers/time_limits.js');

const DESCRIPTORS = 64;

/**
 * What a program shows that has few descriptors, and a broker in its environment.
 * @param {import('ephemeral-pipe-broker').Broker} broker
 * @param {string} script
 */
async function shown(broker, script) {
  const ttl = stretched(300);
  const source = `
    const fs = require('node:fs');
    const { PipeClient } = require(${JSON.stringify(ROOT)});
    const OPTIONS = { kind: 'number', ttl: ${ttl} };
    const client = new PipeClient();
    const show = ({ code, message }) => console.log(JSON.stringify([code, message]));
    const lossOf = ({ signal }) => new Promise((resolve) => {
      signal.addEventListener('abort', () => resolve(signal.reason));
    });
    function useUp() {
      const open = [];
      for (;;) {
        try {
          open.push(fs.openSync('/dev/null'));
        } catch {
          return () => open.forEach(fs.closeSync);
        }
      }
    }
    // A lease does not keep the process.
    const alive = setInterval(() => {}, 60000);
    (async () => {
      // Connects, and loads all that a lease needs.
      await (await client.acquire('other', OPTIONS)).release();
      ${script}
      await client.close();
      clearInterval(alive);
    })();`;
  const limited = `ulimit -n ${DESCRIPTORS} && exec "$0" -e "$1"`;
  const args = ['-c', limited, process.execPath, source];
  const { stdout } = await promisify(execFile)('sh', args, {
    env: { ...process.env, ...broker.env() },
  });
  return JSON.parse(stdout);
}

test('a lease that is lost for want of descriptors says so', async (t) => {
  const [code, message] = await shown(
    startBroker(t),
    `const giveBack = useUp();
     const lease = await client.acquire('k', OPTIONS);
     const loss = await lossOf(lease);
     giveBack();
     show(loss);`,
  );
  assert.equal(code, 'lease_lost');
  assert.match(message, /no file descriptor left .*\(EMFILE\).*ulimit -n/);
});

test('and so does withLease, if its function blocks the thread meanwhile', async (t) => {
  const [code, message] = await shown(
    startBroker(t),
    `const giveBack = useUp();
     const loss = await client.withLease('k', OPTIONS, () => {
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3 * OPTIONS.ttl);
     }).catch((error) => error);
     giveBack();
     show(loss);`,
  );
  assert.equal(code, 'lease_lost');
  assert.match(message, /no file descriptor left .*\(EMFILE\)/);
});

test('a lease that is lost since its pipe was removed says so', async (t) => {
  const broker = startBroker(t);
  const [code, message] = await shown(
    broker,
    `fs.unlinkSync(${JSON.stringify(broker.pipe)});
     show(await lossOf(await client.acquire('k', OPTIONS)));`,
  );
  assert.equal(code, 'lease_lost');
  assert.match(message, /the pipe of the broker was removed \(ENOENT\)/);
});

test('a lease that was released by force blames no renewal', async (t) => {
  const [code, message] = await shown(
    startBroker(t),
    `const lease = await client.acquire('k', { ...OPTIONS, ttl: 3600000 });
     const loss = lossOf(lease);
     await client.release(undefined, 'k', { force: true });
     show(await loss);`,
  );
  assert.equal(code, 'lease_lost');
  assert.match(message, /stood still .* or somebody released it by force\.$/);
});

/**
 * Clocks that a test has replaced, before the client is loaded or afterwards, and never moves: calls
 * answer, and time out. Each case runs in a process of its own, below a broker of this one.
 */
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { startBroker, runNode, SECRET } = require('../helpers/broker.js');

/** All that @sinonjs/fake-timers can replace; the modules `timers` and `timers/promises`, too. */
const EVERYTHING = `
  const FakeTimers = require(require.resolve('@sinonjs/fake-timers', { paths: [ROOT + '/node_modules/jest'] }));
  const fake = () => FakeTimers.install({ loopLimit: 10 });
`;
const DEAD = `
  const fake = () => {
    const timers = require('node:timers');
    const handle = { unref() { return handle; }, ref() { return handle; }, hasRef: () => false };
    const saved = [];
    for (const object of [globalThis, timers, process]) {
      for (const name of ['nextTick', 'setImmediate', 'setTimeout', 'setInterval', 'queueMicrotask', 'hrtime']) {
        if (typeof object[name] !== 'function') continue;
        saved.push([object, name, object[name]]);
        object[name] = () => handle;
      }
    }
    return { uninstall() { for (const [object, name, own] of saved) object[name] = own; } };
  };
`;
const MOCK_TIMERS = `
  const { mock } = require('node:test');
  const fake = () => {
    mock.timers.enable(process.versions.node.startsWith('20.') ? ['setInterval', 'setTimeout', 'setImmediate'] : undefined);
    return { uninstall: () => mock.timers.reset() };
  };
`;

/** Waits for nothing but microtasks and the client: the process ends when it is done. */
const CALLS = `
  async function calls(client) {
    await client.set('k', { a: 1 }, 60_000);
    // More than one turn in a row may take: through the event loop.
    for (let i = 0; i < 300; i++) await client.get('k');
    await Promise.all(Array.from({ length: 300 }, () => client.incr('n', 1, 60_000)));
    const codes = [];
    for (const call of [
      () => client.waitFor('none', { timeoutMs: 20 }),
      async () => {
        const lease = await client.acquire('k');
        await client.acquire('k', { waitMs: 20 }).finally(() => lease.release());
      },
      () => client.get('missing'),
      () => frozen.get('k'),
    ]) codes.push(await call().then(() => 'answered', (error) => error.code));
    return codes.join(' ');
  }
  // It is listened to, and nobody answers.
  const net = require('node:net');
  const file = require('node:path').join(require('node:os').tmpdir(), 'epb-frozen-' + process.pid);
  const server = net.createServer(() => {}).listen(file).unref();
  let frozen;
  const make = () => {
    const { PipeClient } = require(ROOT);
    frozen = new PipeClient(file, { timeout: 60, secret: null });
    return new PipeClient();
  };
  const say = (codes) => { require('node:fs').writeSync(1, codes); process.exit(0); };
`;
const RIGHT = 'wait_timeout wait_timeout not_found timeout';

const ORDERS = {
  'before it is loaded, and still': 'fake(); calls(make()).then(say);',
  'before it is loaded, and real again':
    'const clock = fake(); const client = make(); clock.uninstall(); calls(client).then(say);',
  'after it was loaded': 'const client = make(); fake(); calls(client).then(say);',
  'after its first calls':
    'const client = make(); calls(client).then(() => { fake(); return calls(client); }).then(say);',
};

for (const [name, fakes] of Object.entries({ EVERYTHING, DEAD, MOCK_TIMERS })) {
  for (const [when, order] of Object.entries(ORDERS)) {
    test(`${name}, ${when}`, async (t) => {
      const broker = startBroker(t, { secret: SECRET });
      const script = `${fakes}${CALLS}server.on('listening', () => { ${order} });`;
      const { stdout, stderr } = await runNode(script, { env: broker.env() });
      assert.equal(stdout, RIGHT, stderr);
    });
  }
}

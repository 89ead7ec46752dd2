/**
 * After use, nothing of a key, a value, or any other text of a client is left in the memory of the
 * broker's process, its JavaScript heap included. The broker of `start` runs without secret memory, which can't
 * be searched (sandbox.test.js).
 */
'use strict';

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { PipeClient, SECRET, until } = require('../helpers/broker.js');
const { standalone, runDirectly } = require('../helpers/cli.js');
const { brokenPeers, overFrames, overLines, TTL } = require('../helpers/marked_traffic.js');
const { Marks, canScan, connectionsOf } = require('../helpers/memory.js');
const { startProgram } = require('../helpers/program.js');
const { startCarrier } = require('../helpers/sealed.js');
const { available, shim } = require('../helpers/shim.js');

runDirectly();

const MAX_ITEMS = 64;
const FLAGS = ['--max-items', String(MAX_ITEMS), '--eviction', 'lru'];
/** A kernel without secret memory. */
const ENV = available ? { LD_PRELOAD: shim('no_secret_memory') } : {};
const OPTIONS = { maxItems: MAX_ITEMS, eviction: 'lru' };

/** A broker as `start` makes it: hardened, with a secret of its own unless told otherwise. */
async function ofStart(t, args) {
  const { running, env } = await standalone(t, [...FLAGS, ...args], ENV);
  return { pid: running.pid, pipe: env.EPHEMERAL_PIPE, secret: env.EPHEMERAL_SECRET ?? null };
}

/** Ways to start one, and the kinds of sessions it takes. All take lines, signed where there is a secret. */
const BROKERS = [
  ['start --legacy-hmac', (t) => ofStart(t, ['--legacy-hmac']), ['EPB3', 'EPB1', 'EPB2', 'EPBM']],
  ['start --no-auth', (t) => ofStart(t, ['--no-auth']), ['EPB0']],
  ['a program', (t) => startProgram(t, { ...OPTIONS, secret: SECRET, legacyHmac: true }), ['EPB3']],
];

/** Runs `use` with a client; resolves when the broker has seen its connections end. */
async function visit({ pid, pipe, secret }, use) {
  const client = new PipeClient(pipe, { secret, workerId: 'visitor' });
  try {
    await use(client);
  } finally {
    await client.close();
  }
  await until(() => connectionsOf(pid) === 0, 'the connections have ended');
}

async function assertClean(marks, { pid }) {
  assert.deepEqual(marks.leftIn(pid), []);
}

const skip = (!canScan && 'only root reads its memory') || (!available && 'it takes a C compiler');

for (const [name, start, kinds] of BROKERS) {
  describe(`the broker of ${name}`, { skip }, () => {
    it('shows what is stored, and nothing of it once it is deleted', async (t) => {
      const broker = await start(t);
      const marks = new Marks();
      await visit(broker, async (client) => {
        await client.set('k', marks.text('here', 5000), TTL);
        assert.ok(marks.find(broker.pid).length > 100, 'the search finds what is there');
        await client.del('k');
        assert.deepEqual(marks.leftIn(broker.pid), [], 'while the client is still there');
      });
      await assertClean(marks, broker);
    });

    it('keeps nothing of what came and went in frames', async (t) => {
      const broker = await start(t);
      const marks = new Marks();
      await visit(broker, (client) => overFrames(client, marks, { maxItems: MAX_ITEMS }));
      await assertClean(marks, broker);
    });

    if (kinds.includes('EPBM')) {
      it('keeps nothing of what came and went in frames of an EPBM session', async (t) => {
        const broker = await start(t);
        const carrier = { pid: broker.pid, secret: null };
        carrier.pipe = await startCarrier(t, broker, 'EPBM');
        const marks = new Marks();
        await visit(carrier, (client) => overFrames(client, marks, { maxItems: MAX_ITEMS }));
        await assertClean(marks, broker);
      });
    }

    it('keeps nothing of what came and went in JSON lines', async (t) => {
      const broker = await start(t);
      const marks = new Marks();
      await visit(broker, () => overLines(t, broker, marks));
      await assertClean(marks, broker);
    });

    it(`keeps nothing of peers that went in the middle: lines, ${kinds.join(', ')}`, async (t) => {
      const broker = await start(t);
      const marks = new Marks();
      await visit(broker, () => brokenPeers(t, broker, kinds, marks));
      await assertClean(marks, broker);
    });
  });
}

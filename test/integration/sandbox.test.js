/**
 * The broker of the native program: what its threads have given up once it is ready, and what root, a
 * debugger and a core file find of it.
 */
'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { describe, it } = require('node:test');
const { PipeClient } = require('../helpers/broker.js');
const { PROGRAM, hasEnded, launch, leftovers, scratch, until } = require('../helpers/cli.js');
const { TTL } = require('../helpers/marked_traffic.js');
const { Marks, canScan, hasSecretMemory, search } = require('../helpers/memory.js');
const { available, shim } = require('../helpers/shim.js');

const isBuilt = process.platform === 'linux' && fs.existsSync(PROGRAM);
const linuxOnly = { skip: !isBuilt && 'the native program is not built here' };
const rootOnly = { skip: (!isBuilt || !canScan) && 'only root reads the memory of others' };
const hasDebugger = isBuilt && canScan && spawnSync('gdb', ['--version']).status === 0;
const debuggerOnly = { skip: !hasDebugger && 'gdb is needed' };

/** A native broker that runs next to a command until the test ends. */
async function nativeBroker(t, flags = [], env = {}) {
  const folder = scratch(t);
  const command = [
    'sh',
    '-c',
    'echo "$EPHEMERAL_BROKER_PID $EPHEMERAL_PIPE $EPHEMERAL_SECRET"; read _',
  ];
  const running = launch(PROGRAM, ['start', ...flags, '--', ...command], {
    env: { TMPDIR: folder, ...env },
    input: null,
  });
  t.after(async () => {
    running.child.stdin.end();
    await running.closed;
  });
  const [, pid, pipe, secret] = await running.sees(/^(\d+) (\S+) (\S+)$/m);
  return { running, folder, pid: Number(pid), pipe, secret };
}

async function clientOf(t, { pipe, secret }) {
  const client = new PipeClient(pipe, { secret });
  t.after(() => client.close());
  await client.ping();
  return client;
}

/** The values of a line of /proc/PID/status, one for each thread. */
function ofThreads(pid, name) {
  const folder = `/proc/${pid}/task`;
  return fs.readdirSync(folder).map((thread) => {
    const status = fs.readFileSync(path.join(folder, thread, 'status'), 'utf8');
    return new RegExp(`^${name}:\\s+(\\d+)$`, 'm').exec(status)?.[1];
  });
}

const isEvery = (values, wanted) => values.every((value) => value === wanted);
/** The mode of a thread with a filter. */
const FILTERED = '2';

describe('the native broker', linuxOnly, () => {
  const kinds = [
    { name: 'a broker', flags: [], threads: 2 },
    { name: 'a broker that logs', flags: ['--debug'], threads: 3 },
  ];
  for (const { name, flags, threads } of kinds) {
    it(`confines every thread of ${name}, and serves`, async (t) => {
      const broker = await nativeBroker(t, flags);
      const client = await clientOf(t, broker);
      await until(
        () => isEvery(ofThreads(broker.pid, 'Seccomp'), FILTERED),
        'all threads have a filter',
      );
      assert.equal(ofThreads(broker.pid, 'Seccomp').length, threads);
      assert.ok(isEvery(ofThreads(broker.pid, 'NoNewPrivs'), '1'));
      await client.set('k', 'v'.repeat(200_000), TTL);
      assert.equal((await client.get('k')).length, 200_000);
      broker.running.child.stdin.end();
      await broker.running.closed;
      await until(() => hasEnded(broker.pid), 'the broker ends');
      assert.deepEqual(leftovers(broker.folder), []);
    });
  }

  it('keeps everything with --no-sandbox', async (t) => {
    const broker = await nativeBroker(t, ['--no-sandbox']);
    await clientOf(t, broker);
    assert.ok(isEvery(ofThreads(broker.pid, 'Seccomp'), '0'));
    assert.ok(isEvery(ofThreads(broker.pid, 'NoNewPrivs'), '0'));
  });

  const shimOnly = { skip: !available && 'it takes a C compiler' };
  it('serves on a kernel that has none of it', shimOnly, async (t) => {
    const broker = await nativeBroker(t, [], { LD_PRELOAD: shim('old_kernel') });
    const client = await clientOf(t, broker);
    assert.ok(isEvery(ofThreads(broker.pid, 'Seccomp'), '0'));
    await client.set('k', 'v', TTL);
    assert.equal(await client.get('k'), 'v');
    assert.equal((await client.stats()).secretMemory, 0);
    broker.running.child.stdin.end();
    await broker.running.closed;
    await until(() => hasEnded(broker.pid), 'the broker ends');
    assert.deepEqual(leftovers(broker.folder), []);
  });

  it('removes its name when a signal ends it', async (t) => {
    const broker = await nativeBroker(t);
    await clientOf(t, broker);
    await until(() => isEvery(ofThreads(broker.pid, 'Seccomp'), FILTERED), 'it is confined');
    process.kill(broker.pid, 'SIGSEGV');
    await until(() => hasEnded(broker.pid), 'the broker ends');
    assert.deepEqual(leftovers(broker.folder), []);
  });
});

/** Stores marked text of several sizes. */
async function fill(client, marks) {
  for (const size of [16, 500, 5000, 100_000]) {
    await client.set(marks.text('key ', 100) + size, marks.text('val ', size), TTL);
    await client.get(marks.text('key ', 100) + size);
  }
}

describe('the memory of the native broker', rootOnly, () => {
  it('shows root nothing of keys, values and the secret', async (t) => {
    const broker = await nativeBroker(t);
    const client = await clientOf(t, broker);
    const marks = new Marks();
    await fill(client, marks);
    const { lockedMemory, secretMemory } = await client.stats();
    assert.equal(secretMemory, hasSecretMemory(broker.pid) ? lockedMemory : 0);
    if (hasSecretMemory(broker.pid)) {
      assert.deepEqual(marks.leftIn(broker.pid), [], 'while it is stored');
      assert.equal(search(broker.pid, [Buffer.from(broker.secret)]).length, 0);
    } else {
      t.diagnostic('no secret memory here: this shows that locked memory is wiped');
      assert.ok(marks.find(broker.pid).length > 100, 'the search finds what is there');
    }
    for (const { key } of await client.list()) await client.del(key);
    await client.close();
    await until(() => marks.find(broker.pid).length === 0, 'nothing is left once it is deleted');
  });

  it('gives a debugger nothing', debuggerOnly, async (t) => {
    const broker = await nativeBroker(t);
    const client = await clientOf(t, broker);
    const marks = new Marks();
    await fill(client, marks);
    const file = path.join(scratch(t), 'core');
    const words = ['-q', '-batch', '-p', String(broker.pid), '-ex', `generate-core-file ${file}`];
    spawnSync('gdb', ['-nx', ...words], { encoding: 'utf8' });
    const core = fs.readFileSync(file);
    assert.ok(core.includes(broker.pipe), 'it has the memory of the broker');
    assert.deepEqual(marks.placesIn(core), []);
    if (hasSecretMemory(broker.pid)) {
      assert.ok(!core.includes(broker.secret));
    } else {
      t.diagnostic('no secret memory here: gdb leaves out what the kernel leaves out of dumps');
    }
    await client.ping();
  });
});

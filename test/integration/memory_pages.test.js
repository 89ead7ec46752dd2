/**
 * The pages that hold values: locked, left out of core dumps, wiped in a forked child; what the
 * statistics say of that; and when the bytes go: at their deadline, and at the broker's end.
 */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { setTimeout: pause } = require('node:timers/promises');
const { describe, it } = require('node:test');
const { PipeClient, SECRET, randomFrom, temporaryDirectory, until } = require('../helpers/broker');
const { BIN, launch, standalone } = require('../helpers/cli');
const { TTL, VALUE_BYTES } = require('../helpers/marked_traffic');
const { Marks, canScan } = require('../helpers/memory');
const { startProgram } = require('../helpers/program');

const rootOnly = { skip: !canScan && 'only root reads the memory of others' };
const SIZES = [16, 500, 5000, 100_000, VALUE_BYTES - 2];
const KIB = 1024;
/** Far less than a broker needs for what the tests store. */
const LOCK_LIMIT_KIB = 256;

/** Stores a value of each size; the client stays connected until the test ends. */
async function fill(t, { pipe, secret = null }, marks) {
  const client = new PipeClient(pipe, { secret });
  t.after(() => client.close());
  for (const size of SIZES) {
    await client.set(marks.text('key ', 100) + size, marks.text('val ', size), TTL);
  }
  return client;
}

/** Words that run a program with limits, and without root's right to exceed that of locking. */
const limited = (limits) => [
  ...(process.getuid() === 0 ? ['setpriv', '--bounding-set', '-ipc_lock'] : []),
  ...['sh', '-c', `${limits} && exec "$0" "$@"`],
];

describe('the pages that hold keys and values', rootOnly, () => {
  it('are locked, left out of dumps, and empty in a forked child', async (t) => {
    const program = await startProgram(t, { secret: SECRET });
    const marks = new Marks();
    const client = await fill(t, program, marks);
    const found = marks.find(program.pid);
    assert.ok(found.length > VALUE_BYTES / 12, 'all of it is found');
    for (const { mapping } of found) {
      assert.equal(mapping.name, '');
      for (const flag of ['dd', 'wf', 'lo']) {
        assert.ok(mapping.flags.has(flag), `${mapping.start.toString(16)} is ${flag}`);
      }
    }
    const { lockedMemory, mlockFailed, memory } = await client.stats();
    assert.equal(mlockFailed, 0);
    assert.ok(lockedMemory >= SIZES.reduce((sum, size) => sum + size), `${lockedMemory}`);
    assert.ok(lockedMemory <= lockedBytes(program.pid), 'no more than the system has locked');
    assert.ok(memory > 0);
  });
});

function lockedBytes(pid) {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/^VmLck:\s+(\d+) kB$/m.exec(status)[1]) * KIB;
}

describe('a lock limit below what is stored', { skip: process.platform !== 'linux' }, () => {
  const before = limited(`ulimit -l ${LOCK_LIMIT_KIB}`);

  it('is told by the statistics and once on stderr, and what is locked is locked', async (t) => {
    const program = await startProgram(t, { secret: SECRET }, { before });
    const client = await fill(t, program, new Marks());
    // It looks when there is something to do.
    const warned = async () => (await client.ping()) && program.stderr.includes('ulimit -l');
    await until(warned, 'it warns');
    const { lockedMemory, mlockFailed, items } = await client.stats();
    assert.deepEqual([mlockFailed, items], [1, SIZES.length]);
    assert.ok(lockedMemory > 0 && lockedMemory <= LOCK_LIMIT_KIB * KIB, `${lockedMemory}`);
    assert.ok(lockedMemory <= lockedBytes(program.pid));
    assert.equal(program.stderr.match(/ulimit -l/g).length, 1);
  });

  it('leaves pages out of dumps all the same', rootOnly, async (t) => {
    const program = await startProgram(t, { secret: SECRET }, { before });
    const marks = new Marks();
    await fill(t, program, marks);
    const found = marks.find(program.pid);
    assert.ok(
      found.some(({ mapping }) => !mapping.flags.has('lo')),
      'some of it is not locked',
    );
    assert.ok(found.every(({ mapping }) => mapping.flags.has('dd')));
  });

  it('is refused with requireMlock: at the start, or when it is reached', async (t) => {
    const none = limited('ulimit -l 0');
    const refused = await startProgram(t, { requireMlock: true }, { before: none });
    assert.equal(refused.code, 'internal');
    assert.match(refused.message, /ulimit -l/);
    const program = await startProgram(t, { requireMlock: true }, { before });
    const client = new PipeClient(program.pipe, { secret: null });
    t.after(() => client.close());
    const large = client.set('k', 'x'.repeat(VALUE_BYTES - 2), TTL);
    await assert.rejects(large, (error) => ['internal', 'broker_gone'].includes(error.code));
    assert.equal(await client.set('k', 'small', TTL), true, 'what fits is served');
  });
});

describe('a core dump', rootOnly, () => {
  const pattern = fs.readFileSync('/proc/sys/kernel/core_pattern', 'latin1').trim();
  const unlimited = ['sh', '-c', 'ulimit -c unlimited && exec "$0" "$@"'];
  const cores = (folder) => fs.readdirSync(folder).filter((name) => name.startsWith('core'));
  const toFile = { skip: !/^core/.test(pattern) && 'core dumps go elsewhere here' };

  it('of a program has none of the values that its broker holds', toFile, async (t) => {
    const cwd = temporaryDirectory(t);
    const program = await startProgram(t, { secret: SECRET }, { cwd, before: unlimited });
    const marks = new Marks();
    await fill(t, program, marks);
    assert.ok(marks.find(program.pid).length > 0);
    await program.kill('SIGABRT');
    const [name] = cores(cwd);
    const core = fs.readFileSync(path.join(cwd, name));
    assert.ok(core.includes(program.pipe), 'it has the memory of the program');
    assert.deepEqual(marks.placesIn(core), []);
  });

  it('of start is not made', async (t) => {
    const cwd = temporaryDirectory(t);
    const command = ['start', '--', 'sh', '-c', 'echo up; exec sleep 1000'];
    const [shell, ...words] = [...unlimited, process.execPath, BIN, ...command];
    const start = launch(shell, words, { cwd, env: { TMPDIR: cwd } });
    await start.sees(/up/);
    start.child.kill('SIGABRT');
    assert.equal((await start.closed).signal, 'SIGABRT');
    assert.deepEqual(cores(cwd), []);
  });
});

describe('what is no longer to be had', rootOnly, () => {
  it('is wiped within 100 ms of its deadline', async (t) => {
    const { running, env } = await standalone(t);
    const marks = new Marks();
    const client = new PipeClient(env.EPHEMERAL_PIPE, { secret: env.EPHEMERAL_SECRET });
    t.after(() => client.close());
    const watch = client.watch();
    await watch.ready;
    const events = watch[Symbol.asyncIterator]();
    const random = randomFrom(1);
    const late = [];
    for (let i = 0; i < 15; i++) {
      // Whatever the time since the last sweep is.
      await pause(random() * 100);
      const deadline = performance.now() + 30;
      await client.set('k', marks.text('gone', 5000 * i + 16), 30);
      assert.equal((await events.next()).value.type, 'set');
      assert.equal((await events.next()).value.type, 'expire');
      late.push(performance.now() - deadline);
      assert.deepEqual(marks.leftIn(running.pid), []);
    }
    await watch.close();
    // Of a busy machine some may be late; the C tests have the exact bound.
    late.sort((a, b) => a - b);
    assert.ok(late[Math.floor(late.length / 2)] < 100, `${late}`);
  });

  it('is wiped when the broker stops, with sessions, leases and waiting requests', async (t) => {
    const program = await startProgram(t, { secret: SECRET });
    const marks = new Marks();
    const client = await fill(t, program, marks);
    await client.pool(marks.text('pool', 50), [marks.text('elem', 900)]);
    await client.acquire(marks.text('pool', 50), { workerId: marks.text('work', 50) });
    const waiting = client.acquire(marks.text('pool', 50));
    waiting.catch(() => {});
    await client.ping();
    await program.ask('stop');
    assert.deepEqual(marks.leftIn(program.pid), []);
    assert.ok(!fs.existsSync(program.pipe));
  });

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT']) {
    it(`leaves no name behind when start is ended by ${signal}`, async (t) => {
      const { running, folder, env } = await standalone(t);
      const client = await fill(
        t,
        { pipe: env.EPHEMERAL_PIPE, secret: env.EPHEMERAL_SECRET },
        new Marks(),
      );
      running.child.kill(signal);
      await running.closed;
      assert.deepEqual(fs.readdirSync(folder), []);
      await client.close();
    });
  }
});

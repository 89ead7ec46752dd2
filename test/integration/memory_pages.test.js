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
const {
  PipeClient,
  SECRET,
  randomFrom,
  temporaryDirectory,
  until,
} = require('../helpers/broker.js');
const {
  PROGRAM,
  launch,
  launchCli,
  processState,
  scratch,
  standalone,
  untilEnded,
  runDirectly,
} = require('../helpers/cli.js');
const { Process } = require('../helpers/lifecycles.js');
const { hardLimitKib, without } = require('../helpers/lock_limit.js');
const { TTL, VALUE_BYTES, lineGuests } = require('../helpers/marked_traffic.js');
const { Marks, canScan } = require('../helpers/memory.js');
const { stretched } = require('../helpers/time_limits.js');
const { startProgram } = require('../helpers/program.js');
const { available, shim } = require('../helpers/shim.js');

runDirectly();

const rootOnly = { skip: !canScan && 'only root reads the memory of others' };
const SIZES = [16, 500, 5000, 100_000, VALUE_BYTES - 2];
const KIB = 1024;
/** More than a broker needs for what the tests store, and far less. */
const ENOUGH_KIB = 4096;
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

/** A value of each size, and somebody who holds, waits for and watches what has names; all is there. */
async function occupy(t, { pid, pipe, secret }, marks) {
  const client = await fill(t, { pipe, secret }, marks);
  const pool = marks.text('pool', 50);
  await client.pool(pool, [marks.text('elem', 900)]);
  await client.acquire(pool, { workerId: marks.text('work', 50) });
  client.acquire(pool).catch(() => {});
  client.waitFor(marks.text('none', 50)).catch(() => {});
  await client.watch(marks.text('watc', 50)).ready;
  for (const size of SIZES) {
    assert.equal(await client.get(marks.text('key ', 100) + size), marks.text('val ', size));
  }
  assert.ok(marks.count(pid, 'val ') > VALUE_BYTES / 12, 'all of it is found');
}

/** Words that run a program with limits, and without root's right to exceed that of locking. */
const limited = (limits) => [
  ...(process.getuid() === 0 ? ['setpriv', '--bounding-set', '-ipc_lock'] : []),
  ...['sh', '-c', `${limits} && exec "$0" "$@"`],
];

describe('the pages that hold keys and values', rootOnly, () => {
  const lockable = { skip: without(ENOUGH_KIB) };

  it('are locked, left out of dumps, and empty in a forked child', lockable, async (t) => {
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
  const limitKib = Math.min(LOCK_LIMIT_KIB, hardLimitKib());
  const before = limited(`ulimit -l ${limitKib}`);

  it('is told by the statistics and once on stderr, and what is locked is locked', async (t) => {
    const program = await startProgram(t, { secret: SECRET }, { before });
    const client = await fill(t, program, new Marks());
    // It looks when there is something to do.
    const warned = async () => (await client.ping()) && program.stderr.includes('ulimit -l');
    await until(warned, 'it warns');
    const { lockedMemory, mlockFailed, items } = await client.stats();
    assert.deepEqual([mlockFailed, items], [1, SIZES.length]);
    assert.ok(lockedMemory <= limitKib * KIB, `${lockedMemory}`);
    // With less there may be no room for the first piece.
    if (limitKib === LOCK_LIMIT_KIB) assert.ok(lockedMemory > 0);
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

  it('is refused at the start with requireMlock, where nothing may be locked', async (t) => {
    const none = limited('ulimit -l 0');
    const refused = await startProgram(t, { requireMlock: true }, { before: none });
    assert.equal(refused.code, 'internal');
    assert.match(refused.message, /ulimit -l/);
  });

  const reached = { skip: without(LOCK_LIMIT_KIB) };
  it('is refused with requireMlock when it is reached', reached, async (t) => {
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

  it('of a program has nothing of what its broker holds, takes or gives', toFile, async (t) => {
    const cwd = temporaryDirectory(t);
    const options = { secret: SECRET, legacyHmac: true };
    const program = await startProgram(t, options, { cwd, before: unlimited });
    const marks = new Marks();
    await occupy(t, program, marks);
    await lineGuests(t, program, marks);
    await program.kill('SIGABRT');
    const [name] = cores(cwd);
    const core = fs.readFileSync(path.join(cwd, name));
    assert.ok(core.includes(program.pipe), 'it has the memory of the program');
    assert.deepEqual(marks.placesIn(core), []);
  });

  it('of start is not made', async (t) => {
    const cwd = temporaryDirectory(t);
    const command = ['start', '--', 'sh', '-c', 'echo "up $EPHEMERAL_BROKER_PID"; read _'];
    const [shell, ...words] = [...unlimited, PROGRAM, ...command];
    const start = launch(shell, words, { cwd, env: { TMPDIR: cwd }, input: null });
    const [, pid] = await start.sees(/up (\d+)/);
    process.kill(Number(pid), 'SIGABRT');
    await untilEnded(Number(pid));
    start.child.stdin.end();
    await start.closed;
    assert.deepEqual(cores(cwd), []);
  });
});

/** Secret memory can't be searched (sandbox.test.js). */
const searchable = () => (available ? { LD_PRELOAD: shim('no_secret_memory') } : {});

describe('what is no longer to be had', rootOnly, () => {
  it('is wiped within 100 ms of its deadline', async (t) => {
    const { running, env } = await standalone(t, [], searchable());
    const marks = new Marks();
    const client = new PipeClient(env.EPHEMERAL_PIPE, { secret: env.EPHEMERAL_SECRET });
    t.after(() => client.close());
    const watch = client.watch();
    await watch.ready;
    const events = watch[Symbol.asyncIterator]();
    const random = randomFrom(1);
    const late = [];
    const bounds = [];
    for (let i = 0; i < 15; i++) {
      // Whatever the time since the last sweep is.
      await pause(random() * 100);
      const deadline = performance.now() + 30;
      await client.set('k', marks.text('gone', 5000 * i + 16), 30);
      assert.equal((await events.next()).value.type, 'set');
      assert.equal((await events.next()).value.type, 'expire');
      late.push(performance.now() - deadline);
      bounds.push(stretched(100));
      assert.deepEqual(marks.leftIn(running.pid), []);
    }
    await watch.close();
    // Of a busy machine some may be late, and be heard of later; the C tests have the exact bound.
    const median = (times) => times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
    assert.ok(median(late) < median(bounds), `${late} of ${bounds}`);
  });

  it('is wiped when the broker stops, with sessions, leases and waiting requests', async (t) => {
    const program = await startProgram(t, { secret: SECRET });
    const marks = new Marks();
    await occupy(t, program, marks);
    await program.ask('stop');
    assert.deepEqual(marks.leftIn(program.pid), []);
    assert.ok(!fs.existsSync(program.pipe));
  });

  for (const end of ['terminate', 'exit', 'throw']) {
    it(`is wiped when the thread of the broker ends by ${end}, and its process goes on`, async (t) => {
      const life = new Process({ life: 'serving', name: 'k', inThread: true });
      t.after(() => life.child.kill('SIGKILL'));
      const { pipe, secret } = await life.heard();
      const { pid } = life.child;
      const marks = new Marks();
      await occupy(t, { pid, pipe, secret }, marks);
      const ended = life.heard();
      life.child.send({ thread: end });
      assert.equal(await ended, 'thread ended');
      assert.deepEqual(marks.leftIn(pid), []);
    });
  }
});

/** A confined broker could not be stopped: in its last moment it would have to call for it. */
const OPEN = ['--no-sandbox'];

/** The end of `start` alone: by a signal, with status 0. */
const ALONE = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'].map((signal) => ({
  name: `alone, by ${signal}`,
  begin: async (t, env) => {
    const broker = await standalone(t, OPEN, env);
    return { ...broker, pid: broker.running.pid };
  },
  end: ({ child }) => child.kill(signal),
  ended: { code: 0, signal: null },
}));
/** With a command: as that ends. */
const WITH_COMMAND = [
  {
    name: 'with a command, by SIGTERM',
    begin: startWithCommand,
    end: ({ child }) => child.kill('SIGTERM'),
    ended: { code: null, signal: 'SIGTERM' },
  },
  {
    name: 'with a command, by its status',
    begin: startWithCommand,
    end: ({ child }) => child.stdin.end('\n'),
    ended: { code: 3, signal: null },
  },
];

/** A command that ends with status 3 when there is a line to read. */
async function startWithCommand(t, env) {
  const folder = scratch(t);
  const script =
    'echo "$EPHEMERAL_PIPE $EPHEMERAL_SECRET $EPHEMERAL_BROKER_PID."; read line; exit 3';
  const options = { env: { TMPDIR: folder, ...env }, input: null };
  const running = launchCli(['start', ...OPEN, '--', 'sh', '-c', script], options);
  t.after(() => running.child.kill('SIGKILL'));
  const [, pipe, secret, pid] = await running.sees(/^(\S+) (\S+) (\d+)\.$/m);
  const variables = { EPHEMERAL_PIPE: pipe, EPHEMERAL_SECRET: secret };
  return { running, folder, env: variables, pid: Number(pid) };
}

const stoppable = { skip: rootOnly.skip || (!available && 'it takes a C compiler') };

describe('when start ends', stoppable, () => {
  for (const { name, begin, end, ended } of [...ALONE, ...WITH_COMMAND]) {
    it(`nothing of what it held is left in its memory, and no name: ${name}`, async (t) => {
      const shims = `${shim('last_moment')}:${shim('no_secret_memory')}`;
      const { running, folder, env, pid } = await begin(t, { LD_PRELOAD: shims });
      const marks = new Marks();
      await occupy(t, { pid, pipe: env.EPHEMERAL_PIPE, secret: env.EPHEMERAL_SECRET }, marks);
      end(running);
      await until(() => processState(pid) === 'T', 'it has come to its last moment');
      try {
        assert.deepEqual(marks.leftIn(pid), []);
      } finally {
        process.kill(pid, 'SIGCONT');
      }
      assert.deepEqual(await running.closed, ended);
      await untilEnded(pid);
      assert.deepEqual(fs.readdirSync(folder), []);
    });
  }
});

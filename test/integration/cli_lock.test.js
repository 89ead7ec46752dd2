/**
 * `lock NAME -- command`: turns, statuses and signals, and what happens when a lock is lost.
 */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, it } = require('node:test');
const {
  BIN,
  hasEnded,
  launch,
  launchCli,
  processState,
  runCli,
  scratch,
  standalone,
  until,
  victim,
  victimReady,
} = require('../helpers/cli.js');
const { stretched } = require('../helpers/time_limits.js');
const { KEYS, Terminal } = require('../helpers/pty.js');
const { PipeClient } = require('../../lib/index.js');

const onLinux = { skip: process.platform !== 'linux' };

/** Prints "in", stays until a line or the end comes on stdin, prints "out". */
const STAYS = ['sh', '-c', 'echo in; read line; echo out'];

/** One broker for all tests of this file; each uses locks of its own. */
let broker;
let client;
const cleanUps = [];
before(async () => {
  broker = await standalone({ after: (work) => cleanUps.push(work) });
  client = connect(broker);
});
after(async () => {
  await client.close();
  for (const work of cleanUps.reverse()) await work();
});

function connect({ env }) {
  return new PipeClient(env.EPHEMERAL_PIPE, { secret: env.EPHEMERAL_SECRET });
}

/** Starts `lock ARGS`, with an open stdin, in the environment of the broker. */
function lock(t, args, { env = broker.env } = {}) {
  const running = launchCli(['lock', ...args], { env, input: null });
  t.after(async () => {
    if (running.child.exitCode === null && running.child.signalCode === null) {
      running.child.kill('SIGKILL');
    }
    running.child.stdin.destroy();
    await running.exited;
  });
  return running;
}

/** Starts one that has to wait, and resolves once it does. */
async function queued(t, name, args) {
  const earlier = await count(name, 'waiting');
  const running = lock(t, [name, ...args]);
  await until(async () => (await count(name, 'waiting')) > earlier, `${args.join(' ')} waits`);
  return running;
}

async function count(name, state) {
  return (await client.leases(name)).filter((row) => row.key === name && row.state === state)
    .length;
}

/** The companion, which holds the lock, ends just after the command. */
const free = (name) =>
  until(async () => (await client.leases(name)).length === 0, `${name} should be free`);
/** The companion of the command that holds a lock: the peer of a connection to the broker. */
const companionOf = (pid) =>
  fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== pid)
    .map(Number)
    .find((other) => holdsPidfdOf(other, pid));
/** Whether a process has a pidfd of another one. */
function holdsPidfdOf(holder, pid) {
  try {
    const folder = `/proc/${holder}/fdinfo`;
    return fs
      .readdirSync(folder)
      .some((fd) => fs.readFileSync(path.join(folder, fd), 'latin1').includes(`Pid:\t${pid}\n`));
  } catch {
    return false;
  }
}
const letGo = (running) => running.child.stdin.end('\n');
const died = (signal) => ({ code: null, signal });
const exited = (code) => ({ code, signal: null });

describe('a lock inside itself', () => {
  const nested = (name, ...rest) => [process.execPath, BIN, 'lock', name, '--', ...rest];

  it('is refused at once, also by way of another one', async () => {
    const direct = await runCli(['lock', 'self', '--', ...nested('self', 'true')], broker);
    assert.equal(direct.code, 1);
    assert.match(direct.stderr, /lock "self": the command around this one holds it/);
    const around = nested('self-b', ...nested('self', 'true'));
    const deep = await runCli(['lock', 'self', '--', ...around], broker);
    assert.match(deep.stderr, /lock "self": the command around this one holds it/);
  });

  it('is refused to a client in the command', async () => {
    const script = `
      const { PipeClient } = require(${JSON.stringify(path.join(__dirname, '../../lib/index.js'))});
      const client = new PipeClient();
      client.lock('self-c', () => 'in').catch(({ code }) => code)
        .then((said) => console.log(said)).finally(() => client.close());`;
    const args = ['lock', 'self-c', '--', process.execPath, '-e', script];
    assert.equal((await runCli(args, broker)).stdout, 'deadlock\n');
  });

  it('another lock, or that of another broker, is none', async (t) => {
    const other = await standalone(t);
    const inner = nested('free', 'echo', 'in');
    assert.equal((await runCli(['lock', 'self', '--', ...inner], broker)).stdout, 'in\n');
    const { EPHEMERAL_PIPE, EPHEMERAL_SECRET } = other.env;
    const there = [
      'env',
      `EPHEMERAL_PIPE=${EPHEMERAL_PIPE}`,
      `EPHEMERAL_SECRET=${EPHEMERAL_SECRET}`,
    ];
    const args = ['lock', 'self', '--', ...there, ...nested('self', 'echo', 'there')];
    assert.equal((await runCli(args, broker)).stdout, 'there\n');
  });
});

describe('turns', () => {
  it('one after the other, in order of arrival', async (t) => {
    const log = path.join(scratch(t), 'log');
    const notes = (name) => ['sh', '-c', `echo ${name} >> "$0"; read line; echo ${name} >> "$0"`];
    const first = lock(t, ['turns', '--', ...notes('first'), log]);
    await until(() => fs.existsSync(log), 'the first should run');
    const others = [];
    for (const name of ['second', 'third', 'fourth']) {
      others.push(await queued(t, 'turns', ['--', ...notes(name), log]));
    }
    for (const running of [first, ...others]) {
      letGo(running);
      assert.deepEqual(await running.exited, exited(0));
    }
    const order = ['first', 'first', 'second', 'second', 'third', 'third', 'fourth', 'fourth'];
    assert.deepEqual(fs.readFileSync(log, 'utf8').trim().split('\n'), order);
  });

  it('those that share go together, others not', async (t) => {
    const readers = [1, 2].map(() => lock(t, ['shared', '--shared', '--', ...STAYS]));
    for (const reader of readers) await reader.sees(/^in$/m);
    const writer = await queued(t, 'shared', ['--', ...STAYS]);
    // The writer was first: nobody overtakes it.
    const late = await queued(t, 'shared', ['--shared', '--', ...STAYS]);
    letGo(readers[0]);
    await readers[0].closed;
    assert.deepEqual([await count('shared', 'waiting'), writer.stdout], [2, '']);
    letGo(readers[1]);
    await writer.sees(/^in$/m);
    assert.equal(late.stdout, '');
    letGo(writer);
    await late.sees(/^in$/m);
    letGo(late);
    assert.deepEqual(await late.exited, exited(0));
  });

  it('different names are no business of each other', async (t) => {
    const one = lock(t, ['one', '--', ...STAYS]);
    await one.sees(/^in$/m);
    const { stdout } = await runCli(['lock', 'other', '--wait', '0', '--', 'echo', 'free'], {
      env: broker.env,
    });
    assert.equal(stdout, 'free\n');
  });

  it('the lock is free when the command has ended', async () => {
    await runCli(['lock', 'ended', '--', 'true'], { env: broker.env });
    await free('ended');
  });

  it('`leases` shows the process that is, or becomes, the command', async (t) => {
    const holder = lock(t, ['shown', '--', ...STAYS]);
    await holder.sees(/^in$/m);
    const waiting = await queued(t, 'shown', ['--', ...STAYS]);
    const rows = await client.leases('shown');
    assert.deepEqual(
      rows.map(({ state, pid }) => [state, pid]),
      [
        ['held', holder.pid],
        ['waiting', waiting.pid],
      ],
    );
  });

  it('the JavaScript client has the same locks', async (t) => {
    const held = await client.acquireLock('both');
    const waiting = await queued(t, 'both', ['--', ...STAYS]);
    await held.release();
    await waiting.sees(/^in$/m);
    await assert.rejects(client.acquireLock('both', { waitMs: 0 }), { code: 'lease_held' });
  });
});

describe('refusal is status 1, and the command does not run', () => {
  for (const wait of ['0', '50ms']) {
    it(`--wait ${wait}`, async (t) => {
      const name = `refused after ${wait}`;
      const holder = lock(t, [name, '--', ...STAYS]);
      await holder.sees(/^in$/m);
      const { code, stdout, stderr } = await runCli(
        ['lock', name, '--wait', wait, '--', 'echo', 'it ran'],
        { env: broker.env },
      );
      assert.equal(stdout, '');
      assert.match(stderr, /^ephemeral-pipe-broker: .*"refused after .+\n$/);
      assert.equal(code, 1);
      assert.equal(await count(name, 'waiting'), 0);
    });
  }
});

describe('the command', () => {
  const run = (command, { args = [], ...rest } = {}) =>
    runCli(['lock', 'command', ...args, '--', ...command], { env: broker.env, ...rest });

  it('has its own standard input, output and error', async () => {
    const result = await run(['sh', '-c', 'cat; echo wrong >&2'], { input: 'typed\n' });
    assert.deepEqual(result, { code: 0, signal: null, stdout: 'typed\n', stderr: 'wrong\n' });
  });

  it('has its words untouched', async () => {
    const words = ['--wait', '5', '--', '-x', 'a b', ''];
    const { stdout } = await run(['printf', '[%s]', ...words]);
    assert.equal(stdout, words.map((word) => `[${word}]`).join(''));
  });

  it('can use the broker, and has no more in its environment than its caller but what is held', async () => {
    const { stdout } = await run(['sh', '-c', 'env | grep ^EPHEMERAL_ | cut -d= -f1 | sort']);
    assert.equal(stdout, 'EPHEMERAL_FLOW\nEPHEMERAL_PIPE\nEPHEMERAL_SECRET\n');
  });

  it('decides the status', async () => {
    assert.equal((await run(['sh', '-c', 'exit 42'])).code, 42);
  });

  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL', 'SIGSEGV']) {
    it(`ended by ${name} ends so, and the lock is free`, async () => {
      const { code, signal } = await run(['sh', '-c', `kill -${name.slice(3)} $$`]);
      assert.deepEqual({ code, signal }, died(name));
      await free('command');
    });
  }

  it('that does not exist is 127, one that is no program 126; the lock is free', async (t) => {
    const missing = await run(['no-such-program']);
    assert.equal(missing.code, 127);
    assert.match(missing.stderr, /"no-such-program": command not found/);
    const file = path.join(scratch(t), 'data');
    fs.writeFileSync(file, 'not a program', { mode: 0o644 });
    assert.equal((await run([file])).code, 126);
    await free('command');
  });
});

describe('signals', () => {
  it('reach the command, which decides', async (t) => {
    const running = lock(t, ['heeds', '--', ...victim('heed=SIGTERM:42')]);
    await victimReady(running);
    running.child.kill('SIGTERM');
    assert.deepEqual(await running.exited, exited(42));
    assert.match(running.stdout, /^signal SIGTERM$/m);
    await free('heeds');
  });

  it('are the business of the command alone: nothing kills it after --grace', async (t) => {
    const behaviour = ['ignore=SIGTERM', 'heed=SIGUSR1:6'];
    const running = lock(t, ['grace', '--grace', '0', '--', ...victim(...behaviour)]);
    await victimReady(running);
    running.child.kill('SIGTERM');
    await running.sees(/signal SIGTERM/);
    assert.equal(await count('grace', 'held'), 1);
    running.child.kill('SIGUSR1');
    assert.deepEqual(await running.exited, exited(6));
    await free('grace');
  });

  it('end us while we wait, and nothing runs', async (t) => {
    const holder = lock(t, ['ends', '--', ...STAYS]);
    await holder.sees(/^in$/m);
    for (const name of ['SIGINT', 'SIGTERM']) {
      const waiting = await queued(t, 'ends', ['--', 'echo', 'it ran']);
      waiting.child.kill(name);
      assert.deepEqual(await waiting.closed, died(name));
      assert.equal(waiting.stdout, '');
      await until(async () => (await count('ends', 'waiting')) === 0, 'nobody should wait');
    }
  });

  it('the death of the package manager above us ends us while we wait', onLinux, async (t) => {
    const npx = path.join(scratch(t), 'npx-cli.js');
    const spawns = `require('child_process').spawn(process.execPath, process.argv.slice(2), { stdio: 'inherit' })`;
    fs.writeFileSync(npx, spawns);
    const holder = lock(t, ['orphan', '--', ...STAYS]);
    await holder.sees(/^in$/m);
    const above = launch(
      process.execPath,
      [npx, BIN, 'lock', 'orphan', '--worker', 'orphan', '--', 'echo', 'it ran'],
      { env: broker.env },
    );
    await until(async () => (await count('orphan', 'waiting')) === 1, 'it should wait');
    above.child.kill('SIGKILL');
    await until(async () => (await count('orphan', 'waiting')) === 0, 'nobody should wait');
    await above.closed;
    assert.equal(above.stdout, '');
  });

  it('Ctrl-C on a terminal reaches the command once, and the lock is free', async () => {
    const command = [process.execPath, BIN, 'lock', 'typed', '--', ...victim('heed=SIGINT:5')];
    const terminal = new Terminal(command, { env: broker.env });
    const { pid, group } = await victimReady(terminal);
    assert.equal(group, pid);
    terminal.type(KEYS.CTRL_C);
    assert.deepEqual(await terminal.ending(), { exit: 5 });
    assert.equal(terminal.stdout.match(/signal SIGINT/g).length, 1);
    await free('typed');
  });

  it('KILL of the command lets the next one go, whatever it leaves behind', async (t) => {
    const holder = lock(t, ['killed', '--', ...victim('background')]);
    const { grandchild } = await victimReady(holder);
    t.after(() => process.kill(grandchild, 'SIGKILL'));
    const next = await queued(t, 'killed', ['--', 'echo', 'my turn']);
    holder.child.kill('SIGKILL');
    assert.deepEqual(await next.closed, exited(0));
    assert.equal(next.stdout, 'my turn\n');
    assert.ok(!hasEnded(grandchild));
  });

  it('KILL of the companion lets the next one go; the command goes on', onLinux, async (t) => {
    const holder = lock(t, ['companion', '--', ...victim('heed=SIGUSR1:4')]);
    const { pid } = await victimReady(holder);
    const next = await queued(t, 'companion', ['--', 'echo', 'my turn']);
    process.kill(companionOf(pid), 'SIGKILL');
    assert.deepEqual(await next.closed, exited(0));
    assert.equal(next.stdout, 'my turn\n');
    holder.child.kill('SIGUSR1');
    assert.deepEqual(await holder.exited, exited(4));
  });
});

describe('the lock lasts', () => {
  it('as long as the command, however short its TTL', async (t) => {
    const ttl = stretched(500);
    const running = lock(t, ['lasts', '--ttl', `${ttl}ms`, '--', ...STAYS]);
    await running.sees(/^in$/m);
    const [{ token }] = await client.leases('lasts');
    const isOld = async () => {
      const [row] = await client.leases('lasts');
      assert.equal(row?.token, token, 'it is still the same');
      return Date.now() - row.since > 3 * ttl;
    };
    await until(isOld, 'the lock should outlive its TTL');
    letGo(running);
    assert.deepEqual(await running.exited, exited(0));
  });
});

describe('a lock that is lost ends the command: TERM, then KILL after --grace', () => {
  async function assertLost(running, why, ending) {
    assert.deepEqual(await running.closed, ending);
    assert.equal(
      running.stderr,
      `ephemeral-pipe-broker: lock "lost": lost (${why}), so the command is ended\n`,
    );
  }

  it('by force', async (t) => {
    const running = lock(t, ['lost', '--', ...victim('heed=SIGTERM:3')]);
    await victimReady(running);
    const { stdout } = await runCli(['release', 'lost', '--force'], { env: broker.env });
    assert.equal(stdout, 'true\n');
    await assertLost(running, 'lease_lost', exited(3));
    assert.match(running.stdout, /^signal SIGTERM$/m);
  });

  it('with the broker, and the command ignores TERM', async (t) => {
    const other = await standalone(t);
    const running = lock(t, ['lost', '--grace', '100ms', '--', ...victim('ignore=SIGTERM')], other);
    await victimReady(running);
    other.running.child.kill('SIGKILL');
    await assertLost(running, 'broker_gone', died('SIGKILL'));
    assert.match(running.stdout, /^signal SIGTERM$/m);
  });

  it('after the companion stood still for longer than its TTL', onLinux, async (t) => {
    const ttl = `${stretched(300)}ms`;
    const running = lock(t, ['lost', '--ttl', ttl, '--', ...victim('heed=SIGTERM:3')]);
    const { pid } = await victimReady(running);
    const companion = companionOf(pid);
    t.after(() => hasEnded(companion) || process.kill(companion, 'SIGKILL'));
    const next = await queued(t, 'lost', ['--', ...STAYS]);
    process.kill(companion, 'SIGSTOP');
    await until(() => processState(companion) === 'T', 'it should stop');
    await next.sees(/^in$/m);
    process.kill(companion, 'SIGCONT');
    await assertLost(running, 'lease_lost', exited(3));
    letGo(next);
    assert.deepEqual(await next.exited, exited(0));
  });
});

describe('wrong use is status 2', () => {
  for (const [args, expected] of [
    [[], /lock: something is missing; usage: ephemeral-pipe-broker lock NAME .*-- COMMAND/],
    [['--', 'true'], /lock: something is missing/],
    [['name'], /lock: there is no command after --/],
    [['name', '--'], /lock: there is no command after --/],
    [['name', 'true'], /lock: put -- before the command/],
    [['name', 'other', '--', 'true'], /lock: too many words/],
    [['name', '--sharde', '--', 'true'], /Unknown flag --sharde\. Did you mean --shared\?/],
    [['name', '--json', '--', 'true'], /Unknown flag --json/],
    [['name', '--wait', 'soon', '--', 'true'], /--wait takes/],
  ]) {
    it(`lock ${args.join(' ')}`, async () => {
      const { code, stdout, stderr } = await runCli(['lock', ...args], { env: broker.env });
      assert.equal(stdout, '');
      assert.match(stderr, expected);
      assert.equal(code, 2);
    });
  }
});

it('no broker is status 3', async () => {
  const { code, stdout, stderr } = await runCli(['lock', 'name', '--', 'echo', 'it ran']);
  assert.equal(stdout, '');
  assert.match(stderr, /EPHEMERAL_PIPE is not set/);
  assert.equal(code, 3);
});

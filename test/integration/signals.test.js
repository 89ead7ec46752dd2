/**
 * Signals without a terminal: they are the command's own, and the broker ends with the command. What the
 * broker does with the signals that it gets itself, and who ends a command.
 */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { describe, it } = require('node:test');
const {
  BIN,
  hasEnded,
  launch,
  launchCli,
  leftovers,
  processState,
  runCli,
  scratch,
  until,
  untilEnded,
  victim,
  victimReady,
} = require('../helpers/cli.js');
const { PipeClient } = require('../../lib/index.js');

/** An hour, and so the end of the test if something waits for it. */
const LONG = '1h';

function killAtTheEnd(t, ...pids) {
  t.after(() => {
    for (const pid of pids) if (pid && !hasEnded(pid)) process.kill(pid, 'SIGKILL');
  });
}

/** Starts the victim under `start` and waits until it is there. */
async function startVictim(t, behaviour = [], flags = [], options = {}) {
  const folder = scratch(t);
  const running = launchCli(['start', ...flags, '--', ...victim(...behaviour)], {
    env: { TMPDIR: folder },
    ...options,
  });
  const ready = await victimReady(running);
  killAtTheEnd(t, ready.pid, ready.grandchild, ready.broker);
  return { running, ready, folder };
}

/** The broker ends just after the command, and leaves nothing. */
async function assertClean({ running, ready, folder }, expected) {
  assert.deepEqual(await running.exited, expected);
  await untilEnded(ready.pid);
  await untilEnded(ready.broker);
  assert.deepEqual(leftovers(folder), []);
}

const died = (signal) => ({ code: null, signal });
const exited = (code) => ({ code, signal: null });

describe('a signal to the process that was started', () => {
  it('is one to the command, whose parent and group are those without a broker', async (t) => {
    const { running, ready } = await startVictim(t);
    assert.equal(ready.pid, running.pid);
    assert.equal(ready.ppid, process.pid);
    assert.equal(ready.group, ready.parentGroup);
  });

  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL', 'SIGALRM']) {
    it(`${name} ends the command, and the broker ends`, async (t) => {
      const run = await startVictim(t);
      run.running.child.kill(name);
      await assertClean(run, died(name));
    });
  }

  for (const name of ['SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH']) {
    it(`${name} reaches a command that handles it`, async (t) => {
      const run = await startVictim(t, [`heed=${name}:0`]);
      run.running.child.kill(name);
      await assertClean(run, exited(0));
      assert.match(run.running.stdout, new RegExp(`^signal ${name}$`, 'm'));
      assert.doesNotMatch(run.running.stderr, /Debugger/);
    });
  }

  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    it(`${name} leaves the status to a command that handles it`, async (t) => {
      const run = await startVictim(t, [`heed=${name}:42`]);
      run.running.child.kill(name);
      await assertClean(run, exited(42));
    });
  }

  it('reaches the command once', async (t) => {
    const run = await startVictim(t, ['ignore=SIGUSR2,SIGTERM', 'heed=SIGUSR1:0']);
    run.running.child.kill('SIGUSR2');
    await run.running.sees(/signal SIGUSR2/);
    run.running.child.kill('SIGTERM');
    await run.running.sees(/signal SIGTERM/);
    run.running.child.kill('SIGUSR1');
    await assertClean(run, exited(0));
    const seen = run.running.stdout.match(/^signal .*$/gm);
    assert.deepEqual(seen, ['signal SIGUSR2', 'signal SIGTERM', 'signal SIGUSR1']);
  });

  it('never ends the broker before the command', async (t) => {
    const run = await startVictim(
      t,
      ['ignore=SIGTERM,SIGHUP,SIGQUIT,SIGINT', 'heed=SIGUSR1:3'],
      ['--grace', '0'],
    );
    for (const name of ['SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGINT']) {
      run.running.child.kill(name);
      await run.running.sees(new RegExp(`signal ${name}`));
      assert.ok(!hasEnded(run.ready.broker));
    }
    run.running.child.kill('SIGUSR1');
    await assertClean(run, exited(3));
  });

  it('ends a group whole, if it is for the group, and not the broker before it', async (t) => {
    const behaviour = ['background', 'ignore=SIGTERM', 'heed=SIGUSR1:7'];
    const run = await startVictim(t, behaviour, [], { detached: true });
    process.kill(-run.ready.group, 'SIGTERM');
    await untilEnded(run.ready.grandchild);
    await run.running.sees(/signal SIGTERM/);
    assert.ok(!hasEnded(run.ready.broker));
    process.kill(-run.ready.group, 'SIGUSR1');
    await assertClean(run, exited(7));
  });

  it('as KILL to the group leaves nothing that runs, or holds the output', async (t) => {
    const run = await startVictim(t, ['background', 'ignore=SIGTERM'], [], { detached: true });
    process.kill(-run.ready.group, 'SIGKILL');
    await assertClean(run, died('SIGKILL'));
    await untilEnded(run.ready.grandchild);
    await run.running.closed;
  });
});

describe('nothing of ours ends a command that takes its time', () => {
  it('after TERM and HUP, whatever the grace period', async (t) => {
    const run = await startVictim(t, ['ignore=SIGTERM,SIGHUP', 'heed=SIGUSR1:0'], ['--grace', '0']);
    for (const name of ['SIGTERM', 'SIGHUP', 'SIGTERM', 'SIGTERM']) run.running.child.kill(name);
    await run.running.sees(/signal SIGTERM/);
    run.running.child.kill('SIGUSR1');
    await assertClean(run, exited(0));
  });

  it('after INT, however often: each one arrives', async (t) => {
    const run = await startVictim(t, ['ignore=SIGINT', 'heed=SIGUSR1:0'], ['--grace', '0']);
    for (let times = 1; times <= 5; times++) {
      run.running.child.kill('SIGINT');
      await run.running.sees(new RegExp(`(?:signal SIGINT\\n){${times}}`));
    }
    run.running.child.kill('SIGUSR1');
    await assertClean(run, exited(0));
  });

  it('after the death of the broker, whose socket the next start removes', async (t) => {
    const run = await startVictim(t, ['heed=SIGUSR1:5']);
    process.kill(run.ready.broker, 'SIGKILL');
    await untilEnded(run.ready.broker);
    assert.equal(leftovers(run.folder).length, 1);
    const next = await runCli(['start', '--', 'true'], { env: { TMPDIR: run.folder } });
    assert.equal(next.code, 0);
    run.running.child.kill('SIGUSR1');
    await assertClean(run, exited(5));
  });
});

describe('a signal to the broker', { skip: process.platform !== 'linux' }, () => {
  const SECRET = 'of the tests of signals';

  async function withClient(t, grace) {
    const run = await startVictim(t, ['heed=SIGUSR1:0'], ['--grace', grace, '--pipe-id', 'asked'], {
      env: { TMPDIR: scratch(t), EPHEMERAL_SECRET: SECRET },
    });
    const environ = fs.readFileSync(`/proc/${run.ready.pid}/environ`, 'latin1');
    const [, pipe] = /(?:^|\0)EPHEMERAL_PIPE=([^\0]*)/.exec(environ);
    const client = new PipeClient(pipe, { secret: SECRET });
    t.after(() => client.close());
    await client.ping();
    const end = async () => {
      run.running.child.kill('SIGUSR1');
      assert.deepEqual(await run.running.exited, exited(0));
      await untilEnded(run.ready.broker);
      assert.ok(!fs.existsSync(pipe));
    };
    return { ...run, client, end };
  }

  /** Two equal signals are one while the first is pending. */
  async function term({ broker }) {
    process.kill(broker, 'SIGTERM');
    const status = () => fs.readFileSync(`/proc/${broker}/status`, 'latin1');
    await until(() => /^ShdPnd:\t0+$/m.test(status()), 'TERM should arrive');
  }

  it('that is HUP, INT, QUIT, USR1, USR2 or PIPE does nothing', async (t) => {
    const { ready, client, end } = await withClient(t, '0');
    for (const name of ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGPIPE']) {
      process.kill(ready.broker, name);
      assert.equal(await client.set(name, 1, 60_000), true);
    }
    await end();
  });

  it('that is TERM lets it serve on; a second one ends it, and the command goes on', async (t) => {
    const { ready, client, end } = await withClient(t, LONG);
    await term(ready);
    await client.set('key', 'kept', 60_000);
    assert.equal(await client.get('key'), 'kept');
    process.kill(ready.broker, 'SIGTERM');
    await untilEnded(ready.broker);
    await assert.rejects(client.get('key'), { code: 'broker_gone' });
    assert.ok(!hasEnded(ready.pid));
    await end();
  });

  it('that is TERM ends it after the grace period, and the command goes on', async (t) => {
    const { ready, end } = await withClient(t, '100ms');
    process.kill(ready.broker, 'SIGTERM');
    await untilEnded(ready.broker);
    assert.ok(!hasEnded(ready.pid));
    await end();
  });
});

describe('no broker and no command is orphaned', { skip: process.platform !== 'linux' }, () => {
  it('KILL of a start in a start ends both brokers', async (t) => {
    const folder = scratch(t);
    const inner = [process.execPath, BIN, 'start', '--', ...victim()];
    const script = 'echo outer=$EPHEMERAL_BROKER_PID; exec "$@"';
    const running = launchCli(['start', '--', 'sh', '-c', script, 'sh', ...inner], {
      env: { TMPDIR: folder },
    });
    const outer = Number((await running.sees(/outer=(\d+)/))[1]);
    const ready = await victimReady(running);
    assert.equal(ready.pid, running.pid);
    assert.notEqual(ready.broker, outer);
    running.child.kill('SIGKILL');
    await untilEnded(ready.broker);
    await untilEnded(outer);
    assert.deepEqual(leftovers(folder), []);
  });

  it('when the package manager dies: TERM, then KILL, also for a stopped command', async (t) => {
    const folder = scratch(t);
    const npx = path.join(folder, 'npx-cli.js');
    fs.writeFileSync(
      npx,
      `require('child_process').spawn(process.execPath, process.argv.slice(2), { stdio: 'inherit' })`,
    );
    const above = launch(
      process.execPath,
      [npx, BIN, 'start', '--grace', '100ms', '--', ...victim()],
      { env: { TMPDIR: folder } },
    );
    const ready = await victimReady(above);
    killAtTheEnd(t, ready.pid);
    process.kill(ready.pid, 'SIGSTOP');
    await until(() => processState(ready.pid) === 'T', 'the command should stop');
    above.child.kill('SIGKILL');
    await untilEnded(ready.pid);
    await untilEnded(ready.broker);
    assert.deepEqual(leftovers(folder), []);
  });

  it('a broker ends with a command whose parent does not reap it', async (t) => {
    const folder = scratch(t);
    const script = `"$0" "$1" start -- sh -c 'echo $EPHEMERAL_BROKER_PID $$' & exec sleep 1000`;
    const running = launch('sh', ['-c', script, process.execPath, BIN], {
      env: { TMPDIR: folder },
    });
    killAtTheEnd(t, running.pid);
    const [, broker, command] = await running.sees(/(\d+) (\d+)/);
    await until(() => processState(command) === 'Z', 'the command should be a zombie');
    await untilEnded(broker);
    assert.equal(processState(command), 'Z');
    assert.deepEqual(leftovers(folder), []);
  });
});

/**
 * Signals without a terminal: what is passed on, who ends whom, and that nothing is left.
 */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { constants } = require('node:os');
const { describe, it } = require('node:test');
const { setTimeout: pause } = require('node:timers/promises');
const {
  BIN,
  hasEnded,
  launch,
  launchCli,
  leftovers,
  processState,
  scratch,
  until,
  untilEnded,
  victim,
  victimReady,
} = require('../helpers/cli.js');

const { signals } = constants;

/** Starts the victim under `start` and waits until it is there. */
async function startVictim(t, behaviour = [], flags = []) {
  const folder = scratch(t);
  const running = launchCli(['start', ...flags, '--', ...victim(...behaviour)], {
    env: { TMPDIR: folder },
  });
  const ready = await victimReady(running);
  t.after(() => {
    for (const pid of [ready.pid, ready.grandchild, running.pid]) {
      if (pid && !hasEnded(pid)) process.kill(pid, 'SIGKILL');
    }
  });
  return { running, ready, folder };
}

async function assertClean({ running, ready, folder }, expected) {
  assert.deepEqual(await running.exited, expected);
  await untilEnded(ready.pid);
  assert.deepEqual(leftovers(folder), []);
}

const died = (signal) => ({ code: null, signal });
const exited = (code) => ({ code, signal: null });

describe('a signal to start', () => {
  it('finds the command in a group of its own', async (t) => {
    const { running, ready } = await startVictim(t);
    assert.equal(ready.group, ready.pid);
    assert.notEqual(ready.group, ready.parentGroup);
    assert.equal(ready.ppid, running.pid);
  });

  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    it(`${name} ends the command, and us in the same way`, async (t) => {
      const run = await startVictim(t);
      run.running.child.kill(name);
      await assertClean(run, died(name));
    });
  }

  for (const name of ['SIGQUIT', 'SIGUSR1', 'SIGUSR2']) {
    it(`${name} reaches the command: SIGUSR1 starts no debugger in it`, async (t) => {
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

  it('goes to the whole group', async (t) => {
    const run = await startVictim(t, ['background']);
    run.running.child.kill('SIGTERM');
    await assertClean(run, died('SIGTERM'));
    await untilEnded(run.ready.grandchild);
  });

  it('reaches the command once', async (t) => {
    const run = await startVictim(
      t,
      ['ignore=SIGUSR2,SIGTERM', 'heed=SIGUSR1:0'],
      ['--grace', '1h'],
    );
    run.running.child.kill('SIGUSR2');
    await run.running.sees(/signal SIGUSR2/);
    run.running.child.kill('SIGTERM');
    await run.running.sees(/signal SIGTERM/);
    run.running.child.kill('SIGUSR1');
    await assertClean(run, exited(0));
    const seen = run.running.stdout.match(/^signal .*$/gm);
    assert.deepEqual(seen, ['signal SIGUSR2', 'signal SIGTERM', 'signal SIGUSR1']);
  });

  it('never makes us end before the command', async (t) => {
    const run = await startVictim(
      t,
      ['ignore=SIGTERM,SIGHUP,SIGQUIT', 'heed=SIGUSR1:3'],
      ['--grace', '1h'],
    );
    for (const name of ['SIGTERM', 'SIGHUP', 'SIGQUIT']) {
      run.running.child.kill(name);
      await run.running.sees(new RegExp(`signal ${name}`));
      assert.ok(!hasEnded(run.running.pid));
    }
    run.running.child.kill('SIGUSR1');
    await assertClean(run, exited(3));
  });
});

describe('the grace period', () => {
  for (const name of ['SIGTERM', 'SIGHUP']) {
    it(`ends a command that ignores ${name}, and its group, with KILL`, async (t) => {
      const run = await startVictim(t, ['ignore=SIGTERM,SIGHUP', 'background'], ['--grace', '100']);
      run.running.child.kill(name);
      await assertClean(run, exited(128 + signals.SIGKILL));
      await untilEnded(run.ready.grandchild);
      assert.match(run.running.stdout, new RegExp(`signal ${name}`));
    });
  }

  it('of 0 is no grace', async (t) => {
    const run = await startVictim(t, ['ignore=SIGTERM'], ['--grace', '0']);
    run.running.child.kill('SIGTERM');
    await assertClean(run, exited(128 + signals.SIGKILL));
  });

  it('is not started by INT: a command may take its time to end', async (t) => {
    const run = await startVictim(t, ['ignore=SIGINT', 'heed=SIGUSR1:0'], ['--grace', '0']);
    run.running.child.kill('SIGINT');
    await run.running.sees(/signal SIGINT/);
    run.running.child.kill('SIGUSR1');
    await assertClean(run, exited(0));
  });

  it('the third INT kills', async (t) => {
    const run = await startVictim(t, ['ignore=SIGINT']);
    for (const times of [1, 2]) {
      run.running.child.kill('SIGINT');
      await run.running.sees(new RegExp(`(?:signal SIGINT\\n){${times}}`));
      // A press of its own, as the next finger movement is.
      await pause(250);
    }
    run.running.child.kill('SIGINT');
    await assertClean(run, exited(128 + signals.SIGKILL));
  });
});

describe('nobody is orphaned', { skip: process.platform !== 'linux' }, () => {
  it('KILL of start ends the command', async (t) => {
    const { running, ready } = await startVictim(t, ['heed=SIGTERM:0']);
    running.child.kill('SIGKILL');
    assert.deepEqual(await running.exited, died('SIGKILL'));
    await untilEnded(ready.pid);
    await running.sees(/signal SIGTERM/);
  });

  it('KILL of an outer start ends the inner one and its command', async (t) => {
    const folder = scratch(t);
    const inner = [process.execPath, BIN, 'start', '--', ...victim()];
    const running = launchCli(['start', '--', ...inner], { env: { TMPDIR: folder } });
    const ready = await victimReady(running);
    running.child.kill('SIGKILL');
    await untilEnded(ready.pid);
    await untilEnded(ready.ppid);
  });

  it('the socket that KILL left is removed by the next start', async (t) => {
    const { running, folder } = await startVictim(t);
    running.child.kill('SIGKILL');
    await running.closed;
    assert.equal(leftovers(folder).length, 1);
    const next = await launchCli(['start', '--', 'true'], { env: { TMPDIR: folder } }).result();
    assert.equal(next.code, 0);
    assert.deepEqual(leftovers(folder), []);
  });

  it('a command that is stopped still ends when it is told to', async (t) => {
    const run = await startVictim(t, [], ['--grace', '100']);
    process.kill(run.ready.pid, 'SIGSTOP');
    await until(() => processState(run.ready.pid) === 'T', 'the command should stop');
    run.running.child.kill('SIGTERM');
    await assertClean(run, exited(128 + signals.SIGKILL));
  });
});

describe('zombies', { skip: process.platform !== 'linux' }, () => {
  it('the command is collected before we end', async (t) => {
    const folder = scratch(t);
    const script = `"$0" "$1" start -- sh -c 'echo $$; exit 0'; ls /proc | grep -c . >/dev/null`;
    const { stdout } = await launch('sh', ['-c', script, process.execPath, BIN], {
      env: { TMPDIR: folder },
    }).result();
    assert.ok(!fs.existsSync(`/proc/${stdout.trim()}`));
  });
});

/**
 * With a terminal: it is the command's, with its keys and its job control, as without a broker.
 */
'use strict';

const assert = require('node:assert/strict');
const { constants } = require('node:os');
const { describe, it } = require('node:test');
const {
  BIN,
  hasEnded,
  leftovers,
  processState,
  runCli,
  scratch,
  until,
  untilEnded,
  victim,
  victimReady,
} = require('../helpers/cli.js');
const { KEYS, Terminal } = require('../helpers/pty.js');

const { signals } = constants;
const START = [process.execPath, BIN, 'start'];
const skip = process.platform === 'win32';

async function onTerminal(t, behaviour = [], flags = []) {
  const folder = scratch(t);
  const terminal = new Terminal([...START, ...flags, '--', ...victim(...behaviour)], {
    env: { TMPDIR: folder },
  });
  const ready = await victimReady(terminal);
  t.after(() => {
    for (const pid of [ready.pid, ready.broker]) if (!hasEnded(pid)) process.kill(pid, 'SIGKILL');
  });
  return { terminal, ready, folder };
}

async function assertEnding({ terminal, ready, folder }, expected) {
  assert.deepEqual(await terminal.ending(), expected);
  assert.ok(hasEnded(ready.pid));
  await untilEnded(ready.broker);
  assert.deepEqual(leftovers(folder), []);
}

const count = (terminal, name) => terminal.stdout.match(new RegExp(`signal ${name}`, 'g'))?.length;

describe('on a terminal', { skip }, () => {
  it('the command has the terminal on all three streams, and is its leader', async (t) => {
    const { terminal, ready } = await onTerminal(t, ['heed=SIGINT:0']);
    assert.deepEqual(ready.isTTY, [true, true, true]);
    assert.equal(ready.group, ready.pid);
    assert.equal(ready.ppid, terminal.pid);
    terminal.type(KEYS.CTRL_C);
    assert.deepEqual(await terminal.ending(), { exit: 0 });
  });

  it('the command can read what is typed', async (t) => {
    const script = `process.stdin.once('data', (line) => { console.log('got ' + line); process.exit(4) }); console.log('asks')`;
    const terminal = new Terminal([...START, '--', process.execPath, '-e', script], {
      env: { TMPDIR: scratch(t) },
    });
    await terminal.sees(/asks/);
    terminal.type(`hello${KEYS.ENTER}`);
    await terminal.sees(/got hello/);
    assert.deepEqual(await terminal.ending(), { exit: 4 });
  });

  it('Ctrl-C ends a command that does not handle it by INT', async (t) => {
    const run = await onTerminal(t);
    run.terminal.type(KEYS.CTRL_C);
    await assertEnding(run, { signal: signals.SIGINT });
  });

  it('Ctrl-C reaches the command once', async (t) => {
    const run = await onTerminal(t, ['ignore=SIGINT', 'heed=SIGUSR1:9']);
    run.terminal.type(KEYS.CTRL_C);
    await run.terminal.sees(/signal SIGINT/);
    // A copy would have come before this.
    process.kill(run.ready.pid, 'SIGUSR1');
    await assertEnding(run, { exit: 9 });
    assert.equal(count(run.terminal, 'SIGINT'), 1);
  });

  it('Ctrl-C is for the command, however often: a REPL lives', async (t) => {
    const run = await onTerminal(t, ['ignore=SIGINT', 'heed=SIGUSR1:0'], ['--grace', '0']);
    for (let times = 1; times <= 5; times++) {
      run.terminal.type(KEYS.CTRL_C);
      await until(() => count(run.terminal, 'SIGINT') === times, `Ctrl-C number ${times}`);
    }
    process.kill(run.ready.pid, 'SIGUSR1');
    await assertEnding(run, { exit: 0 });
  });

  it('Ctrl-\\ reaches the command once', async (t) => {
    const run = await onTerminal(t, ['ignore=SIGQUIT', 'heed=SIGUSR1:9']);
    run.terminal.type(KEYS.QUIT);
    await run.terminal.sees(/signal SIGQUIT/);
    process.kill(run.ready.pid, 'SIGUSR1');
    await assertEnding(run, { exit: 9 });
    assert.equal(count(run.terminal, 'SIGQUIT'), 1);
  });

  for (const name of ['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2']) {
    it(`${name} that is sent and not typed reaches the command, once`, async (t) => {
      const run = await onTerminal(t, [`heed=${name}:6`]);
      process.kill(run.ready.pid, name);
      await assertEnding(run, { exit: 6 });
      assert.equal(count(run.terminal, name), 1);
    });
  }

  it('KILL of the command is its end, and that of the broker', async (t) => {
    const run = await onTerminal(t);
    process.kill(run.ready.pid, 'SIGKILL');
    await assertEnding(run, { signal: signals.SIGKILL });
  });

  it('closing the terminal ends all', async (t) => {
    const { terminal, ready, folder } = await onTerminal(t);
    terminal.child.kill('SIGKILL');
    await untilEnded(ready.pid);
    await untilEnded(ready.broker);
    assert.deepEqual(leftovers(folder), []);
  });

  it('Ctrl-Z stops the command and not the broker, fg lets it go on', async (t) => {
    const folder = scratch(t);
    const shell = new Terminal(['bash', '--norc', '--noprofile', '-i'], {
      env: { TMPDIR: folder, PS1: '$ ', HISTFILE: undefined },
    });
    t.after(() => shell.child.kill('SIGKILL'));
    const command = [...START, '--', ...victim('heed=SIGINT:0')].map((word) => `'${word}'`);
    shell.type(`${command.join(' ')}${KEYS.ENTER}`);
    const { pid, broker } = await victimReady(shell);
    shell.type(KEYS.CTRL_Z);
    await until(() => processState(pid) === 'T', 'the command should stop');
    await shell.sees(/Stopped/);
    assert.notEqual(processState(broker), 'T');
    shell.type(`fg${KEYS.ENTER}`);
    await until(() => processState(pid) !== 'T', 'the command should go on');
    shell.type(KEYS.CTRL_C);
    await shell.sees(/signal SIGINT/);
    await untilEnded(broker);
    assert.deepEqual(leftovers(folder), []);
    shell.type(`exit 0${KEYS.ENTER}`);
    await shell.closed;
  });

  it('a broker of a shell survives a Ctrl-C at the prompt, and ends by TERM', async (t) => {
    const folder = scratch(t);
    const shell = new Terminal(['bash', '--norc', '--noprofile', '-i'], {
      env: { TMPDIR: folder, PS1: '$ ', HISTFILE: undefined },
    });
    t.after(() => shell.child.kill('SIGKILL'));
    const epb = [process.execPath, BIN].map((word) => `'${word}'`).join(' ');
    shell.type(`PS1='next''> '${KEYS.ENTER}`);
    await shell.sees(/next> /);
    shell.type(
      `eval "$(${epb} start --print-env &)"; echo "pid=$EPHEMERAL_BROKER_PID"${KEYS.ENTER}`,
    );
    const pid = Number((await shell.sees(/pid=(\d+)[^]*next> /))[1]);
    shell.type(KEYS.CTRL_C);
    await shell.sees(/pid=\d+[^]*next> [^]*\^C[^]*next> /);
    shell.type(`${epb} ping; echo "done=$?"${KEYS.ENTER}`);
    const [, status] = await shell.sees(/done=(\d+)/);
    assert.equal(status, '0', shell.stdout);
    shell.type(`kill $EPHEMERAL_BROKER_PID; exit 0${KEYS.ENTER}`);
    await untilEnded(pid);
    assert.deepEqual(leftovers(folder), []);
    await shell.closed;
  });

  it('a client command on a terminal prints like anywhere else', async (t) => {
    const { stdout } = await runCli(['--version']);
    const terminal = new Terminal([process.execPath, BIN, '--version']);
    assert.deepEqual(await terminal.ending(), { exit: 0 });
    assert.equal(terminal.stdout, stdout);
    assert.ok(t);
  });
});

/**
 * The native program's `start` and `lock`: the process that was started is the command, in every respect.
 * Each test compares with the command without the wrapper, or says what is the same.
 */
'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { describe, it } = require('node:test');
const {
  BIN,
  ROOT,
  cleanEnv,
  launch,
  leftovers,
  processState,
  scratch,
  until,
  untilEnded,
  victim,
  victimReady,
} = require('../helpers/cli.js');
const { Terminal } = require('../helpers/pty.js');

const EPB = path.join(ROOT, 'build', 'Release', 'epb');
const SHIM = [process.execPath, BIN];
const onPosix = { skip: process.platform === 'win32' };
const onLinux = { skip: process.platform !== 'linux' };

/** The ways to run a command with a broker, or a lock, next to it. */
const WAYS = {
  start: (command) => [EPB, 'start', '--', ...command],
  'bin start': (command) => [...SHIM, 'start', '--', ...command],
  lock: (command) => [EPB, 'start', '--', EPB, 'lock', 'L', '--', ...command],
};

function run(t, [file, ...args], { env, ...options } = {}) {
  const folder = scratch(t);
  const running = launch(file, args, { env: { TMPDIR: folder, ...env }, ...options });
  return { running, folder };
}

/** The broker ends just after the command: nothing of it is left then. */
const isClean = (folder) => until(() => leftovers(folder).length === 0, `nothing in ${folder}`);

const bash = (script, env = {}) =>
  spawnSync('bash', ['-c', script], { env: cleanEnv(env), encoding: 'latin1' });

for (const [name, wrap] of Object.entries(WAYS)) {
  describe(`${name}: the command`, onPosix, () => {
    it('is the process that was started', async (t) => {
      const { running, folder } = run(t, wrap(['sh', '-c', 'echo $$ $PPID']));
      const { stdout, code } = await running.result();
      assert.equal(stdout, `${running.pid} ${process.pid}\n`);
      assert.equal(code, 0);
      await isClean(folder);
    });

    for (const signal of ['SIGKILL', 'SIGSEGV', 'SIGQUIT', 'SIGTERM']) {
      it(`dies by ${signal}`, async (t) => {
        const { running, folder } = run(t, wrap(['sh', '-c', `kill -${signal.slice(3)} $$`]));
        assert.equal((await running.exited).signal, signal);
        await isClean(folder);
      });
    }

    it(
      'gets each signal once, also those that a supervisor does not pass on',
      onLinux,
      async (t) => {
        const { running } = run(
          t,
          wrap(victim('ignore=SIGWINCH,SIGALRM,SIGUSR2', 'heed=SIGTERM:5')),
        );
        await victimReady(running);
        for (const signal of ['SIGWINCH', 'SIGALRM', 'SIGUSR2']) {
          running.child.kill(signal);
          await running.sees(new RegExp(`signal ${signal}`));
        }
        running.child.kill('SIGTERM');
        assert.equal((await running.closed).code, 5);
        assert.equal(running.stdout.match(/^signal/gm).length, 4);
      },
    );

    it('has no child of ours, and leaves no zombie', onLinux, async (t) => {
      const script = 'cat /proc/$$/task/$$/children';
      const { stdout } = await run(t, wrap(['sh', '-c', script])).running.result();
      // The only child is cat itself.
      assert.equal(stdout.trim().split(' ').length, 1, stdout);
    });

    it('has the descriptors that it was given, and no others', onLinux, (t) => {
      const list = 'sh -c \'ls /proc/self/fd | tr "\\n" " "; cat <&9\'';
      const given = `3</dev/null 9<<<nine 12</dev/null 16</dev/null 20</dev/null`;
      const words = wrap(['sh', '-c', 'ls /proc/self/fd | tr "\\n" " "; cat <&9']);
      const quoted = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
      const env = { TMPDIR: scratch(t) };
      assert.equal(bash(`${quoted} ${given}`, env).stdout, bash(`${list} ${given}`, env).stdout);
    });

    it('has the limits, the mask and the bytes that it was given', onLinux, (t) => {
      const script = `ulimit -n; ulimit -c; umask; grep -E 'Sig(Blk|Ign)' /proc/self/status; printf '[%s]' "$X" "$@"`;
      const plain = ['sh', '-c', script, '0', 'caf\\xe9', ''];
      const line = (words) =>
        `ulimit -n 200; umask 027; export X=$'\\xff\\xfe'; exec ${words
          .map((word) => `$'${word.replaceAll("'", "\\'").replaceAll('\n', '\\n')}'`)
          .join(' ')}`;
      const env = { TMPDIR: scratch(t) };
      const expected = bash(line(plain), env);
      assert.match(expected.stdout, /200\n.*\[caf\xe9\]\[\]$/s);
      assert.deepEqual(bash(line(wrap(plain)), env).stdout, expected.stdout);
    });

    it(
      'leaves a killed process group nothing that runs or holds its output',
      onLinux,
      async (t) => {
        const { running, folder } = run(t, wrap(victim('ignore=SIGTERM')), { detached: true });
        await victimReady(running);
        process.kill(-running.pid, 'SIGKILL');
        assert.equal((await running.closed).signal, 'SIGKILL');
        await isClean(folder);
      },
    );

    it('has the terminal, and its job control', onLinux, async (t) => {
      const script = 'read x </dev/tty; echo got $x $(ps -o pgid= -o tpgid= -p $$)';
      const terminal = new Terminal(wrap(['sh', '-c', script]), { env: { TMPDIR: scratch(t) } });
      terminal.type('line\r');
      const [, group, foreground] = await terminal.sees(/got line +(\d+) +(\d+)/);
      assert.equal(group, foreground);
      assert.deepEqual(await terminal.ending(), { exit: 0 });
    });

    it('is stopped and continued', onLinux, async (t) => {
      const { running } = run(t, wrap(victim('heed=SIGTERM:0')));
      await victimReady(running);
      running.child.kill('SIGSTOP');
      await until(() => processState(running.pid) === 'T', 'it should stop');
      running.child.kill('SIGCONT');
      running.child.kill('SIGTERM');
      assert.equal((await running.exited).code, 0);
    });
  });
}

describe('start: failures', onPosix, () => {
  const folderOf = (t, files) => {
    const folder = scratch(t);
    for (const [name, text] of Object.entries(files)) {
      fs.writeFileSync(path.join(folder, name), text, { mode: 0o755 });
    }
    return folder;
  };
  const start = (t, word, env) => run(t, [EPB, 'start', '--', word], { env }).running.result();
  const elf = Buffer.from(fs.readFileSync(process.execPath).subarray(0, 4096));
  elf[18] = 0xb7; // AArch64, or x86-64 there
  if (process.arch === 'arm64') elf[18] = 0x3e;

  for (const [name, text, status, expected] of [
    [
      'interpreter',
      '#!/usr/bin/no-such-thing\n',
      126,
      /interpreter "\/usr\/bin\/no-such-thing" does not exist/,
    ],
    ['windows', '#!/bin/sh\r\necho in\r\n', 126, /carriage return/],
    ['foreign', elf, 126, /another kind of processor/],
  ]) {
    it(`explains: ${name}`, async (t) => {
      const { code, stdout, stderr } = await start(
        t,
        path.join(folderOf(t, { [name]: text }), name),
      );
      assert.match(stderr, expected);
      assert.deepEqual(
        { code, stdout, lines: stderr.split('\n').length },
        { code: status, stdout: '', lines: 2 },
      );
    });
  }

  it('runs a script without a #! line as execvp does', async (t) => {
    const { stdout } = await start(
      t,
      path.join(folderOf(t, { script: 'echo ran $0\n' }), 'script'),
    );
    assert.match(stdout, /^ran .*script\n$/);
  });

  it('finds the command before anything is made for it', async (t) => {
    const { running, folder } = run(t, [EPB, 'start', '--', 'FOO=1', 'true']);
    const { code, stderr } = await running.result();
    assert.equal(code, 127);
    assert.match(stderr, /-- env NAME=value command/);
    assert.deepEqual(leftovers(folder), []);
  });
});

describe('start: the broker', onLinux, () => {
  it('is beside the command: its session, its streams, its folder', async (t) => {
    const script = `
      b=$EPHEMERAL_BROKER_PID
      readlink /proc/$b/fd/0 /proc/$b/fd/1 /proc/$b/cwd
      ps -o sid= -p $b; ps -o sid= -p $$`;
    const { stdout } = await run(t, [EPB, 'start', '--', 'sh', '-c', script]).running.result();
    const [stdin, output, cwd, session, own] = stdout.trim().split(/\s+/);
    assert.deepEqual([stdin, output, cwd], ['/dev/null', '/dev/null', '/']);
    assert.notEqual(session, own);
  });

  it('serves a command that cleans up after TERM to all', async (t) => {
    const script = `
      trap '"$EPB" get key; exit 3' TERM
      "$EPB" set key kept --ttl 1m > /dev/null
      kill -TERM $EPHEMERAL_BROKER_PID
      echo ready
      while :; do sleep 0.05; done`;
    const { running } = run(t, [EPB, 'start', '--', 'sh', '-c', script], { env: { EPB } });
    await running.sees(/ready/);
    running.child.kill('SIGTERM');
    const { code, stdout } = await running.result();
    assert.deepEqual({ code, stdout }, { code: 3, stdout: 'ready\nkept\n' });
  });

  it('may die: the command goes on', async (t) => {
    const script = 'kill -KILL $EPHEMERAL_BROKER_PID; "$EPB" ping 2> /dev/null; echo on $?';
    const { stdout, code } = await run(t, [EPB, 'start', '--', 'sh', '-c', script], {
      env: { EPB, CLIENT_TIMEOUT: '1s' },
    }).running.result();
    assert.deepEqual({ stdout, code }, { stdout: 'on 3\n', code: 0 });
  });

  it('ends the command when the package manager above dies', async (t) => {
    const npx = path.join(scratch(t), 'npx-cli.js');
    fs.writeFileSync(
      npx,
      `require('child_process').spawn(process.argv[2], process.argv.slice(3), { stdio: 'inherit' })`,
    );
    const { running } = run(t, [
      process.execPath,
      npx,
      EPB,
      'start',
      '--grace',
      '100ms',
      '--',
      ...victim('ignore=SIGTERM'),
    ]);
    const { pid } = await victimReady(running);
    running.child.kill('SIGKILL');
    await running.sees(/signal SIGTERM/);
    await untilEnded(pid);
  });

  it('has a random secret where a secret of CI is empty, and says so', async (t) => {
    const { stdout, stderr } = await run(
      t,
      [EPB, 'start', '--', 'sh', '-c', 'echo ${#EPHEMERAL_SECRET}'],
      {
        env: { EPHEMERAL_SECRET: '' },
      },
    ).running.result();
    assert.equal(stdout, '64\n');
    assert.match(
      stderr,
      /^ephemeral-pipe-broker: EPHEMERAL_SECRET is empty: this run has a random secret\n$/,
    );
  });

  it('keeps a secret of --auth out of its arguments', async (t) => {
    const secret = 'not-for-others-to-read';
    const script = 'tr "\\0" " " < /proc/$EPHEMERAL_BROKER_PID/cmdline';
    const { stdout } = await run(t, [
      EPB,
      'start',
      '--auth',
      secret,
      '--',
      'sh',
      '-c',
      script,
    ]).running.result();
    assert.match(stdout, /--auth \*+ /);
    assert.ok(!stdout.includes(secret));
  });
});

describe('lease ... -- command', onPosix, () => {
  const inBroker = (t, script) =>
    run(t, [EPB, 'start', '--', 'sh', '-c', script], { env: { EPB } }).running.result();

  it('has elements and their fields in its environment, and gives them back', async (t) => {
    const { stdout, stderr } = await inBroker(
      t,
      `"$EPB" pool a --json '{"user":"u1","pass":"p 1"}' > /dev/null
       "$EPB" lease a --env USER=.user --env PASS=.pass --env ALL -- sh -c 'echo "$USER,$PASS,$ALL"'
       "$EPB" lease a --wait 9s -- sh -c 'echo "$EPB_VALUE"'
       "$EPB" lease a n --wait 9s --env A --env N -- sh -c 'echo "$A $N"'
       "$EPB" lease a --wait 9s -- sh -c '"$EPB" lease a -- echo no'; echo $?`,
    );
    const all = '{"user":"u1","pass":"p 1"}';
    assert.equal(stdout, `u1,p 1,${all}\n${all}\n${all} 0\n1\n`);
    assert.match(stderr, /lease "a":/);
  });

  it('refuses what does not fit, before it runs', async (t) => {
    const { stdout, stderr } = await inBroker(
      t,
      `"$EPB" lease n --env N=.x -- echo ran; "$EPB" lease a b --env A -- echo ran; "$EPB" lease n --env 1=2 -- echo ran`,
    );
    assert.equal(stdout, '');
    assert.match(stderr, /no such member\n.*once for each.*\n.*takes NAME or NAME=\.field/);
  });
});

describe('lock', onLinux, () => {
  it('that is lost ends the command: TERM, then KILL after the grace period', async (t) => {
    const script = `
      trap 'echo got TERM' TERM
      "$EPB" release L --force
      while :; do sleep 0.05; done`;
    const { running } = run(
      t,
      [EPB, 'start', '--', EPB, 'lock', 'L', '--grace', '100ms', '--', 'sh', '-c', script],
      { env: { EPB } },
    );
    assert.equal((await running.closed).signal, 'SIGKILL');
    assert.match(running.stdout, /^true\ngot TERM\n/);
    assert.match(running.stderr, /lock "L": lost \(lease_lost\), so the command is ended/);
  });

  it('is free when the command is killed', async (t) => {
    const script = `
      "$EPB" lock L -- sh -c 'kill -KILL $$'
      "$EPB" lock L --wait 9s -- echo mine`;
    const { stdout } = await run(t, [EPB, 'start', '--', 'sh', '-c', script], {
      env: { EPB },
    }).running.result();
    assert.equal(stdout, 'mine\n');
  });
});

describe('start --detach and stop', onLinux, () => {
  const shell = (t, script, env = {}) => {
    const folder = scratch(t);
    const running = launch('sh', ['-c', script], { env: { TMPDIR: folder, EPB, ...env } });
    return running.result().then((result) => ({ ...result, folder }));
  };

  it('serves the commands of a script, holds none of its streams, and ends by stop', async (t) => {
    const { stdout, stderr, code, folder } = await shell(
      t,
      `eval "$("$EPB" start --detach)"
       "$EPB" set key kept --ttl 1m > /dev/null; "$EPB" get key
       readlink /proc/$EPHEMERAL_BROKER_PID/fd/1 /proc/$EPHEMERAL_BROKER_PID/fd/2
       "$EPB" stop && "$EPB" ping 2> /dev/null; echo $?`,
    );
    assert.deepEqual(
      { stdout, stderr, code },
      { stdout: 'kept\n/dev/null\n/dev/null\n3\n', stderr: '', code: 0 },
    );
    assert.deepEqual(leftovers(folder), []);
  });

  it('writes the variables for GitHub, with the secret masked first, and for .env files', async (t) => {
    const { stdout, stderr } = await shell(
      t,
      `export GITHUB_ENV="$TMPDIR/env"
       "$EPB" start --detach --env github
       (set -a; . "$GITHUB_ENV"; echo "$EPHEMERAL_SECRET"; "$EPB" stop)
       export SECRET='a "secret" with $signs and \\'
       "$EPB" start --detach --env dotenv --secret-env SECRET > "$TMPDIR/.env"
       (set -a; . "$TMPDIR/.env"; printf '%s\\n' "$EPHEMERAL_SECRET"; "$EPB" stop)`,
    );
    const [mask, secret, own] = stdout.split('\n');
    assert.equal(mask, `::add-mask::${secret}`);
    assert.match(secret, /^[0-9a-f]{64}$/);
    assert.equal(own, 'a "secret" with $signs and \\');
    assert.equal(stderr, '');
  });

  it('ends when it has been idle', async (t) => {
    const { stdout, folder } = await shell(
      t,
      `eval "$("$EPB" start --detach --idle-timeout 50ms)"; echo $EPHEMERAL_BROKER_PID`,
    );
    await untilEnded(Number(stdout));
    assert.deepEqual(leftovers(folder), []);
  });

  it('stop does not end the broker of a command, nor one whose secret is another', async (t) => {
    const { stdout, stderr } = await shell(
      t,
      `"$EPB" start --grace 1h -- sh -c '
         EPHEMERAL_SECRET=another-secret-of-others "$EPB" stop; echo $?; "$EPB" ping > /dev/null; echo $?'`,
    );
    assert.equal(stdout, '3\n0\n');
    assert.match(stderr, /^ephemeral-pipe-broker: stop: .*secret/);
  });

  it('refuses what makes no sense', async (t) => {
    const { stderr } = await shell(
      t,
      `"$EPB" start --detach -- true; "$EPB" start --env sh -- true; "$EPB" start --detach --env github`,
      { GITHUB_ENV: undefined },
    );
    assert.match(stderr, /without a command\n.*with --detach\n.*GITHUB_ENV is not set\n$/);
  });
});

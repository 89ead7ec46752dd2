/**
 * Where `start` runs: as the first process of a container, with a TMPDIR that holds no socket, as one user among
 * others, before a set-uid program, with closed or full streams, below small limits. The command ends as it does
 * without `start`.
 */
'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { before, describe, it } = require('node:test');
const { PROGRAM, launch, leftovers, scratch, until, untilEnded } = require('../helpers/cli.js');

const USER = 12_345;
const OTHER = 23_456;
const isRoot = process.getuid?.() === 0;
const onLinux = { skip: process.platform !== 'linux' };
const asRoot = { skip: process.platform !== 'linux' || !isRoot };

/** A copy of the program that every user may run. */
let EPB;

before(() => {
  const folder = fs.mkdtempSync(path.join(require('node:os').tmpdir(), 'epb-test-'));
  EPB = path.join(folder, 'epb');
  fs.copyFileSync(PROGRAM, EPB);
  fs.chmodSync(folder, 0o755);
  fs.chmodSync(EPB, 0o755);
  process.on('exit', () => fs.rmSync(folder, { recursive: true }));
});

/** A folder that the user may use. */
function folderOf(t, uid = USER) {
  const folder = scratch(t);
  if (isRoot) fs.chownSync(folder, uid, uid);
  return folder;
}

const isClean = (folder) => until(() => leftovers(folder).length === 0, `nothing in ${folder}`);

/** The program is $EPB for the script. */
function shell(t, script, { env, ...options } = {}) {
  const folder = options.uid === undefined ? scratch(t) : folderOf(t, options.uid);
  const running = launch('bash', ['-c', script], {
    env: { EPB, TMPDIR: folder, HOME: folder, ...env },
    ...options,
  });
  return Object.assign(running, { folder });
}

const outcome = async (t, script, options) => {
  const { code, signal, stdout, stderr } = await shell(t, script, options).result();
  return { code, signal, stdout, stderr };
};

/** Stores and reads a value. */
const USE = '"$EPB" set a 1 --ttl 1m && "$EPB" get a';

/** Whether this system lets us make such namespaces. */
const canUnshare = (...flags) => spawnSync('unshare', [...flags, 'true']).status === 0;

describe('start as PID 1', asRoot, () => {
  const CONTAINER = 'unshare --pid --fork --mount-proc';

  before((t) => canUnshare('--pid', '--fork', '--mount-proc') || t.skip('no namespaces here'));

  it('is the command', async (t) => {
    const { stdout } = await outcome(t, `${CONTAINER} "$EPB" start -- sh -c 'echo $$; ${USE}'`);
    assert.equal(stdout, '1\n1\n');
  });

  for (const signal of ['TERM', 'INT', 'HUP', 'KILL', 'SEGV']) {
    it(`ends as without when the command sends itself ${signal}`, async (t) => {
      const command = `sh -c 'kill -${signal} $$; exit 5'`;
      const expected = await outcome(t, `${CONTAINER} ${command}`);
      assert.deepEqual(await outcome(t, `${CONTAINER} "$EPB" start -- ${command}`), expected);
    });
  }

  it('gets the TERM of docker stop', async (t) => {
    const command = `sh -c 'trap "echo got TERM; exit 7" TERM; echo ready; while :; do sleep 0.05; done'`;
    const running = shell(t, `exec ${CONTAINER} "$EPB" start -- ${command}`);
    await running.sees(/ready/);
    const children = fs.readFileSync(`/proc/${running.pid}/task/${running.pid}/children`, 'latin1');
    process.kill(Number(children), 'SIGTERM');
    const { code, stdout } = await running.result();
    assert.deepEqual({ code, stdout }, { code: 7, stdout: 'ready\ngot TERM\n' });
  });
});

describe('start where a socket can be made', onLinux, () => {
  it('takes /tmp when TMPDIR is another user’s', asRoot, async (t) => {
    const { stdout } = await outcome(t, `"$EPB" start -- sh -c '${USE}; echo $EPHEMERAL_PIPE'`, {
      uid: USER,
      env: { TMPDIR: scratch(t) },
    });
    assert.match(stdout, /^1\n\/tmp\/broker-/);
  });

  it('takes a TMPDIR with any bytes in its name', async (t) => {
    const { stdout, stderr } = await outcome(
      t,
      `for name in $'caf\\xe9' $'a b\\'c"d\\ne é'; do
         mkdir "$TMPDIR/$name"
         TMPDIR="$TMPDIR/$name" "$EPB" start -- bash -c '${USE}; [ "\${EPHEMERAL_PIPE%/*}" = "$TMPDIR" ] && echo there'
       done`,
    );
    assert.deepEqual({ stdout, stderr }, { stdout: '1\nthere\n1\nthere\n', stderr: '' });
  });

  /** In a read-only container without /dev, /proc and a /tmp that can be written to. */
  const readOnly = (variable) => `
    mkdir "$TMPDIR/root" "$TMPDIR/run"
    exec unshare -m sh -c '
      mount --bind / "$TMPDIR/root" && mount -o remount,ro,bind "$TMPDIR/root" || exit 77
      mount -t tmpfs tmpfs "$TMPDIR/root/mnt" && mkdir "$TMPDIR/root/mnt/run" && cp "$EPB" "$TMPDIR/root/mnt/epb" || exit 77
      root="$TMPDIR/root"; unset TMPDIR; export EPB=/mnt/epb ${variable}
      exec chroot "$root" /mnt/epb start -- sh -c "\\"\\$EPB\\" set a 1 --ttl 1m; dirname \\"\\$EPHEMERAL_PIPE\\""'`;

  it('says what is missing in a read-only container', asRoot, async (t) => {
    if (!canUnshare('-m')) return t.skip('no namespaces here');
    const { code, stderr } = await outcome(t, readOnly(''));
    if (code === 77) return t.skip('no mounts here');
    assert.equal(code, 125);
    assert.match(stderr, /^ephemeral-pipe-broker: The broker can't listen: .*XDG_RUNTIME_DIR.*\n$/);
  });

  it('takes XDG_RUNTIME_DIR in a read-only container', asRoot, async (t) => {
    if (!canUnshare('-m')) return t.skip('no namespaces here');
    const result = await outcome(t, readOnly('XDG_RUNTIME_DIR=/mnt/run'));
    if (result.code === 77) return t.skip('no mounts here');
    assert.deepEqual(result, { code: 0, signal: null, stdout: '/mnt/run\n', stderr: '' });
  });
});

describe('the users of a broker', asRoot, () => {
  for (const [name, uid] of [
    ['an ordinary user', USER],
    ['a user without a name', 1_000_650_000],
  ]) {
    it(`serves ${name}`, async (t) => {
      const result = await outcome(t, `exec "$EPB" start -- sh -c '${USE}'`, { uid });
      assert.deepEqual(result, { code: 0, signal: null, stdout: '1\n', stderr: '' });
    });
  }

  /** A user's broker, with the environment to reach it. */
  async function brokerOf(t, uid) {
    const running = shell(t, `exec "$EPB" start`, { uid });
    t.after(() => running.child.kill());
    await running.sees(/PIPE=.*\n.*SECRET=.*\n/);
    fs.chmodSync(running.folder, 0o755);
    const variables = [...running.stdout.matchAll(/^export (\w+)='(.*)'$/gm)];
    const env = Object.fromEntries(variables.map(([, name, value]) => [name, value]));
    return { running, env };
  }

  it('serves root, who knows the secret', async (t) => {
    const { env } = await brokerOf(t, USER);
    const { stdout, stderr } = await outcome(t, USE, { env });
    assert.deepEqual({ stdout, stderr }, { stdout: '1\n', stderr: '' });
    const lease = `"$EPB" lease n -- sh -c 'echo $EPB_VALUE'`;
    assert.equal((await outcome(t, lease, { env })).stdout, '0\n');
  });

  it('is refused by root without the secret, and by root with a wrong one', async (t) => {
    const { env } = await brokerOf(t, USER);
    const without = await outcome(t, USE, { env: { ...env, EPHEMERAL_SECRET: undefined } });
    assert.equal(without.code, 3);
    assert.match(without.stderr, /belongs to another user/);
    const wrong = await outcome(t, USE, { env: { ...env, EPHEMERAL_SECRET: 'another secret' } });
    assert.notEqual(wrong.code, 0);
    assert.match(wrong.stderr, /secret/);
  });

  it('is refused to another user', async (t) => {
    const { env } = await brokerOf(t, USER);
    const { code, stderr } = await outcome(t, USE, { env, uid: OTHER });
    assert.equal(code, 3);
    assert.match(stderr, /this user may not use it/);
  });

  it('serves its user in a user namespace', async (t) => {
    if (!canUnshare('-U', '-r')) return t.skip('no user namespaces here');
    const { env } = await brokerOf(t, USER);
    const { stdout } = await outcome(t, `unshare -U -r sh -c '${USE}'`, { env, uid: USER });
    assert.equal(stdout, '1\n');
  });
});

describe('a command with other rights', asRoot, () => {
  const SOURCE = `
    #include <unistd.h>
    int main(int argc, char **argv) {
      return argc < 2 || setgid(0) || setuid(0) || execvp(argv[1], argv + 1) ? 1 : 0;
    }`;

  /** As sudo does: becomes root, then the command. */
  function likeSudo(t) {
    const folder = scratch(t);
    const file = path.join(folder, 'like-sudo');
    fs.chmodSync(folder, 0o755);
    const { status } = spawnSync('cc', ['-x', 'c', '-o', file, '-'], { input: SOURCE });
    assert.equal(status, 0, 'a C compiler is needed');
    fs.chmodSync(file, 0o4755);
    return file;
  }

  for (const signal of ['SIGTERM', 'SIGKILL']) {
    it(`ends by ${signal}, and the broker with it`, async (t) => {
      const env = { SUDO: likeSudo(t) };
      const script = `echo "$(id -u) $EPHEMERAL_BROKER_PID"; ${USE}; read line`;
      const running = shell(t, `exec "$EPB" start -- "$SUDO" bash -c '${script}'`, {
        uid: USER,
        env,
        input: null,
      });
      const [, uid, broker] = await running.sees(/^(\d+) (\d+)\n1\n/);
      if (uid !== '0') return t.skip('no set-uid programs here');
      running.child.kill(signal);
      assert.equal((await running.exited).signal, signal);
      await untilEnded(Number(broker));
      await isClean(running.folder);
    });
  }
});

describe('commands that can not be started', onLinux, () => {
  it('says so of an empty word, as a shell does', async (t) => {
    const { code, stdout, stderr } = await outcome(t, `"$EPB" start -- ''`);
    assert.deepEqual({ code, stdout }, { code: 127, stdout: '' });
    assert.match(stderr, /^ephemeral-pipe-broker: "": command not found/);
  });

  it('says what npm exec has taken', async (t) => {
    const wrong = `"$EPB" start echo hi`;
    const { code, stderr } = await outcome(t, wrong, { env: { npm_command: 'exec' } });
    assert.equal(code, 125);
    assert.match(stderr, /npm exec takes the first --, so write: npm exec -- /);
    const plain = await outcome(t, wrong);
    assert.doesNotMatch(plain.stderr, /npm/);
  });

  it('looks in the rest of PATH behind a folder that it may not read', asRoot, async (t) => {
    const closed = scratch(t);
    const find = (words) => outcome(t, `PATH="${closed}:$PATH"; ${words}`, { uid: USER });
    assert.equal((await find('"$EPB" start -- echo found')).stdout, 'found\n');
    assert.equal((await find('"$EPB" start -- no-such-command')).code, 127);
  });

  it('names the loader that a program of another C library needs', async (t) => {
    const loader = /ld-linux-x86-64\.so\.2|ld-linux-aarch64\.so\.1/;
    const bytes = fs.readFileSync('/bin/true').toString('latin1');
    if (!loader.test(bytes)) return t.skip('the programs here are static');
    const file = path.join(scratch(t), 'foreign');
    fs.writeFileSync(file, Buffer.from(bytes.replace(/ld-linux-/, 'ld-nolnx-'), 'latin1'), {
      mode: 0o755,
    });
    const { code, stderr } = await outcome(t, `"$EPB" start -- ${file}`);
    assert.equal(code, 126);
    assert.match(stderr, /its loader does not exist here/);
  });
});

describe('standard streams', onLinux, () => {
  /** Runs the lines below `start`, with a small value at k and a large one at big. */
  const inside = (t, lines) =>
    outcome(
      t,
      `exec "$EPB" start -- bash -c '
         "$EPB" set k v --ttl 1m
         head -c 200000 /dev/zero | tr "\\0" x | "$EPB" set big - --ttl 1m
         ${lines}'`,
    );

  for (const [name, lines, stdout, stderr] of [
    ['a full output', '"$EPB" get k > /dev/full; echo $?', '1\n', /output can't be written\n$/],
    [
      'a full output of a list',
      '"$EPB" list --json > /dev/full; echo $?',
      '1\n',
      /can't be written\n$/,
    ],
    ['a closed output', '"$EPB" get k >&-; echo $?', '141\n', /^$/],
    [
      'a reader that goes',
      '"$EPB" get big | head -c 3; echo " ${PIPESTATUS[0]}"',
      'xxx 141\n',
      /^$/,
    ],
    ['a closed error output', '"$EPB" get nobody 2>&-; echo $?', '1\n', /^$/],
    [
      'a closed input',
      '"$EPB" set a - --ttl 1m <&-; echo $?; "$EPB" has a',
      '2\nfalse\n',
      /stdin can't be read/,
    ],
    ['a directory as input', '"$EPB" set a - --ttl 1m </; echo $?', '2\n', /stdin can't be read/],
    [
      'all of them closed',
      '"$EPB" set a 1 --ttl 1m <&- >&- 2>&-; echo $?; "$EPB" get a',
      '0\n1\n',
      /^$/,
    ],
  ]) {
    it(name, async (t) => {
      const result = await inside(t, lines);
      assert.equal(result.stdout, stdout);
      assert.match(result.stderr, stderr);
    });
  }

  it('closed ones stay closed for the command', async (t) => {
    const list = `sh -c 'ls /proc/self/fd > "$TMPDIR/seen"' <&- >&- 2>&-; cat "$TMPDIR/seen"; rm "$TMPDIR/seen"`;
    const expected = await outcome(t, list);
    assert.deepEqual(await outcome(t, `"$EPB" start -- ${list}`), expected);
  });

  it('a broker serves on when its log has no reader', async (t) => {
    // The reader ends with the first line; the command begins after it.
    const script = `
      mkfifo "$TMPDIR/log" "$TMPDIR/gone"
      { read line < "$TMPDIR/log"; echo > "$TMPDIR/gone"; } &
      exec "$EPB" start --debug -- bash -c 'exec 2>&1; read line < "$TMPDIR/gone"; ${USE}; exit 3' 2> "$TMPDIR/log"`;
    const { code, stdout } = await outcome(t, script);
    assert.deepEqual({ code, stdout }, { code: 3, stdout: '1\n' });
  });

  it('SIGPIPE ends the command', async (t) => {
    const { stdout } = await outcome(
      t,
      `"$EPB" start -- yes | head -n 1; echo "\${PIPESTATUS[0]}"`,
    );
    assert.equal(stdout, 'y\n141\n');
  });

  it('start fails when the lines that a shell waits for are lost', async (t) => {
    const running = shell(t, `exec "$EPB" start --print-env > /dev/full`);
    const { code, stderr } = await running.result();
    assert.equal(code, 125);
    assert.equal(stderr, "ephemeral-pipe-broker: start: standard output can't be written\n");
    assert.deepEqual(leftovers(running.folder), []);
  });

  it('a working directory that is gone', async (t) => {
    const { stdout, code } = await outcome(
      t,
      `mkdir "$TMPDIR/gone"; cd "$TMPDIR/gone"; rmdir "$TMPDIR/gone"; "$EPB" start -- sh -c '${USE}'`,
    );
    assert.deepEqual({ stdout, code }, { stdout: '1\n', code: 0 });
  });
});

describe('small limits', asRoot, () => {
  const NOTICE = /^(ephemeral-pipe-broker: Some memory can't be locked[^\n]*\n)?$/;

  for (const limit of [
    'n 20',
    'n 32',
    'l 8192',
    'l 64',
    'l 0',
    'f 0',
    's 256',
    'i 0',
    'v 2000000',
  ]) {
    it(`ulimit -${limit}`, async (t) => {
      const script = `ulimit -${limit}; exec "$EPB" start -- sh -c '${USE}'`;
      const { code, stdout, stderr } = await shell(t, script, { uid: USER }).result();
      assert.deepEqual({ code, stdout }, { code: 0, stdout: '1\n' });
      assert.match(stderr, NOTICE);
    });
  }

  it('as many processes as the command alone needs, or a reason', async (t) => {
    // A user of this test alone: the limit counts all processes of a user.
    const uid = 500_000 + process.pid;
    for (let processes = 1; processes <= 6; processes++) {
      const script = `ulimit -u ${processes}; exec "$EPB" start -- echo ran`;
      const { code, stdout, stderr } = await shell(t, script, { uid }).result();
      if (code === 0) {
        assert.equal(stdout, 'ran\n');
        continue;
      }
      assert.equal(code, 125);
      assert.match(stderr, /^ephemeral-pipe-broker: [^\n]+\n$/);
    }
  });
});

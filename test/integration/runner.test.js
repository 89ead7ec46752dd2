/**
 * `start -- command`: exit statuses, the environment, what is on which stream, what stays behind.
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
  hasEnded,
  standalone,
  launch,
  launchCli,
  leftovers,
  runCli,
  scratch,
  until,
  untilEnded,
  victim,
  victimReady,
} = require('../helpers/cli.js');
const { withoutLockNotice } = require('../helpers/lock_notice.js');

/** The signals that end a process which does nothing about them. */
const DEADLY = 'INT TERM HUP KILL QUIT USR1 ABRT SEGV PIPE'.split(' ').map((name) => `SIG${name}`);
const node = (script, ...args) => [process.execPath, '-e', script, ...args];
const sh = (script) => ['sh', '-c', script];
const PRINT_ENV = node('process.stdout.write(JSON.stringify(process.env))');

/** The broker ends just after the command, and nothing of it stays. */
const isClean = (folder) => until(() => leftovers(folder).length === 0, `nothing in ${folder}`);

/** Runs `start FLAGS -- COMMAND` in a directory of its own and looks for leftovers. */
async function start(t, command, { flags = [], env = {}, ...options } = {}) {
  const folder = scratch(t);
  const argv = ['start', ...flags, '--', ...command];
  const result = await runCli(argv, { env: { TMPDIR: folder, ...env }, ...options });
  await isClean(folder);
  return result;
}

const childEnv = async (...args) => JSON.parse((await start(...args)).stdout);

describe('exit status', () => {
  for (const status of [0, 1, 3, 125, 255]) {
    it(`passes ${status} on and says nothing`, async (t) => {
      const result = await start(t, sh(`exit ${status}`));
      assert.deepEqual(result, { code: status, signal: null, stdout: '', stderr: '' });
    });
  }

  for (const name of DEADLY) {
    it(`is the signal ${name} when the command dies by it`, async (t) => {
      const result = await start(t, sh(`kill -${name.slice(3)} $$`));
      assert.deepEqual(result, { code: null, signal: name, stdout: '', stderr: '' });
    });
  }

  it('is 127 for a command that does not exist', async (t) => {
    const { code, stdout, stderr } = await start(t, ['no-such-command-here', 'argument']);
    assert.equal(code, 127);
    assert.equal(stdout, '');
    assert.match(
      stderr,
      /^ephemeral-pipe-broker: "no-such-command-here": command not found; .+\n$/,
    );
  });

  it('explains a whole command line in one word', async (t) => {
    const { code, stderr } = await start(t, ['npm test && echo done']);
    assert.equal(code, 127);
    assert.match(stderr, /separate words, or use: -- sh -c/);
  });

  it('is 126 for a file that is not executable', async (t) => {
    const file = path.join(scratch(t), 'plain.txt');
    fs.writeFileSync(file, 'text', { mode: 0o644 });
    const { code, stderr } = await start(t, [file]);
    assert.equal(code, 126);
    assert.match(stderr, /can't be executed/);
  });

  it('is 126 for a directory', async (t) => {
    assert.equal((await start(t, [scratch(t)])).code, 126);
  });

  const faults = [
    [['start', 'npm', 'test'], /put -- before the command: .* start -- npm \.\.\./],
    [['start', '--reuse', 'npm', 'test', '--watch'], /put -- before the command/],
    [['start', '--'], /no command after --/],
    [
      ['start', '--max-itmes', '5', '--', 'true'],
      /Unknown flag --max-itmes\. Did you mean --max-items\?/,
    ],
    [['start', '--max-items', 'many', '--', 'true'], /--max-items takes .*not "many"/],
    [['start', '--pipe-id', 'a/b', '--', 'true'], /--pipe-id takes/],
    [['start', '--no-auth', '--auth', 'x', '--', 'true'], /--no-auth and a secret/],
    [['start', '--secret', 'abc', '--', 'true'], /--secret takes only "-"/],
    [['start', '--secret-file', '/no/such/file', '--', 'true'], /can't be read \(ENOENT\)/],
    [['start', '--secret-env', 'NO_SUCH', '--', 'true'], /no such environment variable/],
    [['start', '--reuse'], /--reuse needs a command/],
    [['start', '--print-env', '--', 'true'], /--print-env is for use without a command/],
  ];
  for (const [argv, expected] of faults) {
    it(`is 125 for: ${argv.join(' ')}`, async (t) => {
      const { code, stdout, stderr } = await runCli(argv, { env: { TMPDIR: scratch(t) } });
      assert.equal(code, 125);
      assert.equal(stdout, '');
      assert.match(stderr, expected);
      assert.equal(stderr.split('\n').length, 2, 'one line, no stack trace');
      assert.doesNotMatch(stderr, /abc/, 'a secret must not be repeated');
    });
  }

  it('is 125 when the environment holds nonsense', async (t) => {
    const result = await start(t, ['true'], { env: { BROKER_MAX_ITEMS: 'lots' } });
    assert.equal(result.code, 125);
    assert.match(result.stderr, /BROKER_MAX_ITEMS takes/);
  });

  it('is 125 when the pipe can have no name', async () => {
    const { code, stderr } = await runCli(['start', '--pipe-id', 'x'.repeat(65), '--', 'true']);
    assert.equal(code, 125);
    assert.match(stderr, /^ephemeral-pipe-broker: .+\n$/);
  });

  for (const folder of ['/no/such/directory', process.execPath, '', 'relative']) {
    it(`is the command's when TMPDIR can hold no socket: "${folder}"`, async () => {
      const { code, stdout } = await runCli(['start', '--', 'sh', '-c', 'echo "$EPHEMERAL_PIPE"'], {
        env: { TMPDIR: folder },
      });
      assert.equal(code, 0);
      assert.match(stdout, /^\/tmp\/broker-/);
    });
  }
});

describe('streams', () => {
  it('gives the command our standard input, output and error themselves', async (t) => {
    const script = `
      const fs = require('node:fs');
      const same = [0, 1, 2].map((fd) => fs.readlinkSync('/proc/self/fd/' + fd));
      fs.writeSync(2, 'to stderr');
      fs.writeSync(1, JSON.stringify({ same, read: fs.readFileSync(0, 'utf8') }));`;
    const folder = scratch(t);
    const out = path.join(folder, 'out.txt');
    const err = path.join(folder, 'err.txt');
    const input = path.join(folder, 'in.txt');
    fs.writeFileSync(input, 'typed before');
    const stdio = [fs.openSync(input, 'r'), fs.openSync(out, 'w'), fs.openSync(err, 'w')];
    const { code } = await start(t, node(script), { stdio });
    stdio.forEach((fd) => fs.closeSync(fd));
    assert.equal(code, 0);
    assert.equal(withoutLockNotice(fs.readFileSync(err, 'utf8')), 'to stderr');
    const seen = JSON.parse(fs.readFileSync(out, 'utf8'));
    assert.deepEqual(seen, { same: [input, out, err], read: 'typed before' });
  });

  it('passes on every argument as it is', async (t) => {
    const words = ['--', '--debug', '', 'a b', '$HOME', "'", '"', '*', 'ü€😀', '-x=1', '\n'];
    const { stdout } = await start(t, [
      process.execPath,
      '-e',
      'process.stdout.write(JSON.stringify(process.argv.slice(1)))',
      '--',
      ...words,
    ]);
    assert.deepEqual(JSON.parse(stdout), words);
  });

  it('logs to stderr with --debug, and never a secret', async (t) => {
    const { code, stdout, stderr } = await start(t, sh('printf %s "$EPHEMERAL_SECRET"'), {
      flags: ['--debug'],
    });
    assert.equal(code, 0);
    assert.match(stdout, /^[0-9a-f]{64}$/);
    const events = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).event);
    assert.ok(events.includes('command_started') && events.includes('command_ended'), stderr);
    assert.ok(!stderr.includes(stdout), 'the secret is in the log');
  });

  it('says what JSON lines need, to their client and on stderr', async (t) => {
    const script = `
      const socket = require('node:net').connect(process.env.EPHEMERAL_PIPE);
      socket.write('{"action":"ping"}\\n');
      socket.pipe(process.stdout);`;
    const { stdout, stderr } = await start(t, node(script));
    const needed = /JSON lines need --no-auth or --legacy-hmac/;
    assert.match(JSON.parse(stdout).message, needed);
    assert.match(stderr, needed);
  });
});

describe('environment of the command', () => {
  it('gains three variables and nothing else', async (t) => {
    const before = JSON.parse(
      (await launch(PRINT_ENV[0], PRINT_ENV.slice(1), { env: { TMPDIR: 'same' } }).result()).stdout,
    );
    const after = await childEnv(t, PRINT_ENV);
    const gained = Object.keys(after).filter((name) => !(name in before));
    assert.deepEqual(gained.sort(), ['EPHEMERAL_BROKER_PID', 'EPHEMERAL_PIPE', 'EPHEMERAL_SECRET']);
    const lost = Object.keys(before).filter((name) => !(name in after));
    assert.deepEqual(lost, []);
    assert.match(after.EPHEMERAL_SECRET, /^[0-9a-f]{64}$/);
  });

  it('names the broker, which is not above the command and ends with it', async (t) => {
    const script = `
      const broker = Number(process.env.EPHEMERAL_BROKER_PID);
      process.kill(broker, 0);
      console.log(JSON.stringify({ pid: process.pid, parent: process.ppid, broker }));`;
    const running = launchCli(['start', '--', ...node(script)], { env: { TMPDIR: scratch(t) } });
    const { pid, parent, broker } = JSON.parse((await running.result()).stdout);
    assert.deepEqual({ pid, parent }, { pid: running.pid, parent: process.pid });
    assert.notEqual(broker, pid);
    await untilEnded(broker);
  });

  it('makes another pipe and another secret each time', async (t) => {
    const [one, two] = [await childEnv(t, PRINT_ENV), await childEnv(t, PRINT_ENV)];
    assert.notEqual(one.EPHEMERAL_PIPE, two.EPHEMERAL_PIPE);
    assert.notEqual(one.EPHEMERAL_SECRET, two.EPHEMERAL_SECRET);
  });

  it('has no secret with --no-auth, even when one was inherited', async (t) => {
    const env = await childEnv(t, PRINT_ENV, {
      flags: ['--no-auth'],
      env: { EPHEMERAL_SECRET: 'from somewhere else', CLIENT_SECRET: 'and another' },
    });
    assert.equal(env.EPHEMERAL_SECRET, undefined);
    assert.equal(env.CLIENT_SECRET, undefined);
    assert.ok(env.EPHEMERAL_PIPE);
  });

  it('has the pipe that --pipe-id names', async (t) => {
    const env = await childEnv(t, PRINT_ENV, { flags: ['--pipe-id', 'my-name_1'] });
    assert.equal(path.basename(env.EPHEMERAL_PIPE), 'broker-my-name_1.sock');
  });

  it(
    'keeps the limits it was started with',
    { skip: !fs.existsSync('/proc/self/limits') },
    async (t) => {
      const plain = await launch('sh', ['-c', 'ulimit -c; ulimit -Hc']).result();
      const under = await start(t, sh('ulimit -c; ulimit -Hc'));
      assert.equal(under.stdout, plain.stdout);
    },
  );

  it(
    'has no signal ignored or blocked',
    { skip: !fs.existsSync('/proc/self/status') },
    async (t) => {
      const { stdout } = await start(t, ['grep', '-E', '^Sig(Blk|Ign):', '/proc/self/status']);
      assert.match(stdout, /^SigBlk:\s0{16}\nSigIgn:\s0{16}\n$/);
    },
  );
});

describe('the secret', () => {
  const SECRET = 'a secret that is long enough';
  const given = (t, options) => childEnv(t, PRINT_ENV, options).then((env) => env.EPHEMERAL_SECRET);

  it('comes from EPHEMERAL_SECRET', async (t) => {
    assert.equal(await given(t, { env: { EPHEMERAL_SECRET: SECRET } }), SECRET);
  });

  it('comes from BROKER_SECRET', async (t) => {
    assert.equal(await given(t, { env: { BROKER_SECRET: SECRET } }), SECRET);
  });

  it('comes from CLIENT_SECRET, as the command would take it from there', async (t) => {
    assert.equal(await given(t, { env: { CLIENT_SECRET: SECRET } }), SECRET);
  });

  it('that is short comes with one warning', async (t) => {
    const { stdout, stderr } = await start(t, PRINT_ENV, { env: { EPHEMERAL_SECRET: 'short' } });
    assert.equal(JSON.parse(stdout).EPHEMERAL_SECRET, 'short');
    assert.match(stderr, /^ephemeral-pipe-broker: .*shorter than 16 bytes.*\n$/);
  });

  it('comes from the variable that --secret-env names', async (t) => {
    assert.equal(
      await given(t, { flags: ['--secret-env', 'MINE'], env: { MINE: SECRET } }),
      SECRET,
    );
  });

  for (const [what, text] of [
    ['its only line', SECRET],
    ['a line with its end', `${SECRET}\n`],
    ['a line from Windows', `${SECRET}\r\n`],
    ['the first of several', `${SECRET}\nmore\n`],
  ]) {
    it(`comes from a file: ${what}`, async (t) => {
      const file = path.join(scratch(t), 'secret');
      fs.writeFileSync(file, text, { mode: 0o600 });
      const { stdout, stderr } = await start(t, PRINT_ENV, { flags: ['--secret-file', file] });
      assert.equal(JSON.parse(stdout).EPHEMERAL_SECRET, SECRET);
      assert.equal(stderr, '');
    });
  }

  it('warns when others may read the file', async (t) => {
    const file = path.join(scratch(t), 'secret');
    fs.writeFileSync(file, SECRET);
    fs.chmodSync(file, 0o644);
    const { stdout, stderr } = await start(t, PRINT_ENV, { flags: ['--secret-file', file] });
    assert.equal(JSON.parse(stdout).EPHEMERAL_SECRET, SECRET);
    assert.match(stderr, /other users may read it/);
  });

  for (const kind of ['a pipe', 'a file']) {
    it(`comes from the first line of ${kind} on stdin, and leaves the rest`, async (t) => {
      const text = `${SECRET}\nrest 1\nrest 2`;
      const script = `
        const rest = require('node:fs').readFileSync(0, 'utf8');
        console.log(JSON.stringify({ rest, secret: process.env.EPHEMERAL_SECRET }));`;
      const options = { flags: ['--secret', '-'], input: text };
      if (kind === 'a file') {
        const file = path.join(scratch(t), 'stdin');
        fs.writeFileSync(file, text);
        options.stdio = [fs.openSync(file), 'pipe', 'pipe'];
        t.after(() => fs.closeSync(options.stdio[0]));
      }
      const { stdout } = await start(t, node(script), options);
      assert.deepEqual(JSON.parse(stdout), { rest: 'rest 1\nrest 2', secret: SECRET });
    });
  }

  it('is taken from the command line with one warning', async (t) => {
    const { stdout, stderr } = await start(t, PRINT_ENV, { flags: ['--auth', SECRET] });
    assert.equal(JSON.parse(stdout).EPHEMERAL_SECRET, SECRET);
    assert.match(stderr, /^ephemeral-pipe-broker: --auth: other processes can read .+\n$/);
    assert.ok(!stderr.includes(SECRET));
  });

  it('may be given twice when both are the same', async (t) => {
    const flags = ['--secret-env', 'MINE'];
    const env = { MINE: SECRET, EPHEMERAL_SECRET: SECRET, BROKER_SECRET: SECRET };
    assert.equal(await given(t, { flags, env }), SECRET);
  });

  for (const [name, options] of Object.entries({
    'two variables': { env: { EPHEMERAL_SECRET: SECRET, BROKER_SECRET: 'other secret' } },
    'a flag and a variable': {
      flags: ['--secret-env', 'MINE'],
      env: { MINE: SECRET, EPHEMERAL_SECRET: 'other secret' },
    },
    'two flags': {
      flags: ['--secret-env', 'MINE', '--secret', '-'],
      env: { MINE: SECRET },
      input: 'other secret\n',
    },
  })) {
    it(`is refused when ${name} differ`, async (t) => {
      const { code, stderr } = await start(t, ['true'], options);
      assert.equal(code, 125);
      assert.match(stderr, /different secrets/);
      assert.ok(!stderr.includes(SECRET) && !stderr.includes('other secret'), stderr);
    });
  }

  for (const [name, options] of Object.entries({
    'stdin that ends': { flags: ['--secret', '-'], input: '' },
    'an empty line': { flags: ['--secret', '-'], input: '\nrest' },
    '--auth': { flags: ['--auth='] },
  })) {
    it(`is refused when it is empty: ${name}`, async (t) => {
      assert.equal((await start(t, ['true'], options)).code, 125);
    });
  }
});

describe('a broker that a client can use', () => {
  const CLIENT = `
    const { PipeClient } = require(${JSON.stringify(path.dirname(path.dirname(BIN)))});
    (async () => {
      const client = new PipeClient();
      await client.set('greeting', { hello: 'world' }, 60000);
      console.log(JSON.stringify([await client.get('greeting'), await client.incr('n', 5, 60000)]));
      await client.close();
    })();`;

  for (const flags of [[], ['--no-auth'], ['--max-items', '5', '--eviction=lru']]) {
    it(`with flags: ${flags.join(' ') || 'none'}`, async (t) => {
      const { stdout, stderr, code } = await start(t, node(CLIENT), { flags });
      assert.equal(stderr, '');
      assert.equal(stdout, '[{"hello":"world"},5]\n');
      assert.equal(code, 0);
    });
  }

  it('takes limits from flags', async (t) => {
    const script = `${process.execPath} ${BIN} set a 1 --ttl 1m && ${process.execPath} ${BIN} set b 2 --ttl 1m`;
    const { code, stderr } = await start(t, sh(script), { flags: ['--max-items', '1'] });
    assert.equal(code, 1);
    assert.match(stderr, /maxItems/);
  });

  it('is out of reach for what the command leaves behind', async (t) => {
    const folder = scratch(t);
    const running = launchCli(['start', '--', ...victim('background', 'heed=SIGTERM:0')], {
      env: { TMPDIR: folder },
    });
    const { grandchild } = await victimReady(running);
    t.after(() => process.kill(grandchild, 'SIGKILL'));
    // Only the command itself, so that its grandchild stays.
    const pipe = path.join(folder, leftovers(folder)[0]);
    assert.ok(fs.statSync(pipe).isSocket());
    process.kill((await victimReady(running)).pid, 'SIGTERM');
    assert.deepEqual(await running.exited, { code: 0, signal: null });
    await isClean(folder);
    assert.ok(!hasEnded(grandchild), 'the grandchild should still run');
  });
});

describe('start within start', () => {
  const outer = (flags, command) => [process.execPath, BIN, 'start', ...flags, '--', ...command];

  it('makes another broker, with another secret, and says so in one line', async (t) => {
    const inner = outer([], PRINT_ENV);
    const { stdout, stderr, code } = await start(
      t,
      sh(`echo "$EPHEMERAL_PIPE"; echo "$EPHEMERAL_SECRET"; exec ${inner.map(quoted).join(' ')}`),
    );
    assert.equal(code, 0);
    const [pipe, secret, json] = stdout.split('\n');
    const env = JSON.parse(json);
    assert.notEqual(env.EPHEMERAL_PIPE, pipe);
    assert.notEqual(env.EPHEMERAL_SECRET, secret);
    assert.match(stderr, /^ephemeral-pipe-broker: EPHEMERAL_PIPE is set: making another .+\n$/);
  });

  it('joins the outer one with --reuse', async (t) => {
    const inner = outer(['--reuse'], PRINT_ENV).map(quoted).join(' ');
    const { stdout, stderr } = await start(t, sh(`echo "$EPHEMERAL_PIPE"; exec ${inner}`));
    const [pipe, json] = stdout.split('\n');
    assert.equal(JSON.parse(json).EPHEMERAL_PIPE, pipe);
    assert.equal(stderr, '');
  });

  it('passes statuses through --reuse', async (t) => {
    assert.equal((await start(t, outer(['--reuse'], sh('exit 7')))).code, 7);
    const { signal } = await start(t, outer(['--reuse'], sh('kill -TERM $$')));
    assert.equal(signal, 'SIGTERM');
  });

  it('makes its own with --reuse when there is none around', async (t) => {
    const env = await childEnv(t, PRINT_ENV, { flags: ['--reuse'] });
    assert.ok(env.EPHEMERAL_PIPE && env.EPHEMERAL_SECRET);
  });

  it('is 125 with --reuse when the outer one does not answer', async (t) => {
    const { code, stderr } = await start(t, ['true'], {
      flags: ['--reuse'],
      env: { EPHEMERAL_PIPE: '/no/such/pipe.sock', CLIENT_TIMEOUT: '200' },
    });
    assert.equal(code, 125);
    assert.match(stderr, /--reuse: the broker that EPHEMERAL_PIPE names does not answer/);
  });

  it('is 125 with --reuse when the secret is another', async (t) => {
    const { env } = await standalone(t);
    const { code, stderr } = await start(t, ['true'], {
      flags: ['--reuse'],
      env: { ...env, EPHEMERAL_SECRET: 'not the one of that broker' },
    });
    assert.equal(code, 125);
    assert.match(stderr, /secret/);
  });

  it('uses a secret given by flag although another one is inherited', async (t) => {
    const env = await childEnv(t, PRINT_ENV, {
      flags: ['--secret-env', 'MINE'],
      env: { MINE: 'for the inner one only', EPHEMERAL_PIPE: '/outer', EPHEMERAL_SECRET: 'outer' },
    });
    assert.equal(env.EPHEMERAL_SECRET, 'for the inner one only');
  });
});

function quoted(word) {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

describe('start without a command', () => {
  it('prints the two export lines, serves, and ends by TERM with nothing left', async (t) => {
    const { env, running, folder } = await standalone(t);
    assert.deepEqual(Object.keys(env), ['EPHEMERAL_PIPE', 'EPHEMERAL_SECRET']);
    assert.equal((await runCli(['ping'], { env })).code, 0);
    running.child.kill('SIGTERM');
    assert.deepEqual(await running.exited, { code: 0, signal: null });
    assert.deepEqual(leftovers(folder), []);
  });

  it('ends by INT as well', async (t) => {
    const { running, folder } = await standalone(t);
    running.child.kill('SIGINT');
    assert.deepEqual(await running.exited, { code: 0, signal: null });
    assert.deepEqual(leftovers(folder), []);
  });

  it('does not end by USR1, nor open a debugger', async (t) => {
    const { running, env } = await standalone(t);
    running.child.kill('SIGUSR1');
    running.child.kill('SIGUSR2');
    assert.equal((await runCli(['ping'], { env })).code, 0);
    assert.doesNotMatch(running.stderr, /Debugger/);
  });

  it('prints no secret when there is none', async (t) => {
    const { env } = await standalone(t, ['--no-auth']);
    assert.deepEqual(Object.keys(env), ['EPHEMERAL_PIPE']);
    assert.equal((await runCli(['ping'], { env })).code, 0);
  });

  it('goes on with a closed standard output', async (t) => {
    const folder = scratch(t);
    const command = [process.execPath, BIN, 'start', '--no-auth', '--pipe-id', 'quiet', '--debug'];
    const running = launch('sh', ['-c', `exec ${command.map(quoted).join(' ')} >&-`], {
      env: { TMPDIR: folder },
    });
    t.after(() => running.child.kill('SIGKILL'));
    await running.sees(/"event":"listening"/, 'stderr');
    const pipe = path.join(folder, 'broker-quiet.sock');
    assert.equal((await runCli(['ping', '--pipe', pipe])).code, 0);
    running.child.kill('SIGTERM');
    assert.deepEqual(await running.exited, { code: 0, signal: null });
  });

  it('quotes a secret so that a shell gets it back', async (t) => {
    const secret = `it's "$HOME" \`id\` \\ ; é`;
    const folder = scratch(t);
    const script = `
      eval "$("$0" "$1" start --print-env &)"
      printf '%s' "$EPHEMERAL_SECRET"
      kill "$EPHEMERAL_BROKER_PID"`;
    const { stdout } = await launch('sh', ['-c', script, process.execPath, BIN], {
      env: { TMPDIR: folder, EPHEMERAL_SECRET: secret },
    }).result();
    assert.equal(stdout, secret);
  });

  for (const shell of ['sh', 'bash', 'dash']) {
    it(`works as eval "$(epb start --print-env &)" in ${shell}`, async (t) => {
      const folder = scratch(t);
      fs.writeFileSync(
        path.join(folder, 'epb'),
        `#!/bin/sh\nexec "${process.execPath}" "${BIN}" "$@"\n`,
        { mode: 0o755 },
      );
      const script = `
        eval "$(epb start --print-env &)"
        epb set key value --ttl 1m && epb get key
        echo "pid $EPHEMERAL_BROKER_PID"
        kill "$EPHEMERAL_BROKER_PID"`;
      const { stdout, stderr, code } = await launch(shell, ['-c', script], {
        env: { TMPDIR: folder, PATH: `${folder}:${process.env.PATH}` },
      }).result();
      assert.equal(stderr, '');
      assert.equal(code, 0);
      const [, pid] = /^value\npid (\d+)\n$/.exec(stdout) ?? assert.fail(stdout);
      await untilEnded(Number(pid));
      assert.deepEqual(leftovers(folder), []);
    });
  }

  it('ends when it has been idle for long enough', async (t) => {
    const folder = scratch(t);
    const { code } = await runCli(['start', '--idle-timeout', '50ms'], { env: { TMPDIR: folder } });
    assert.equal(code, 0);
    assert.deepEqual(leftovers(folder), []);
  });

  it('refuses a name that another broker has', async (t) => {
    const { folder } = await standalone(t, ['--pipe-id', 'taken']);
    const { code, stderr } = await runCli(['start', '--pipe-id', 'taken', '--', 'true'], {
      env: { TMPDIR: folder },
    });
    assert.equal(code, 125);
    assert.match(stderr, /taken/);
    assert.ok(fs.existsSync(path.join(folder, 'broker-taken.sock')), 'the other one was removed');
  });
});

/** Whom root becomes for a while: no privilege may help. */
const USER = process.getuid?.() === 0 ? 65534 : undefined;

/**
 * Run by an ordinary user: starts brokers, and tells whether it can open their memory. It is their parent,
 * since on some systems nobody else might trace them at all.
 */
const TRACER = `
  const { spawn } = require('node:child_process');
  const { once } = require('node:events');
  const fs = require('node:fs');
  const [root, bin] = process.argv.slice(1);
  const program = (options) => [
    '-e',
    'const { Broker } = require(process.argv[1]);' +
      'new Broker({ exportEnv: false, ...JSON.parse(process.argv[2]) }).startSync();' +
      "console.log('started')",
    root,
    JSON.stringify(options),
  ];
  const brokers = {
    start: [bin, 'start'],
    'a program with hardenProcess': program({ hardenProcess: true }),
    'a program without': program({}),
  };
  const look = async ([name, args]) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    await once(child.stdout, 'data');
    let found = 'open';
    try {
      fs.closeSync(fs.openSync('/proc/' + child.pid + '/mem', 'r'));
    } catch (error) {
      found = error.code;
    }
    child.kill();
    await ended;
    return [name, found];
  };
  Promise.all(Object.entries(brokers).map(look)).then((found) =>
    console.log(JSON.stringify(Object.fromEntries(found))),
  );
`;

/** Why it can't be told here who may read the memory of whom; gives the folder to the user who tries. */
function whyNoTracing(folder) {
  const yama = '/proc/sys/kernel/yama/ptrace_scope';
  const scope = fs.existsSync(yama) ? Number(fs.readFileSync(yama, 'latin1')) : 0;
  if (scope > 1) return 'no process of a user may trace another here';
  if (USER === undefined) return null;
  fs.chownSync(folder, USER, USER);
  const [file, ...args] = node(
    'process.argv.slice(1).forEach((name) => fs.accessSync(name, 4))',
    BIN,
    folder,
  );
  const { status } = spawnSync(file, args, { uid: USER, gid: USER, cwd: '/' });
  return status === 0 ? null : 'another user can not reach the package';
}

describe('protection', { skip: process.platform !== 'linux' }, () => {
  it('makes no core dumps', async (t) => {
    const { stdout } = await start(t, sh(`grep '^Max core' /proc/$EPHEMERAL_BROKER_PID/limits`));
    assert.match(stdout, /^Max core file size\s+0\s/);
  });

  it('lets no other process of its user read its memory', async (t) => {
    const folder = scratch(t);
    const why = whyNoTracing(folder);
    if (why) {
      t.skip(why);
      return;
    }
    const [file, ...args] = node(TRACER, ROOT, BIN);
    const tracer = launch(file, args, { uid: USER, cwd: folder, env: { TMPDIR: folder } });
    const { code, stdout, stderr } = await tracer.result();
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    assert.deepEqual(JSON.parse(stdout), {
      start: 'EACCES',
      'a program with hardenProcess': 'EACCES',
      'a program without': 'open',
    });
  });

  it('leaves an idle broker alone: no idle timeout while a command runs', async (t) => {
    const script = `sleep 0.3; ${process.execPath} ${BIN} ping >/dev/null`;
    assert.equal((await start(t, sh(script), { flags: ['--idle-timeout', '50ms'] })).code, 0);
  });
});

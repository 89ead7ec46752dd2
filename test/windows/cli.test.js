// The native program on Windows: commands that it starts, and what it does without them. Run by
// scripts/wine. Output goes through files: pipes of Node hang under Wine.
'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const { ROOT, temporaryDirectory, until } = require('../helpers/broker.js');

const EPB = path.join(ROOT, 'prebuilds/win32-x64/epb.exe');

/** Prints its arguments and a variable. */
const SHOW = 'console.log(JSON.stringify(process.argv.slice(2)), process.env.SHOWN ?? "")';

const HOSTILE = [
  '',
  ' ',
  'a b',
  'a\\',
  'a b\\\\',
  '"',
  '\\"',
  '" & echo injected & "',
  '& echo injected',
  '| echo injected',
  '> injected.txt',
  '(x)',
  '^" & echo injected',
  'a,b;c=d',
  '!PATH!',
  'é 😀',
  '--x="a b"',
];

/** Wine's cmd.exe drops a percent sign that Microsoft's keeps. */
const PERCENT = process.env.WINEPREFIX === undefined ? ['%', '50%', '%PATH%', '%cd:~,%'] : [];

/** Runs a program; resolves its status and what it wrote. */
async function run(t, file, args, options = {}) {
  const directory = temporaryDirectory(t);
  const names = ['out', 'err'].map((name) => path.join(directory, name));
  const streams = names.map((name) => fs.openSync(name, 'w'));
  const child = spawn(file, args, { ...options, stdio: ['ignore', ...streams] });
  options.onChild?.(child);
  const [status] = await once(child, 'exit');
  streams.forEach((stream) => fs.closeSync(stream));
  const [stdout, stderr] = names.map((name) => fs.readFileSync(name, 'utf8'));
  return { status, stdout, stderr, directory };
}

const epb = (t, args, options) => run(t, EPB, args, options);

function write(t, name, text) {
  const file = path.join(temporaryDirectory(t), name);
  fs.writeFileSync(file, text);
  return file;
}

/** A batch file as npm makes them: it passes all its arguments to a script. */
function writeShim(t) {
  const script = write(t, 'show.js', SHOW);
  return write(t, 'show.cmd', `@echo off\r\n"${process.execPath}" "${script}" %*\r\n`);
}

test('a command gets its arguments and its output, and gives its exit status', async (t) => {
  const script = write(t, 'show.js', `${SHOW}; process.exitCode = 0xc0000005 | 0`);
  const args = ['start', '--', process.execPath, script, ...HOSTILE, 'a\nb', '%PATH%'];
  const { status, stdout, stderr } = await epb(t, args, {
    env: { ...process.env, SHOWN: 'é 😀' },
  });
  assert.equal(stderr, '');
  assert.equal(stdout, `${JSON.stringify([...HOSTILE, 'a\nb', '%PATH%'])} é 😀\n`);
  assert.equal(status >>> 0, 0xc0000005);
});

test('nothing in the arguments of a batch file becomes a command', async (t) => {
  const shim = writeShim(t);
  for (const argument of [...HOSTILE, ...PERCENT]) {
    const { stdout, stderr } = await epb(t, ['start', '--', shim, argument, 'end']);
    assert.equal(stdout, `${JSON.stringify([argument, 'end'])} \n`, stderr);
  }
});

test('a batch file can not get a line break', async (t) => {
  const { status, stderr } = await epb(t, ['start', '--', writeShim(t), 'a\nb']);
  assert.equal(status, 126);
  assert.match(stderr, /can't pass an argument with a line break/);
});

test('a command is found by PATH and PATHEXT, and not in the current folder', async (t) => {
  const folder = path.dirname(write(t, 'tool.cmd', '@exit /b 9\r\n'));
  fs.writeFileSync(path.join(folder, 'tool'), 'a script for sh');
  const env = { ...process.env, PATH: `"${folder}";${process.env.PATH}` };
  assert.equal((await epb(t, ['start', '--', 'tool'], { env })).status, 9);
  const missing = await epb(t, ['start', '--', 'tool'], { cwd: folder });
  assert.equal(missing.status, 127);
  assert.match(missing.stderr, /^ephemeral-pipe-broker: "tool": command not found/);
  assert.equal((await epb(t, ['start', '--', '.\\tool'], { cwd: folder })).status, 9);
});

test('the script behind npx starts the program and waits', async (t) => {
  const script = path.join(ROOT, 'bin/ephemeral-pipe-broker.js');
  const args = [script, 'start', '--', writeShim(t), 'a b'];
  const { status, stdout, stderr } = await run(t, process.execPath, args);
  assert.equal(stdout, '["a b"] \n', stderr);
  assert.equal(status, 0);
  assert.equal((await run(t, process.execPath, [script, 'start', '--', 'no'])).status, 127);
});

test('the command reaches its broker, and both end', async (t) => {
  const script = write(
    t,
    'client.js',
    `const { PipeClient } = require(${JSON.stringify(ROOT)});
     const client = new PipeClient();
     client.set('k', 'v', { ttl: 60000 }).then(async () => {
       console.log(await client.get('k'), process.env.EPHEMERAL_PIPE);
       await client.close();
     });`,
  );
  const { status, stdout, stderr } = await epb(t, ['start', '--', process.execPath, script]);
  assert.equal(status, 0, stderr);
  const [value, pipe] = stdout.trim().split(' ');
  assert.equal(value, 'v');
  const after = await epb(t, ['ping'], { env: { ...process.env, EPHEMERAL_PIPE: pipe } });
  assert.equal(after.status, 3, after.stderr);
});

test('the commands of the shell talk to the broker', async (t) => {
  const batch = write(
    t,
    'talk.cmd',
    ['@echo off', 'set K "a b" --ttl 1m', 'get K', 'incr N --ttl 1m', 'lock L -- cmd /c echo held']
      .map((line) => (line.startsWith('@') ? line : `"${EPB}" ${line}`))
      .join('\r\n'),
  );
  const { status, stdout, stderr } = await epb(t, ['start', '--', batch]);
  assert.equal(status, 0, stderr);
  assert.deepEqual(stdout.trim().split(/\r?\n/).slice(-3), ['a b', '1', 'held']);
});

test('the end of the program ends the command and its processes', async (t) => {
  const script = write(
    t,
    'parent.js',
    `const { spawn } = require('node:child_process');
     const fs = require('node:fs');
     const rest = 'setInterval(() => {}, 1000)';
     const child = spawn(process.execPath, ['-e', rest], { stdio: 'ignore' });
     fs.writeFileSync(process.argv[2] + '.new', process.pid + ' ' + child.pid);
     fs.renameSync(process.argv[2] + '.new', process.argv[2]);
     setInterval(() => {}, 1000);`,
  );
  const told = path.join(temporaryDirectory(t), 'pids');
  const args = ['start', '--', process.execPath, script, told];
  const killed = epb(t, args, {
    onChild: (child) =>
      until(() => fs.existsSync(told), 'the command runs').then(() => child.kill()),
  });
  await killed;
  const pids = fs.readFileSync(told, 'utf8').split(' ').map(Number);
  const isGone = (pid) => {
    try {
      return !process.kill(pid, 0);
    } catch {
      return true;
    }
  };
  await until(() => pids.every(isGone), 'all processes have ended');
});

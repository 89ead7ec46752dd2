'use strict';

// The place where a broker listens, and its secret, as they are used: whole processes, the command
// line, any umask, any way to give a secret.
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { test } = require('node:test');
const { ROOT, runNode, temporaryDirectory, until } = require('../helpers/broker.js');
const { BIN, cleanEnv } = require('../helpers/cli.js');

const SHORT = 'fifteen bytes!!';
const LONG = 'sixteen bytes!!!';
const WARNING = /shorter than 16 bytes and can be guessed/g;

test('twelve processes that start one name at once are one broker', async (t) => {
  const directory = temporaryDirectory(t);
  const script = `
    const { Broker } = require(ROOT);
    process.send('ready');
    process.once('message', async () => {
      const broker = new Broker({ pipeId: 'twelve', exportEnv: false });
      try {
        process.send({ pipe: await broker.start() });
      } catch (error) {
        process.send({ code: error.code, message: error.message });
      }
    });
  `;
  const source = `'use strict';const ROOT=${JSON.stringify(ROOT)};${script}`;
  const children = Array.from({ length: 12 }, () => {
    const child = spawn(process.execPath, ['-e', source], {
      env: cleanEnv({ TMPDIR: directory }),
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    t.after(() => child.kill('SIGKILL'));
    return child;
  });
  await Promise.all(children.map((child) => once(child, 'message')));
  const outcomes = children.map((child) => once(child, 'message'));
  for (const child of children) child.send('go');
  const said = (await Promise.all(outcomes)).map(([message]) => message);
  assert.equal(said.filter(({ pipe }) => pipe !== undefined).length, 1);
  for (const { pipe, code, message } of said) {
    if (pipe !== undefined) continue;
    assert.equal(code, 'conflict');
    assert.match(message, /twelve/);
  }
  assert.deepEqual(fs.readdirSync(directory).sort(), ['broker-twelve.lock', 'broker-twelve.sock']);
});

for (const mask of ['000', '777']) {
  test(`start under umask ${mask}: the socket is its user's alone`, async (t) => {
    const directory = temporaryDirectory(t);
    const command = 'node -e "process.stdin.resume().once(\'end\', () => {})"';
    const shell = `umask ${mask}; exec "$NODE" "$BIN" start --pipe-id masked -- ${command}`;
    const child = spawn('sh', ['-c', shell], {
      env: cleanEnv({ TMPDIR: directory, NODE: process.execPath, BIN }),
      stdio: ['pipe', 'inherit', 'inherit'],
    });
    t.after(() => child.kill('SIGKILL'));
    const socket = path.join(directory, 'broker-masked.sock');
    await until(() => fs.existsSync(socket), 'the broker listens');
    for (const [name, mode] of [
      ['broker-masked.sock', 0o700],
      ['broker-masked.lock', 0o600],
    ]) {
      assert.equal(fs.statSync(path.join(directory, name)).mode & 0o777, mode, name);
    }
    child.stdin.end();
    const [status] = await once(child, 'close');
    assert.equal(status, 0);
    // The broker ends just after the command.
    await until(() => fs.readdirSync(directory).length === 0, 'nothing stays');
  });
}

test('a short secret is warned about however a program gives it, and never shown', async () => {
  const ways = {
    secret: `new Broker({ secret: ${JSON.stringify(SHORT)} })`,
    auth: `new Broker({ auth: ${JSON.stringify(SHORT)} })`,
    bytes: `new Broker({ secret: Buffer.from(${JSON.stringify(SHORT)}) })`,
    EPHEMERAL_SECRET: 'new Broker()',
    BROKER_SECRET: 'new Broker()',
  };
  for (const [way, script] of Object.entries(ways)) {
    const env = /^[A-Z_]+$/.test(way) ? { [way]: SHORT } : {};
    const run = await runNode(`const { Broker } = require(ROOT); ${script}`, { env });
    assert.equal(run.status, 0, run.stderr);
    assert.equal(run.stderr.match(WARNING)?.length, 1, `${way}: ${run.stderr}`);
    assert.doesNotMatch(run.stderr, /fifteen bytes/);
  }
});

test('what counts are bytes, and sixteen are enough', async () => {
  const script = `
    const { Broker } = require(ROOT);
    new Broker({ secret: ${JSON.stringify(LONG)} });
    new Broker({ secret: 'éééééééé' });
    new Broker({ secret: Buffer.alloc(16, 1) });
    new Broker({ secret: 'auto' });
    new Broker({ secret: null });
  `;
  const { status, stderr } = await runNode(script);
  assert.deepEqual([status, stderr], [0, '']);
});

test('a short secret is warned about however start gets it, and never shown', async (t) => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'secret');
  fs.writeFileSync(file, `${SHORT}\n`, { mode: 0o600 });
  const ways = [
    { flags: ['--secret-file', file] },
    { flags: ['--secret-env', 'MY_OWN'], env: { MY_OWN: SHORT } },
    { flags: ['--secret', '-'], input: `${SHORT}\n` },
    { flags: ['--auth', SHORT] },
    { flags: [], env: { EPHEMERAL_SECRET: SHORT } },
    { flags: [], env: { BROKER_SECRET: SHORT } },
  ];
  const runs = ways.map(async ({ flags, env = {}, input = '' }) => {
    const child = spawn(process.execPath, [BIN, 'start', ...flags, '--', 'true'], {
      env: cleanEnv({ TMPDIR: directory, ...env }),
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let said = '';
    child.stdout.on('data', (text) => (said += text));
    child.stderr.on('data', (text) => (said += text));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    const [status] = await once(child, 'close');
    const what = `${flags[0] ?? Object.keys(env)[0]}: ${said}`;
    assert.equal(status, 0, what);
    assert.equal(said.match(WARNING)?.length, 1, what);
    assert.doesNotMatch(said, /fifteen bytes/);
  });
  await Promise.all(runs);
});

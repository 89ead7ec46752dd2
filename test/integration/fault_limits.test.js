/**
 * Without descriptors, and without a disk: those connected go on being served, what could not be done is
 * done when it can be, and nothing is ever written to a file.
 */
'use strict';

const assert = require('node:assert/strict');
const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { once } = require('node:events');
const { test } = require('node:test');

const { ROOT, SECRET, startBroker, temporaryDirectory } = require('../helpers/broker.js');
const { BIN } = require('../helpers/cli.js');
const { available, runAmongFaults } = require('../helpers/fault.js');
const { withoutLockNotice } = require('../helpers/lock_notice.js');

const posix = { skip: process.platform === 'win32' && 'POSIX only' };
const only = { skip: !available && 'Linux with a C compiler only' };

/** The words that give a program mounts of its own, where the system lets anybody have them. */
const MOUNTS = ['unshare', '--user', '--map-root-user', '--mount'];
const mounts = {
  skip:
    spawnSync(MOUNTS[0], [...MOUNTS.slice(1), 'mount', '-t', 'tmpfs', 'none', '/mnt']).status !==
      0 && 'needs a file system of its own',
};

/** Runs a script under a limit of the shell's; resolves how it ended. */
async function runLimited(limit, script, env = {}, before = []) {
  const source = `'use strict';
    const assert = require('node:assert/strict');
    const fs = require('node:fs');
    const net = require('node:net');
    const { once } = require('node:events');
    const { Broker, PipeClient } = require(${JSON.stringify(ROOT)});
    // It is loaded with the first Broker, for which there may be no descriptor left.
    require(${JSON.stringify(path.join(ROOT, 'lib/broker.js'))});
    (async () => {${script}})().then(
      () => console.log('done'),
      (error) => { console.error(error); process.exit(1); },
    );`;
  const command = `${limit} && exec "$0" -e "$1"`;
  const [file, ...args] = [...before, 'sh', '-c', command, process.execPath, source];
  const child = spawn(file, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => (output[name] += text));
  }
  const [status, signal] = await once(child, 'close');
  return { status, signal, stdout: output.stdout, stderr: withoutLockNotice(output.stderr) };
}

const DONE = { status: 0, signal: null, stdout: 'done\n', stderr: '' };

test('a broker without descriptors serves those it has, and accepts again', posix, async () => {
  const ended = await runLimited(
    'ulimit -n 96',
    `
    const warnings = [];
    const broker = new Broker({ exportEnv: false, secret: null, log: (line) => warnings.push(line) });
    await broker.start();
    const client = broker.client();
    await client.set('k', 'v', 600000);
    // Each takes two descriptors of this process: the last few are the broker's to run out of.
    const sockets = [];
    for (let full = false; !full; ) {
      const socket = net.connect(broker.pipe);
      sockets.push(socket);
      full = await new Promise((resolve) => {
        socket.once('connect', () => resolve(false));
        socket.once('error', () => resolve(true));
      });
      if (!full) socket.write('{"action":"get","key":"k"}\\n');
      assert.equal(await client.get('k'), 'v');
      assert.equal(client.getSync('k'), 'v');
    }
    assert.ok(sockets.length > 10);
    for (const socket of sockets.splice(0, 8)) socket.destroy();
    const late = net.connect(broker.pipe);
    late.write('{"action":"get","key":"k"}\\n');
    const [answer] = await once(late.setEncoding('utf8'), 'data');
    assert.equal(JSON.parse(answer).value, 'v');
    for (const socket of [late, ...sockets]) socket.destroy();
    client.close();
    await broker.stop();
  `,
  );
  assert.deepEqual(ended, DONE);
});

test(
  'a broker that finds no descriptors is not started, and leaves its host alone',
  posix,
  async () => {
    const ended = await runLimited(
      'ulimit -n 64',
      `
    // Loaded while it could be.
    require(${JSON.stringify(ROOT)} + '/lib/binding').load();
    const taken = [];
    assert.throws(() => { for (;;) taken.push(fs.openSync('/dev/null')); }, { code: 'EMFILE' });
    let refused = 0;
    let broker = null;
    while (broker === null) {
      const attempt = new Broker({ exportEnv: false, secret: null });
      try {
        attempt.startSync();
        broker = attempt;
      } catch (error) {
        assert.match(error.message + error.cause?.message, /too many open files/);
        refused++;
        fs.closeSync(taken.pop());
      }
    }
    assert.ok(refused >= 4, refused + ' refusals');
    for (const fd of taken) fs.closeSync(fd);
    const client = broker.client();
    await client.set('k', 'v', 600000);
    assert.equal(client.getSync('k'), 'v');
    client.close();
    await broker.stop();
  `,
    );
    assert.deepEqual(ended, DONE);
  },
);

test('a connection that is there needs no more descriptors', posix, async (t) => {
  const broker = startBroker(t, { secret: SECRET });
  const ended = await runLimited(
    'ulimit -n 64',
    `
    const [client, other] = [new PipeClient(), new PipeClient()];
    // Neither had to wait in the event loop yet.
    for (const one of [client, other]) {
      assert.throws(() => one.getSync('absent'), { code: 'not_found' });
    }
    const taken = [];
    assert.throws(() => { for (;;) taken.push(fs.openSync('/dev/null')); }, { code: 'EMFILE' });
    const waiting = client.waitFor('later');
    await client.ping();
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    await other.set('later', 'come', 600000);
    assert.equal(await waiting, 'come');
    for (const fd of taken) fs.closeSync(fd);
    client.close();
    other.close();
  `,
    broker.env(),
  );
  assert.deepEqual(ended, DONE);
});

test('a client without descriptors connects when there is one again', posix, async (t) => {
  const broker = startBroker(t, { secret: SECRET });
  const ended = await runLimited(
    'ulimit -n 64',
    `
    const client = new PipeClient();
    const other = new PipeClient(process.env.EPHEMERAL_PIPE.replace('/broker-', '//broker-'));
    await client.set('k', 'v', 600000);
    const taken = [];
    assert.throws(() => { for (;;) taken.push(fs.openSync('/dev/null')); }, { code: 'EMFILE' });
    // The connection that is there needs none.
    assert.equal(await client.get('k'), 'v');
    await assert.rejects(other.get('k', { timeout: 200 }), /EMFILE|too many open files/);
    const later = other.get('k');
    setImmediate(() => { for (const fd of taken) fs.closeSync(fd); });
    assert.equal(await later, 'v');
    client.close();
    other.close();
  `,
    broker.env(),
  );
  assert.deepEqual(ended, DONE);
});

const use = (options = {}) => `
  const given = { exportEnv: false, secret: ${JSON.stringify(SECRET)}, debug: true, log() {} };
  const broker = new Broker({ ...given, ...${JSON.stringify(options)} });
  await broker.start();
  const client = broker.client({ workerId: 'w' });
  for (let i = 0; i < 200; i++) await client.set('k' + i, Buffer.alloc(50000, i), 600000);
  for (let i = 0; i < 200; i++) assert.equal((await client.get('k' + i))[49999], i);
  const lock = await client.acquireLock('l');
  await lock.release();
  assert.equal((await client.list()).length, 200);
  await client.stats();
  client.close();
  await broker.stop();
`;

/** The command line, with a command that asks the broker for as much. */
const start = (flags) => `
  const { spawnSync } = require('node:child_process');
  const command = \`
    const client = new (require(${JSON.stringify(ROOT)}).PipeClient)();
    const value = Buffer.alloc(50000, 1);
    const all = (call) => Promise.all(Array.from({ length: 200 }, (_, i) => call('k' + i)));
    all((key) => client.set(key, value, 600000)).then(() => all((key) => client.get(key)))
      .then((values) => console.log(values.every((read) => value.equals(read))));\`;
  const started = ['start', '--debug', ...${JSON.stringify(flags)}, '--', process.execPath, '-e', command];
  const { status, stdout } = spawnSync(process.execPath, [${JSON.stringify(BIN)}, ...started]);
  assert.deepEqual([status, String(stdout)], [0, 'true\\n']);
`;

// Writing to a file would end the process (SIGXFSZ). The lock of a fixed name is an empty one.
for (const [what, script] of [
  ['a broker', use()],
  ['one with a fixed name', use({ pipeId: 'limits' })],
  ['start', start([])],
  ['start with a fixed name', start(['--pipe-id', 'limits'])],
]) {
  test(`no disk is needed by ${what}: no file may grow by a byte`, posix, async (t) => {
    const env = { TMPDIR: temporaryDirectory(t) };
    assert.deepEqual(await runLimited('ulimit -f 0', script, env), DONE);
    assert.deepEqual(fs.readdirSync(env.TMPDIR), []);
  });
}

test('a file system without space will do; without inodes it is named', mounts, async () => {
  // No other place for the socket is left.
  const env = { TMPDIR: '/tmp', XDG_RUNTIME_DIR: undefined };
  const mount = 'mount -t tmpfs -o size=64k,nr_inodes=16 none /tmp';
  const ended = await runLimited(
    mount,
    `
    const { TMPDIR } = process.env;
    const space = fs.openSync(TMPDIR + '/space', 'a');
    assert.throws(() => { for (;;) fs.writeSync(space, Buffer.alloc(4096)); }, { code: 'ENOSPC' });
    for (const options of [{}, { pipeId: 'limits' }]) {
      const broker = new Broker({ exportEnv: false, secret: null, ...options });
      broker.startSync();
      const client = broker.client();
      await client.set('k', 'v', 600000);
      assert.equal(await client.get('k'), 'v');
      client.close();
      await broker.stop();
    }

    const names = [];
    assert.throws(() => {
      for (;;) {
        fs.closeSync(fs.openSync(TMPDIR + '/' + names.length, 'w'));
        names.push(String(names.length));
      }
    }, { code: 'ENOSPC' });
    for (const options of [{}, { pipeId: 'limits' }]) {
      let refused = 0;
      for (let up = false; !up; ) {
        const broker = new Broker({ exportEnv: false, secret: null, ...options });
        try {
          broker.startSync();
          up = true;
        } catch (error) {
          assert.equal(error.cause.code, 'ENOSPC');
          assert.match(error.message, /no space left on device.*TMPDIR.*inode/);
          refused++;
          assert.deepEqual(fs.readdirSync(TMPDIR).sort(), [...names, 'space'].sort());
          fs.unlinkSync(TMPDIR + '/' + names.pop());
        }
        await broker.stop();
      }
      assert.ok(refused > 0, 'it was refused');
      assert.deepEqual(fs.readdirSync(TMPDIR).sort(), [...names, 'space'].sort());
    }
  `,
    env,
    MOUNTS,
  );
  assert.deepEqual(ended, DONE);
});

test('no regular file is opened to write', only, async (t) => {
  const file = path.join(temporaryDirectory(t), 'file');
  const ended = await runAmongFaults(
    `${use()}
    assert.throws(() => fault('wrote'), { code: 'ENOENT' });
    // It would be noticed.
    fs.closeSync(fs.openSync(process.env.SOME_FILE, 'a'));
    fault('wrote');
  `,
    { env: { SOME_FILE: file } },
  );
  assert.deepEqual(ended, DONE);
});

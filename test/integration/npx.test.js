/**
 * Under npx and npm run: statuses and signals come through, and nobody outlives them.
 */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { describe, it } = require('node:test');
const {
  BIN,
  ROOT,
  hasEnded,
  launch,
  leftovers,
  scratch,
  untilEnded,
  victim,
  victimReady,
} = require('../helpers/cli.js');
const { KEYS, Terminal } = require('../helpers/pty.js');

const quoted = (words) => words.map((word) => `'${word}'`).join(' ');

/** A project that has the package linked, as `npm install --install-links=false` leaves it. */
function project(t, script) {
  const folder = scratch(t);
  const modules = path.join(folder, 'node_modules');
  fs.mkdirSync(path.join(modules, '.bin'), { recursive: true });
  fs.symlinkSync(ROOT, path.join(modules, 'ephemeral-pipe-broker'));
  const bin = path.join('../ephemeral-pipe-broker', path.relative(ROOT, BIN));
  for (const name of ['epb', 'ephemeral-pipe-broker']) {
    fs.symlinkSync(bin, path.join(modules, '.bin', name));
  }
  const manifest = { name: 'a-project', version: '1.0.0', scripts: { go: script } };
  fs.writeFileSync(path.join(folder, 'package.json'), JSON.stringify(manifest));
  fs.mkdirSync(path.join(folder, 'tmp'));
  return folder;
}

function environment(folder) {
  return {
    TMPDIR: path.join(folder, 'tmp'),
    HOME: folder,
    npm_config_cache: path.join(folder, 'cache'),
    npm_config_update_notifier: 'false',
    npm_config_offline: 'true',
  };
}

const WAYS = {
  'npm run': (command) => ({ file: 'npm', args: ['run', '--silent', 'go'], script: command }),
  npx: (command, words) => ({ file: 'npx', args: words, script: 'true' }),
};

/** How to start `epb start -- WORDS` in this way. */
function prepare(t, way, words) {
  const whole = ['epb', 'start', '--', ...words];
  const { file, args, script } = WAYS[way](quoted(whole), whole);
  const folder = project(t, script);
  return { file, args, cwd: folder, env: environment(folder), folder };
}

function start(t, way, words) {
  const { file, args, folder, ...options } = prepare(t, way, words);
  const running = launch(file, args, { ...options, detached: true });
  t.after(() => killGroup(running.pid));
  return { running, folder };
}

/** Whatever a failed test leaves; the group is gone after one that passed. */
function killGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

const left = (folder) => leftovers(path.join(folder, 'tmp'));

for (const way of Object.keys(WAYS)) {
  describe(`under ${way}`, { skip: process.platform === 'win32' }, () => {
    for (const status of [0, 7]) {
      it(`status ${status} comes through`, async (t) => {
        const { running, folder } = start(t, way, ['sh', '-c', `echo out; exit ${status}`]);
        const { code, stdout } = await running.result();
        assert.deepEqual({ code, stdout }, { code: status, stdout: 'out\n' });
        assert.deepEqual(left(folder), []);
      });
    }

    it('127 comes through', async (t) => {
      const { code, stderr } = await start(t, way, ['no-such-command']).running.result();
      assert.equal(code, 127);
      assert.match(stderr, /"no-such-command": command not found/);
    });

    it('TERM to it ends the command', async (t) => {
      const { running, folder } = start(t, way, victim('heed=SIGTERM:5'));
      const { pid, broker } = await victimReady(running);
      running.child.kill('SIGTERM');
      await running.sees(/signal SIGTERM/);
      await running.closed;
      await untilEnded(pid);
      await untilEnded(broker);
      assert.deepEqual(left(folder), []);
    });

    it('INT to its whole group, without a terminal, reaches the command', async (t) => {
      const { running, folder } = start(t, way, victim('ignore=SIGINT', 'heed=SIGUSR1:5'));
      const { pid, broker, group } = await victimReady(running);
      assert.equal(group, running.pid);
      process.kill(-running.pid, 'SIGINT');
      await running.sees(/signal SIGINT/);
      process.kill(pid, 'SIGUSR1');
      await running.sees(/signal SIGUSR1/);
      await untilEnded(broker);
      assert.deepEqual(left(folder), []);
    });

    it(
      'its death by KILL ends the broker and the command',
      { skip: process.platform !== 'linux' },
      async (t) => {
        const { running, folder } = start(t, way, victim('heed=SIGTERM:0'));
        const { pid, broker } = await victimReady(running);
        running.child.kill('SIGKILL');
        await running.sees(/signal SIGTERM/);
        await untilEnded(pid);
        await untilEnded(broker);
        assert.deepEqual(left(folder), []);
      },
    );

    it('Ctrl-C on a terminal reaches the command and ends everything', async (t) => {
      const { file, args, cwd, env, folder } = prepare(t, way, victim('heed=SIGINT:5'));
      const terminal = new Terminal([file, ...args], { cwd, env });
      const { pid, broker, isTTY } = await victimReady(terminal);
      assert.deepEqual(isTTY, [true, true, true]);
      terminal.type(KEYS.CTRL_C);
      await terminal.sees(/signal SIGINT/);
      await terminal.closed;
      await untilEnded(pid);
      await untilEnded(broker);
      assert.deepEqual(left(folder), []);
    });

    it('a command lives through its Ctrl-C, whatever is above it', async (t) => {
      const { file, args, cwd, env } = prepare(t, way, victim('ignore=SIGINT', 'heed=SIGUSR1:0'));
      const terminal = new Terminal([file, ...args], { cwd, env });
      const { pid, broker } = await victimReady(terminal);
      t.after(() => !hasEnded(pid) && process.kill(pid, 'SIGKILL'));
      terminal.type(KEYS.CTRL_C);
      await terminal.sees(/signal SIGINT/);
      process.kill(pid, 'SIGUSR1');
      await terminal.sees(/signal SIGUSR1/);
      await untilEnded(broker);
    });
  });
}

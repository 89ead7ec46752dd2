/**
 * Whatever is killed of a run, in whatever order and whenever: the command, its companion, the parent of both.
 * At the end there is no process, no name and no lease. EPB_KILLS changes the number of rounds (scripts/kills).
 */
'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const { once } = require('node:events');
const { describe, it } = require('node:test');
const { setTimeout: pause } = require('node:timers/promises');
const { PROGRAM, cleanEnv, runCli, scratch, standalone, until } = require('../helpers/cli.js');
const { dice } = require('../helpers/dice.js');
const { PipeClient } = require('../../lib/index.js');

const ROUNDS = Number(process.env.EPB_KILLS ?? 12);
const ROLES = ['command', 'companion', 'parent'];
const STARTED_WITHIN_MS = 30;
const NEXT_KILL_WITHIN_MS = 4;

/** The command waits for the end of its standard input. */
const COMMAND = ['sh', '-c', 'read line'];
const WAYS = {
  start: ['start', '--grace', '10ms'],
  lock: ['lock', 'lock', '--wait', '1m', '--grace', '10ms'],
  lease: ['lease', 'pool', '--wait', '1m', '--grace', '10ms'],
};

/** The processes with the mark in their arguments; a zombie has none. */
function scan(mark) {
  const found = [];
  for (const name of fs.readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const args = fs.readFileSync(`/proc/${name}/cmdline`, 'latin1').split('\0');
      if (!args.includes(mark)) continue;
      const stat = fs.readFileSync(`/proc/${name}/stat`, 'latin1');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 4).split(' ')[0]);
      found.push({ pid: Number(name), parent, args });
    } catch {
      // It has ended.
    }
  }
  return found;
}

class Run {
  /** @param {string[]} words  of the program, before the command */
  constructor(words, { mark, env, hasManager }) {
    this.mark = mark;
    this.hasManager = hasManager;
    this.killed = new Set();
    const script = ['-c', '"$@"; :', 'sh', PROGRAM, ...words, '--', ...COMMAND, mark];
    // By its name a package manager is known.
    const argv0 = hasManager ? 'npx' : 'sh';
    const stdio = ['pipe', 'ignore', 'ignore'];
    this.child = spawn('/bin/sh', script, { argv0, env: cleanEnv(env), stdio });
    this.child.stdin.on('error', () => {});
    this.exited = once(this.child, 'exit');
  }

  look() {
    const others = scan(this.mark).filter(({ pid }) => pid !== this.child.pid);
    this.command ??= others.find(({ parent }) => parent === this.child.pid)?.pid;
    const companion = others.find(
      ({ pid, args, parent }) =>
        args[0] === PROGRAM && pid !== this.command && parent !== this.command,
    );
    return {
      command: others.find(({ pid }) => pid === this.command),
      companion,
      parent: this.child.exitCode === null ? { pid: this.child.pid } : undefined,
    };
  }

  /** Whether the command runs, which it does once its companion is ready. */
  get runs() {
    return this.look().command?.args[0] === COMMAND[0];
  }

  kill(role) {
    const process_ = this.look()[role];
    if (!process_) return;
    this.killed.add(role);
    try {
      process.kill(process_.pid, 'SIGKILL');
    } catch (error) {
      assert.equal(error.code, 'ESRCH');
    }
  }

  async end() {
    const { killed } = this;
    const mustEnd =
      this.ran &&
      (killed.has('command') ||
        (this.hasManager && killed.has('parent') && !killed.has('companion')));
    if (!mustEnd) this.child.stdin.end();
    await until(
      () => scan(this.mark).length === 0,
      () => `nothing should run: ${JSON.stringify([this, scan(this.mark)])}`,
    );
    this.child.stdin.end();
    await this.exited;
  }
}

/** One run, and kills of some of its processes. */
async function round(random, way, { mark, env }) {
  const run = new Run(WAYS[way], { mark, env, hasManager: random.oneIn(2) });
  const roles = [...ROLES];
  const order = random.times(1 + random.below(3), () =>
    roles.splice(random.below(roles.length), 1),
  );
  if (random.oneIn(2)) await until(() => run.runs, 'the command should run');
  else await pause(random.below(STARTED_WITHIN_MS));
  run.ran = run.runs;
  for (const [role] of order) {
    run.kill(role);
    if (random.oneIn(2)) await pause(random.below(NEXT_KILL_WITHIN_MS));
  }
  await run.end();
  return run;
}

/**
 * A killed broker's names stay until the next start after its end. The kernel empties the arguments of a killed
 * process before it closes the files, so a start may still find the lock held.
 */
async function assertNoNames(folder, killed) {
  const names = () => fs.readdirSync(folder);
  const start = () => runCli(['start', '--', 'true'], { env: { TMPDIR: folder } });
  await until(
    async () => {
      if (killed.has('companion')) assert.equal((await start()).code, 0);
      return names().length === 0;
    },
    () => `no name should stay: ${names()}`,
  );
}

describe('after kills in any order', { skip: process.platform !== 'linux' }, () => {
  it('of start, nothing is left', async (t) => {
    const random = dice(t);
    const folder = scratch(t);
    for (let i = 0; i < ROUNDS; i++) {
      const { killed } = await round(random, 'start', {
        mark: `kill-${process.pid}-${i}`,
        env: { TMPDIR: folder },
      });
      await assertNoNames(folder, killed);
    }
  });

  for (const way of ['lock', 'lease']) {
    it(`of ${way}, nothing is left, and the next one has it`, async (t) => {
      const random = dice(t);
      const { env, folder } = await standalone(t);
      const client = new PipeClient(env.EPHEMERAL_PIPE, { secret: env.EPHEMERAL_SECRET });
      t.after(() => client.close());
      await client.pool('pool', ['account']);
      const names = fs.readdirSync(folder);
      for (let i = 0; i < ROUNDS; i++) {
        await round(random, way, { mark: `${way}-${process.pid}-${i}`, env });
        await until(async () => (await client.leases()).length === 0, 'it should be free');
      }
      assert.deepEqual(fs.readdirSync(folder), names);
    });
  }
});

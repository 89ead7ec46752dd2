/**
 * Runs the command line for the tests: as a child with pipes, in a separate environment and a separate
 * temporary directory, so that files left behind can be counted.
 */
'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { setTimeout: pause } = require('node:timers/promises');
const { withoutLockNotice } = require('./lock_notice.js');
const { TimeLimit } = require('./time_limits.js');

const ROOT = path.join(__dirname, '..', '..');
const BIN = path.join(ROOT, 'bin', 'ephemeral-pipe-broker.js');
const VICTIM = path.join(__dirname, 'victim.js');

const POLL_MS = 10;

/**
 * The environment without the variables that a broker around the tests, or npm, may have set.
 *
 * @param {Record<string, string | undefined>} extra
 */
function cleanEnv(extra = {}) {
  const kept = Object.entries(process.env).filter(
    ([name]) =>
      !/^(EPHEMERAL_|BROKER_|CLIENT_|npm_|NODE_OPTIONS|NODE_TEST|JEST_)/i.test(name) &&
      !/(_|^)(WORKER_ID|POOL_ID|PARALLEL_INDEX)$/.test(name),
  );
  // On a slow machine a test must not fail by a timeout, unless timeouts are its subject.
  const env = { CLIENT_TIMEOUT: '120s', ...Object.fromEntries(kept), ...extra };
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined));
}

/** An empty directory, removed after the test. */
function scratch(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'epb-test-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The files that brokers left in their temporary directory. */
function leftovers(folder) {
  return fs.readdirSync(folder).filter((name) => name.includes('broker'));
}

/** The state of a process in /proc (R, S, T, Z ...), or undefined if there is no such process. */
function processState(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2)[0];
  } catch {
    return undefined;
  }
}

/** A zombie has ended; it only waits to be reaped. */
function hasEnded(pid) {
  const state = processState(pid);
  return state === undefined || state === 'Z' || state === 'X';
}

async function until(condition, what) {
  const limit = new TimeLimit();
  for (;;) {
    const result = await condition();
    if (result) return result;
    if (limit.over) {
      assert.fail(`it never came: ${typeof what === 'function' ? what() : what}`);
    }
    await pause(POLL_MS);
  }
}

const untilEnded = (pid) => until(() => hasEnded(pid), `process ${pid} should end`);

/** A child whose output can be waited for. */
class Running {
  constructor(child) {
    this.child = child;
    this.pid = child.pid;
    this.stdout = '';
    this.stderr = '';
    child.stdout?.setEncoding('utf8').on('data', (text) => (this.stdout += text));
    child.stderr?.setEncoding('utf8').on('data', (text) => (this.stderr += text));
    this.closed = new Promise((resolve) => {
      child.on('error', (error) => resolve({ error }));
      child.on('close', (code, signal) => resolve({ code, signal }));
    });
    this.exited = new Promise((resolve) => {
      child.on('exit', (code, signal) => resolve({ code, signal }));
    });
  }

  /** Resolves the match of a pattern in the past or future output. */
  async sees(pattern, stream = 'stdout') {
    let ended = false;
    const missing = () => `${pattern} in ${stream}\n${this.stdout}\n${this.stderr}`;
    void this.closed.then(() => (ended = true));
    return until(() => {
      const match = pattern.exec(this[stream]);
      if (!match && ended) assert.fail(`ended without ${missing()}`);
      return match;
    }, missing);
  }

  /** Resolves the status and the whole output at the end. */
  async result() {
    const { code, signal, error } = await this.closed;
    if (error) throw error;
    return { code, signal, stdout: this.stdout, stderr: withoutLockNotice(this.stderr) };
  }
}

/**
 * @param {string} file
 * @param {string[]} args
 * @param {{ env?: object, cwd?: string, input?: string | Buffer | null, stdio?: any,
 *   detached?: boolean, uid?: number }} options  input: null leaves stdin open; detached: in a separate
 *   process group, as a shell starts a job; uid: the user and the group that root switches to
 */
function launch(file, args, { env = {}, cwd, input, stdio = 'pipe', detached = false, uid } = {}) {
  const child = spawn(file, args, { env: cleanEnv(env), cwd, stdio, detached, uid, gid: uid });
  child.stdin?.on('error', () => {});
  if (input !== null) child.stdin?.end(input);
  return new Running(child);
}

const PROGRAM = path.join(ROOT, 'build', 'Release', 'epb');
let isDirect = false;

/** From now on, this file's tests run the program without Node's script in front. */
const runDirectly = () => (isDirect = true);

/** The words that run the program. */
const programOf = () => (isDirect ? [PROGRAM] : [process.execPath, BIN]);

/** Starts `ephemeral-pipe-broker ARGS`. */
function launchCli(args, options) {
  const [file, ...first] = programOf();
  return launch(file, [...first, ...args], options);
}

/** Runs `ephemeral-pipe-broker ARGS` and waits for its end. */
const runCli = (args, options) => launchCli(args, options).result();

/** The arguments that make `start` run the victim with this behaviour. */
const victim = (...behaviour) => [process.execPath, VICTIM, ...behaviour];

/** Waits for the victim's first line. */
async function victimReady(running, stream = 'stdout') {
  const [, text] = await running.sees(/ready (\{.*\})$/m, stream);
  return JSON.parse(text);
}

/** A broker that runs until the test ends, with the environment variables to reach it. */
async function standalone(t, args = [], env = {}) {
  const folder = scratch(t);
  const running = launchCli(['start', ...args], { env: { TMPDIR: folder, ...env } });
  t.after(async () => {
    running.child.kill('SIGTERM');
    await running.closed;
  });
  const lines = args.includes('--no-auth') ? 1 : 2;
  await running.sees(new RegExp(`^(?:export .*\\n){${lines}}`));
  const variables = [...running.stdout.matchAll(/^export (\w+)='(.*)'$/gm)];
  return {
    running,
    folder,
    env: Object.fromEntries(variables.map(([, name, value]) => [name, value])),
  };
}

module.exports = {
  BIN,
  PROGRAM,
  ROOT,
  Running,
  standalone,
  cleanEnv,
  hasEnded,
  launch,
  launchCli,
  leftovers,
  processState,
  programOf,
  runCli,
  scratch,
  until,
  untilEnded,
  runDirectly,
  victim,
  victimReady,
};

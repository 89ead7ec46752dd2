/**
 * The command behind `--`, of `start` and of `lock`: runs it, and makes its end ours.
 *
 * The order at the end is fixed: the command has ended, what was made for it is undone, and only
 * then do we exit, with the command's status.
 */
'use strict';

const fs = require('node:fs');
const { rowsOf } = require('../options.js');

const FAILED = 125;
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;
const SIGNAL_BASE = 128;

/** Deaths that we die ourselves, so that a shell or npm above sees what happened. */
const RE_RAISED = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);

/** Failures to start a command that are not the command's fault. */
const OUR_SHORTAGE = new Set(['EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE', 'internal']);

/** How long the command has to end when nothing else is said. */
const DEFAULT_GRACE = rowsOf(['start']).find(({ name }) => name === 'grace')?.default;

/**
 * @typedef {object} Front  what the command line's front door provides
 * @property {(line: string) => void} complain
 * @property {(error: any, how: { status: number, debug?: boolean }) => never} fail
 *
 * @typedef {(event: string, fields: object) => void} Log
 *
 * @typedef {object} Run
 * @property {string[]} command
 * @property {Record<string, string | undefined>} env
 * @property {number} [graceMs]
 * @property {boolean} debug  show the stack of a fault of ours
 * @property {Log} [log]
 * @property {Front} front
 * @property {() => void | Promise<void>} stop  undoes what was made for the command
 */

/**
 * @param {any} error
 * @param {string} file
 * @returns {{ status: number, message: string }}
 */
function explainSpawnFailure(error, file) {
  const name = JSON.stringify(file);
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') {
    const hint = /\s/.test(file)
      ? 'give the command and its arguments as separate words, or use: -- sh -c "..."'
      : 'check the spelling; a command of an installed package needs npx in front';
    return { status: NOT_FOUND, message: `${name}: command not found; ${hint}` };
  }
  if (OUR_SHORTAGE.has(error.code)) {
    return { status: FAILED, message: `${name}: no new process can be made (${error.code})` };
  }
  const hint = error.code === 'EACCES' ? '; is it a program, and chmod +x?' : '';
  return {
    status: NOT_EXECUTABLE,
    message: `${name}: it can't be executed (${error.code})${hint}`,
  };
}

/**
 * The command's end becomes ours.
 *
 * @param {{ code: number | null, signal: number | null }} outcome
 * @returns {void}
 */
function exitLike({ code, signal }) {
  if (signal === null) process.exit(code ?? FAILED);
  // Loaded only now, as in supervisor.js: half a millisecond that few commands need.
  const { signals } = require('node:os').constants;
  const name = RE_RAISED.find((candidate) => signals[candidate] === signal);
  if (name !== undefined && process.platform !== 'win32') {
    process.kill(process.pid, name);
    // Not reached before the signal has had its effect, unless somebody blocks it.
    setTimeout(() => process.exit(SIGNAL_BASE + signal), 100);
    return;
  }
  process.exit(SIGNAL_BASE + signal);
}

/**
 * @param {boolean} debug
 * @returns {Log}
 */
function makeLog(debug) {
  if (!debug) return () => {};
  return (event, fields) => {
    const record = { time: Date.now(), level: 'debug', event, ...fields };
    try {
      fs.writeSync(2, `${JSON.stringify(record)}\n`);
    } catch {
      // A log nobody takes must not end the run.
    }
  };
}

/**
 * Tells when the package manager above us dies, so that we end and leave nobody behind.
 *
 * @param {any} binding
 * @param {boolean} whole  watch everything between us and it too, such as npm's shell; without a
 *   command these come and go (a shell's "$( ... & )"), so only the package managers count then
 * @param {() => void} onDeath
 */
function watchAbove(binding, whole, onDeath) {
  if (process.platform === 'win32') return;
  const { managedChain, stillStands } = require('./ancestors.js');
  const chain = managedChain();
  const pids = chain.filter(({ manager }) => whole || manager).map(({ pid }) => pid);
  if (pids.length === 0) return;
  binding.watchAncestors(pids, onDeath);
  if (whole && !stillStands(chain)) onDeath();
}

/**
 * Runs the command until it ends, then ends us.
 *
 * @param {Run} run
 * @returns {{ end: (reason: string) => void, fail: (reason: string, message: string) => void }}
 *   end: asks the command to end, as TERM does; fail: does so, says why, and makes our status 125
 */
function runCommand({ command, env, graceMs = DEFAULT_GRACE, debug, log, front, stop }) {
  const { Supervisor } = require('./supervisor.js');
  const binding = require('../binding.js').load();
  const supervisor = new Supervisor({ binding, graceMs, log: log ?? makeLog(false) });
  let failed = false;
  const finish = async (/** @type {() => void} */ last) => {
    try {
      await stop();
    } finally {
      supervisor.release();
      last();
    }
  };
  const end = (/** @type {string} */ reason) => supervisor.end(reason);
  const fail = (/** @type {string} */ reason, /** @type {string} */ message) => {
    front.complain(message);
    failed = true;
    end(reason);
  };
  // A fault of ours: the command is asked to end, and we still end after it.
  process.on('uncaughtException', (error) =>
    fail('fault', `internal error: ${debug ? error.stack : error.message}`),
  );
  try {
    supervisor.start(command, env, (outcome) => {
      void finish(() => (failed ? process.exit(FAILED) : exitLike(outcome)));
    });
  } catch (error) {
    const { status, message } = explainSpawnFailure(error, command[0]);
    void finish(() => front.fail(new Error(message), { status }));
  }
  return { end, fail };
}

module.exports = { FAILED, makeLog, runCommand, watchAbove };

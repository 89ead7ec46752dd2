/**
 * Runs one command and stands between it and the signals that reach us.
 *
 * Two situations, told apart by whether a terminal is there:
 * - With a terminal the command shares our process group, because only the foreground group may
 *   read the terminal. What is typed (Ctrl-C, Ctrl-\, Ctrl-Z) the terminal sends to both of us,
 *   so INT and QUIT are not passed on; TERM, HUP, USR1 and USR2 come by kill(2), to us alone.
 * - Without one the command leads a group of its own, and every signal goes to that whole group.
 *
 * After TERM or HUP, the death of the package manager above us, or a failure of ours, the command
 * has `graceMs` to end, then it gets KILL. The third INT kills at once. We only ever end after it.
 *
 * Invariant: nothing here sends a signal to our own group.
 */
'use strict';

const fs = require('node:fs');

const { O_RDONLY, O_NOCTTY, O_NONBLOCK } = fs.constants;

/** @type {('SIGINT'|'SIGTERM'|'SIGHUP'|'SIGQUIT'|'SIGUSR1'|'SIGUSR2')[]} */
const PASSED_ON = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'];

/** What the terminal itself sends to everybody in the foreground. */
const TYPED = new Set(['SIGINT', 'SIGQUIT']);

/** What asks the command to end, and so starts the grace period. */
const ENDING = new Set(['SIGTERM', 'SIGHUP']);

/**
 * One Ctrl-C can reach us several times: from the terminal and from npm, which passes on what it
 * got from the same terminal. Copies come within a few milliseconds, fingers do not.
 */
const SAME_PRESS_MS = 200;

/** So many presses mean "now". */
const PRESSES_TO_KILL = 3;

/** Whether there is a terminal whose keys send signals to our session. */
function controllingTerminal() {
  try {
    fs.closeSync(fs.openSync('/dev/tty', O_RDONLY | O_NOCTTY | O_NONBLOCK));
    return true;
  } catch {
    return false;
  }
}

/**
 * Whether the command has a terminal to read from: one of the standard streams is a terminal, and
 * our session has one that controls it (a terminal that is merely open sends no signals).
 */
function hasTerminal() {
  if (process.platform === 'win32' || !controllingTerminal()) return false;
  // Loaded only now: it brings all of Node's streams with it.
  const { isatty } = require('node:tty');
  return isatty(0) || isatty(1) || isatty(2);
}

/**
 * @typedef {object} Outcome
 * @property {number | null} code
 * @property {number | null} signal
 */

class Supervisor {
  /** @type {number | undefined} */ #pid;
  /** @type {NodeJS.Timeout | undefined} */ #grace;
  #presses = 0;
  #lastPress = -Infinity;

  /**
   * @param {object} how
   * @param {any} how.binding  spawns, signals and watches
   * @param {number} how.graceMs
   * @param {(event: string, fields: object) => void} how.log
   * @param {() => number} [how.now]  milliseconds of a clock that only goes forward
   */
  constructor({ binding, graceMs, log, now = () => performance.now() }) {
    this.binding = binding;
    this.graceMs = graceMs;
    this.log = log;
    this.now = now;
    this.ownGroup = !hasTerminal();
  }

  /**
   * Starts the command. Throws what the system said when there is no such command.
   *
   * @param {string[]} command
   * @param {Record<string, string | undefined>} env
   * @param {(outcome: Outcome) => void} onEnd
   */
  start([file, ...args], env, onEnd) {
    for (const name of PASSED_ON) process.on(name, () => this.#onSignal(name));
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const settled = (/** @type {number|null} */ code, /** @type {number|null} */ signal) => {
      clearTimeout(this.#grace);
      this.#pid = undefined;
      this.log('command_ended', { code, signal });
      onEnd({ code, signal });
    };
    this.#pid = this.binding.spawn(file, args, variables, { newGroup: this.ownGroup }, settled);
    this.log('command_started', { pid: this.#pid, ownGroup: this.ownGroup });
  }

  /**
   * Asks the command to end, as a TERM from outside would.
   *
   * @param {string} reason
   */
  end(reason) {
    this.log('ending', { reason });
    if (this.#grace === undefined) this.#terminate('SIGTERM');
  }

  /** Lets signals have their default effect on us again. */
  release() {
    for (const name of PASSED_ON) process.removeAllListeners(name);
  }

  /**
   * @param {'SIGINT'|'SIGTERM'|'SIGHUP'|'SIGQUIT'|'SIGUSR1'|'SIGUSR2'} name
   */
  #onSignal(name) {
    this.log('signal', { name });
    if (name === 'SIGINT' && !this.#countPress()) return;
    if (ENDING.has(name)) {
      this.#terminate(name);
    } else if (this.ownGroup || !TYPED.has(name)) {
      this.#send(name);
    }
  }

  /**
   * @returns {boolean} whether this INT is to be acted upon
   */
  #countPress() {
    const now = this.now();
    if (now - this.#lastPress < SAME_PRESS_MS) return false;
    this.#lastPress = now;
    this.#presses++;
    if (this.#presses < PRESSES_TO_KILL) return true;
    this.#send('SIGKILL');
    return false;
  }

  /**
   * @param {NodeJS.Signals} name
   */
  #terminate(name) {
    this.#send(name);
    this.#grace ??= setTimeout(() => this.#send('SIGKILL'), this.graceMs);
  }

  /**
   * @param {NodeJS.Signals} name
   */
  #send(name) {
    if (this.#pid === undefined) return;
    const number = require('node:os').constants.signals[name];
    try {
      this.binding.kill(this.#pid, this.ownGroup, number);
    } catch (/** @type {any} */ error) {
      // It has ended already (its outcome is on its way), or it belongs to somebody else now.
      this.log('signal_failed', { name, error: error.code });
    }
  }
}

module.exports = { Supervisor, controllingTerminal };

/**
 * `start` without a command: a broker that runs until INT or TERM.
 *
 * It prints what a shell needs to reach it and then must get out of the shell's way:
 * `eval "$(epb start --print-env &)"` ends only when nobody holds the pipe behind `$(...)` open
 * any more, so the output is handed over to /dev/null once the lines are out.
 */
'use strict';

const fs = require('node:fs');
const tty = require('node:tty');

const STDOUT = 1;
const STDERR = 2;

/** How long to leave a full, non-blocking standard output alone before trying again. */
const RETRY_MS = 5;

/**
 * A word for a POSIX shell: within single quotes everything is literal but the quote itself.
 *
 * @param {string} text
 */
function shellQuote(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * @param {{ pipe: string, secret: string | null, printEnv: boolean }} what
 */
function exportLines({ pipe, secret, printEnv }) {
  const variables = [['EPHEMERAL_PIPE', pipe]];
  if (secret !== null) variables.push(['EPHEMERAL_SECRET', secret]);
  if (printEnv) variables.push(['EPHEMERAL_BROKER_PID', String(process.pid)]);
  return variables.map(([name, value]) => `export ${name}=${shellQuote(value)}\n`).join('');
}

/**
 * Writes everything before it returns. A reader that has gone is none of our business: the broker
 * can be used without the lines.
 *
 * @param {string} text
 */
function writeAll(text) {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(fs.writeSync(STDOUT, rest));
    } catch (/** @type {any} */ error) {
      if (error.code !== 'EAGAIN') return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }
}

/**
 * Whether INT comes from somebody who means us. In "$( ... & )" we are left behind in the process
 * group of an interactive shell, and a Ctrl-C at its prompt is for something else: a shell makes
 * such a job ignore INT and QUIT, but Node undoes that when it starts. So with the lines captured
 * by a shell, and a terminal to press Ctrl-C on, only TERM and HUP end the broker.
 *
 * @param {boolean} captured
 */
function heedsTyping(captured) {
  return !(captured && require('./supervisor.js').controllingTerminal());
}

/**
 * @param {object} run
 * @param {any} run.broker  started
 * @param {string | null} run.secret
 * @param {boolean} run.printEnv
 * @param {boolean} run.debug
 * @param {(binding: any, whole: boolean, onDeath: () => void) => void} run.watchAbove
 * @param {(error: Error) => void} run.onFault
 */
function runStandalone({ broker, secret, printEnv, debug, watchAbove, onFault }) {
  let ending = false;
  const end = () => {
    // Asked a second time, or by an impatient Ctrl-C: no waiting for requests in progress.
    if (ending) process.exit(0);
    ending = true;
    broker.stop().finally(() => process.exit(0));
  };
  const ignore = () => {};
  const onTyped = heedsTyping(printEnv && !tty.isatty(STDOUT)) ? end : ignore;
  process.on('SIGINT', onTyped).on('SIGQUIT', onTyped).on('SIGTERM', end).on('SIGHUP', end);
  process.on('uncaughtException', onFault);
  process.on('SIGUSR1', ignore).on('SIGUSR2', ignore);

  writeAll(exportLines({ pipe: broker.pipe, secret, printEnv }));
  const binding = require('../binding.js').load();
  if (!tty.isatty(STDOUT)) binding.discard(STDOUT);
  if (printEnv && !debug) binding.discard(STDERR);
  watchAbove(binding, false, end);
}

module.exports = { runStandalone };

/**
 * The command line's front door: picks the command and turns failures into one line and a status.
 *
 * `start` is on the way of every test run, so nothing that it does not need is loaded for it:
 * the client commands, their output and the help texts are required when they are asked for.
 */
'use strict';

const { UsageError } = require('./errors.js');

const PROGRAM = 'ephemeral-pipe-broker';

/** Exit statuses of `start`'s own failures and of wrong use of the other commands. */
const START_FAILED = 125;
const WRONG_USE = 2;

/**
 * @param {string} line
 */
function complain(line) {
  // Not console.error: it loads the streams of process.stderr, and throws when stderr is closed.
  try {
    require('node:fs').writeSync(2, `${PROGRAM}: ${line}\n`);
  } catch {
    // Nobody is listening; the exit status says the rest.
  }
}

/**
 * Reports a failure and ends the process.
 *
 * @param {any} error
 * @param {{ status: number, debug?: boolean }} how
 * @returns {never}
 */
function fail(error, { status, debug = false }) {
  complain(String(error?.message ?? error).replace(/\s*\n\s*/g, ' '));
  if (debug && error?.stack) complain(error.stack);
  process.exit(status);
}

/**
 * The words before `--`: what follows belongs to a command.
 *
 * @param {string[]} argv
 */
function beforeDashes(argv) {
  return argv.slice(0, argv.concat('--').indexOf('--'));
}

/**
 * @param {string[]} argv  without node and the script
 */
function startCommand(argv) {
  const ours = beforeDashes(argv);
  if (ours.includes('--help') || ours.includes('-h')) return void otherCommand('help', ['start']);
  const debug = ours.includes('--debug');
  try {
    require('./start.js').start(argv, { complain, fail });
  } catch (error) {
    fail(error, { status: START_FAILED, debug });
  }
}

/**
 * @param {string} name
 * @param {string[]} argv
 */
async function otherCommand(name, argv) {
  const debug = beforeDashes(argv).includes('--debug');
  try {
    process.exitCode = await require('./commands.js').run(name, argv, { complain, fail });
  } catch (/** @type {any} */ error) {
    const status = error instanceof UsageError ? WRONG_USE : require('./commands.js').status(error);
    fail(error, { status, debug });
  }
}

/** What only the native program has: commands, and flags of commands that both have. */
const NATIVE_COMMANDS = new Set(
  'stop once describe clear ls pipe doctor explain version binary completion'.split(' '),
);
const NATIVE_FLAGS = /^--(?:detach|env|pid|binary|no-sandbox)(?:=|$)/;

/**
 * @param {string[]} argv
 */
function needsNative(argv) {
  const ours = beforeDashes(argv);
  const runsCommand = ours[0] === 'lease' && ours.length < argv.length;
  const words = ours[0] === 'help' ? ours.slice(1) : ours;
  const [name = ''] = words;
  return runsCommand || NATIVE_COMMANDS.has(name) || words.some((word) => NATIVE_FLAGS.test(word));
}

/**
 * @param {string[]} argv  without node and the script
 */
function main(argv) {
  const [name, ...rest] = argv;
  if (needsNative(argv)) {
    require('../../bin/native.js');
  } else if (name === 'start') {
    startCommand(rest);
  } else {
    void otherCommand(name ?? '--help', rest);
  }
}

module.exports = { main };

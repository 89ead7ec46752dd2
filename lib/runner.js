/**
 * `start`: a broker for as long as one command runs, or, without a command, until INT or TERM.
 *
 * Standard output belongs to the command, and standard error too unless something is wrong: a run
 * that goes well says nothing of ours. The order at the end is fixed: the command has ended, the
 * broker is wiped and its socket unlinked, and only then do we exit, with the command's status.
 *
 * Load only what is needed here: this is on the way of every test run. The JavaScript client, in
 * particular, is loaded for `--reuse` alone.
 */
'use strict';

const fs = require('node:fs');
const { constants } = require('node:os');
const { SECRET_ENV, parseFlags, resolve, rowsOf, table } = require('./options.js');
const { UsageError } = require('./cli/errors.js');

const FAILED = 125;
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;
const SIGNAL_BASE = 128;

/** Deaths that we die ourselves, so that a shell or npm above sees what happened. */
const RE_RAISED = new Map([
  [constants.signals.SIGINT, 'SIGINT'],
  [constants.signals.SIGTERM, 'SIGTERM'],
  [constants.signals.SIGHUP, 'SIGHUP'],
]);

/** Failures to start a command that are not the command's fault. */
const OUR_SHORTAGE = new Set(['EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE', 'internal']);

/** What the child's environment gains. */
const PIPE = 'EPHEMERAL_PIPE';
const SECRET = 'EPHEMERAL_SECRET';
const BROKER_PID = 'EPHEMERAL_BROKER_PID';

/**
 * @typedef {object} Front  what the command line's front door provides
 * @property {(line: string) => void} complain
 * @property {(error: any, how: { status: number, debug?: boolean }) => never} fail
 */

/**
 * What is wrong with the words before `--`. A command there is far more likely than a stray word,
 * unless the word is what an unknown flag would have taken.
 *
 * @param {string[]} argv
 * @param {{ rest: string[], errors: string[] }} parsed
 * @returns {string | undefined}
 */
function findFault(argv, { rest, errors }) {
  if (rest.length === 0) return errors[0];
  const before = argv[argv.indexOf(rest[0]) - 1];
  const afterUnknownFlag = before !== undefined && errors[0]?.includes(` ${before}.`);
  if (afterUnknownFlag) return errors[0];
  return `put -- before the command: ephemeral-pipe-broker start -- ${rest[0]} ...`;
}

/**
 * @param {string[]} argv
 */
function parseArguments(argv) {
  const parsed = parseFlags(argv, ['broker', 'start', 'secret']);
  const fault = findFault(argv, parsed);
  if (fault !== undefined) throw new UsageError(`start: ${fault}`);
  const { command, options } = parsed;
  if (command?.length === 0 || command?.[0] === '') {
    throw new UsageError('start: there is no command after --');
  }
  if (options.reuse && !command) {
    throw new UsageError('start: --reuse needs a command: start --reuse -- command');
  }
  if (options.printEnv && command) {
    throw new UsageError('start: --print-env is for use without a command');
  }
  return { options, command };
}

/**
 * The secret of a broker of ours; null with --no-auth. The variables of clients count too, since
 * the command inherits them and must not find two secrets. Inside another `start` the inherited
 * EPHEMERAL_SECRET is that broker's, so it does not count.
 *
 * @param {Record<string, any>} options
 * @param {Front} front
 * @returns {string | null}
 */
function chooseSecret(options, { complain }) {
  const { secretFile, secretEnv, secret, auth } = options;
  const flags = { secretFile, secretEnv, secret, auth };
  if (options.authentication === false) {
    if (Object.values(flags).every((value) => value === undefined)) return null;
    throw new UsageError('start: --no-auth and a secret were given: keep one of them');
  }
  const names = new Set([...SECRET_ENV.broker, ...SECRET_ENV.client]);
  const variables = [...names].filter((name) => name !== SECRET || !process.env[PIPE]);
  const given = variables.some((name) => process.env[name] !== undefined);
  if (given || Object.values(flags).some((value) => value !== undefined)) {
    const { resolveSecret } = require('./cli/secret.js');
    return resolveSecret(flags, { variables, complain }) ?? null;
  }
  return require('./binding.js').load().makeSecret();
}

/**
 * The broker's own options, from flags and environment; the rest is the command line's.
 *
 * @param {Record<string, any>} flags
 * @param {boolean} hasCommand
 * @returns {Record<string, any>}
 */
function brokerOptions(flags, hasCommand) {
  const names = new Set(rowsOf(['broker']).map((row) => row.name));
  const kept = Object.fromEntries(Object.entries(flags).filter(([name]) => names.has(name)));
  // With a command the broker lives exactly as long as the command, however quiet it is.
  if (hasCommand) kept.idleTimeout = 0;
  return resolve('broker', { ...kept, exportEnv: false });
}

/**
 * @param {Record<string, any>} options
 * @param {string | null} secret
 * @param {Front} front
 */
function startBroker(options, secret, { complain }) {
  const { Broker } = require('./broker.js');
  const report = makeLog(true);
  const log = (/** @type {any} */ { event, level, message, ...fields }) => {
    if (options.debug || event === 'heartbeat') report(event, { level, message, ...fields });
    else if (level === 'warn' || level === 'error') complain(message ?? event);
  };
  process.removeAllListeners('warning').on('warning', ({ message }) => complain(message));
  const broker = new Broker({ ...options, log, secret });
  broker.startSync();
  // Whatever ends this process from inside JavaScript, nothing is left behind.
  process.on('exit', () => broker.stopSync());
  return broker;
}

/**
 * @param {string} pipe
 * @param {string | null} secret
 */
function childEnvironment(pipe, secret) {
  /** @type {Record<string, string | undefined>} */
  const env = { ...process.env, [PIPE]: pipe, [BROKER_PID]: String(process.pid) };
  if (secret !== null) return { ...env, [SECRET]: secret };
  // A client that has a secret insists on it, and would be refused.
  for (const name of SECRET_ENV.client) delete env[name];
  return env;
}

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
  const name = RE_RAISED.get(signal);
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
 */
function makeLog(debug) {
  if (!debug) return () => {};
  return (/** @type {string} */ event, /** @type {object} */ fields) => {
    const record = { time: Date.now(), level: 'debug', event, ...fields };
    try {
      fs.writeSync(2, `${JSON.stringify(record)}\n`);
    } catch {
      // A log nobody takes must not end the run.
    }
  };
}

/**
 * Ends us when the package manager above us dies.
 *
 * @param {any} binding
 * @param {boolean} whole  watch everything between us and it too, such as npm's shell; without a
 *   command these come and go (a shell's "$( ... & )"), so only the package managers count then
 * @param {() => void} onDeath
 */
function watchAbove(binding, whole, onDeath) {
  if (process.platform === 'win32') return;
  const { managedChain, stillStands } = require('./cli/ancestors.js');
  const chain = managedChain();
  const pids = chain.filter(({ manager }) => whole || manager).map(({ pid }) => pid);
  if (pids.length === 0) return;
  binding.watchAncestors(pids, onDeath);
  if (whole && !stillStands(chain)) onDeath();
}

/**
 * Runs the command until it ends, then ends us.
 *
 * @param {{ command: string[], env: Record<string, string | undefined>, graceMs: number,
 *   debug: boolean, front: Front, stop: () => void }} run
 */
function runCommand({ command, env, graceMs, debug, front, stop }) {
  const { Supervisor } = require('./cli/supervisor.js');
  const binding = require('./binding.js').load();
  const log = makeLog(debug);
  const supervisor = new Supervisor({ binding, graceMs, log });
  let failed = false;
  try {
    supervisor.start(command, env, (outcome) => {
      stop();
      supervisor.release();
      if (failed) process.exit(FAILED);
      exitLike(outcome);
    });
  } catch (error) {
    stop();
    const { status, message } = explainSpawnFailure(error, command[0]);
    front.fail(new Error(message), { status });
  }
  process.on('uncaughtException', (error) => {
    // A fault of ours: the command is asked to end, and we still end after it.
    front.complain(`internal error: ${debug ? error.stack : error.message}`);
    failed = true;
    supervisor.end('fault');
  });
  watchAbove(binding, true, () => supervisor.end('parent_died'));
}

/**
 * Joins the broker of the `start` around us: nothing to make, nothing to clean up.
 *
 * @param {{ command: string[], graceMs: number, debug: boolean, front: Front }} run
 */
async function runInOuter({ command, graceMs, debug, front }) {
  const { PipeClient } = require('./client.js');
  const client = new PipeClient();
  try {
    await client.ping();
  } catch (/** @type {any} */ error) {
    const message = `--reuse: the broker that ${PIPE} names does not answer: ${error.message}`;
    front.fail(new Error(message), { status: FAILED, debug });
  } finally {
    await client.close();
  }
  runCommand({ command, env: { ...process.env }, graceMs, debug, front, stop: () => {} });
}

/** How long the command has to end when nothing else is said. */
const DEFAULT_GRACE = table.find(({ name }) => name === 'grace')?.default;

/**
 * @param {string[]} argv  what follows `start`
 * @param {Front} front
 */
function start(argv, front) {
  const { options: flags, command } = parseArguments(argv);
  require('./binding.js').load().hardenProcess();
  const options = brokerOptions(flags, command !== null);
  const { debug } = options;
  const graceMs = flags.grace ?? DEFAULT_GRACE;
  const outer = process.env[PIPE];
  if (flags.reuse && command && outer) {
    void runInOuter({ command, graceMs, debug, front });
    return;
  }
  const secret = chooseSecret(flags, front);
  if (outer) {
    front.complain(
      `${PIPE} is set: making another broker for this command; --reuse joins that one`,
    );
  }
  const broker = startBroker(options, secret, front);
  if (command === null) {
    const onFault = (/** @type {Error} */ error) => front.fail(error, { status: FAILED, debug });
    const { printEnv = false } = flags;
    require('./cli/standalone.js').runStandalone({
      broker,
      secret,
      printEnv,
      debug,
      watchAbove,
      onFault,
    });
    return;
  }
  const env = childEnvironment(String(broker.pipe), secret);
  runCommand({ command, env, graceMs, debug, front, stop: () => broker.stopSync() });
}

module.exports = { start };

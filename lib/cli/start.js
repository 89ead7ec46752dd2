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

const { FAILED, makeLog, runCommand, watchAbove } = require('./child.js');
const { UsageError } = require('./errors.js');
const { SECRET_ENV, parseFlags, resolve, rowsOf } = require('../options.js');

/** What the child's environment gains. */
const PIPE = 'EPHEMERAL_PIPE';
const SECRET = 'EPHEMERAL_SECRET';
const BROKER_PID = 'EPHEMERAL_BROKER_PID';

/** @typedef {import('./child.js').Front} Front */

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
    const { resolveSecret } = require('./secret.js');
    return resolveSecret(flags, { variables, complain }) ?? null;
  }
  return require('../binding.js').load().makeSecret();
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
  const { Broker, warningText } = require('../broker.js');
  const report = makeLog(true);
  const log = (/** @type {any} */ record) => {
    const { event, ...fields } = record;
    if (options.debug || event === 'heartbeat') report(event, fields);
    else if (['warn', 'error'].includes(fields.level)) complain(warningText(record));
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
 * The command, below us and below the package manager that may be above us.
 *
 * @param {import('./child.js').Run} run
 */
function runBelow(run) {
  const { end } = runCommand({ ...run, log: makeLog(run.debug) });
  watchAbove(require('../binding.js').load(), true, () => end('parent_died'));
}

/**
 * Joins the broker of the `start` around us: nothing to make, nothing to clean up.
 *
 * @param {{ command: string[], graceMs?: number, debug: boolean, front: Front }} run
 */
async function runInOuter({ command, graceMs, debug, front }) {
  const { PipeClient } = require('../client/client.js');
  const client = new PipeClient();
  try {
    await client.ping();
  } catch (/** @type {any} */ error) {
    const message = `--reuse: the broker that ${PIPE} names does not answer: ${error.message}`;
    front.fail(new Error(message), { status: FAILED, debug });
  } finally {
    await client.close();
  }
  runBelow({ command, env: { ...process.env }, graceMs, debug, front, stop: () => {} });
}

/**
 * @param {string[]} argv  what follows `start`
 * @param {Front} front
 */
function start(argv, front) {
  const { options: flags, command } = parseArguments(argv);
  require('../binding.js').load().hardenProcess();
  const options = brokerOptions(flags, command !== null);
  const { debug } = options;
  const graceMs = flags.grace;
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
    require('./standalone.js').runStandalone({
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
  runBelow({ command, env, graceMs, debug, front, stop: () => broker.stopSync() });
}

module.exports = { start };

/**
 * The client commands: `epb get`, `set`, `lease`, `lock` and so on, for looking into a running
 * broker and for shell scripts.
 *
 * Standard output carries the answer and nothing else. Exit status: 0 done, 1 the broker said no
 * (`not_found` above all), 2 wrong use, 3 no broker, or one that does not let us in.
 */
'use strict';

const { SHORT_TTL_MS } = require('../duration.js');
const { nearest, parseFlags, SECRET_ENV } = require('../options.js');
const { UsageError } = require('./errors.js');
const { flagKinds } = require('./flags.js');
const { LEASE_COMMANDS } = require('./leases.js');
const { LOCK_COMMANDS } = require('./lock.js');
const output = require('./output.js');
const { ABOUT_COMMANDS, STORE_COMMANDS } = require('./store.js');

const REFUSED = 1;
const NO_BROKER = 3;

/** Codes that say that there was no conversation, rather than an answer. */
const UNREACHABLE = new Set([
  'broker_gone',
  'auth_failed',
  'auth_required',
  'version_mismatch',
  'timeout',
  'draining',
  'max_connections',
]);

/**
 * @typedef {object} PendingCall
 * @property {any} client
 * @property {string[]} words
 * @property {Record<string, any>} options
 * @property {string[]} command  what follows `--`, of those that run it
 * @property {import('./child.js').Front} front
 *
 * @typedef {object} Command
 * @property {string} usage
 * @property {string} summary
 * @property {number} least  words it needs
 * @property {number} most
 * @property {string[]} [flags]  of its own
 * @property {boolean} [runsCommand]  what follows `--` is a command
 * @property {(call: PendingCall) => Promise<number | void>} run  resolves the exit status
 */

/** @type {{ title: string, commands: Record<string, Command> }[]} */
const GROUPS = [
  { title: 'Values', commands: STORE_COMMANDS },
  { title: 'Accounts, numbers and turns', commands: { ...LOCK_COMMANDS, ...LEASE_COMMANDS } },
  { title: 'The broker', commands: ABOUT_COMMANDS },
];

/** @type {Record<string, Command>} */
const COMMANDS = Object.assign({}, ...GROUPS.map(({ commands }) => commands));

/**
 * What is wrong with the number of words, or with the command that should follow them.
 *
 * @param {Command} command
 * @param {string[]} words
 * @param {string[] | null} toRun
 * @returns {string | undefined}
 */
function countFault({ least, most, runsCommand }, words, toRun) {
  if (words.length < least) return 'something is missing';
  if (runsCommand && toRun === null && words.length > most) return 'put -- before the command';
  if (words.length > most) return 'too many words';
  if (runsCommand && !toRun?.[0]) return 'there is no command after --';
  return undefined;
}

/**
 * @param {string} name
 * @param {Command} command
 * @param {string[]} argv
 */
function parseCall(name, command, argv) {
  const parsed = parseFlags(argv, flagKinds(command));
  const toRun = parsed.command;
  const { options, unitless } = parsed;
  if (options.help) return { options, unitless, words: [], toRun: [] };
  if (parsed.errors.length > 0) throw new UsageError(`${name}: ${parsed.errors[0]}`);
  const words = command.runsCommand ? parsed.rest : [...parsed.rest, ...(toRun ?? [])];
  const fault = countFault(command, words, toRun);
  if (fault !== undefined) {
    throw new UsageError(`${name}: ${fault}; usage: ephemeral-pipe-broker ${command.usage}`);
  }
  return { options, unitless, words, toRun: toRun ?? [] };
}

/**
 * `--ttl 60` was hardly meant as 60 ms.
 *
 * @param {string} name
 * @param {{ options: Record<string, any>, unitless: string[] }} call
 * @param {(line: string) => void} complain
 */
function hintAtUnit(name, { options: { ttl }, unitless }, complain) {
  if (!unitless.includes('ttl') || ttl >= SHORT_TTL_MS) return;
  complain(`${name}: --ttl ${ttl} is ${ttl} ms; say ${ttl}s for seconds, or ${ttl}ms`);
}

/**
 * A client for the broker that the flags and the environment name. With `--pipe` and a secret on
 * the flags both belong together, and the environment's secret is another broker's.
 *
 * @param {Record<string, any>} options
 * @param {(line: string) => void} complain
 */
function openClient(options, complain) {
  const { secretFile, secretEnv, secret, auth, pipe, timeout } = options;
  const flags = { secretFile, secretEnv, secret, auth };
  const given = Object.values(flags).some((value) => value !== undefined);
  const variables = pipe !== undefined && given ? [] : [...SECRET_ENV.client];
  const found = require('./secret.js').resolveSecret(flags, { variables, complain });
  const { PipeClient } = require('../client/client.js');
  return new PipeClient(pipe, {
    ...(found === undefined ? {} : { secret: found }),
    ...(timeout === undefined ? {} : { timeout }),
  });
}

/**
 * @param {string} name
 */
function unknownCommand(name) {
  const known = ['start', 'help', ...Object.keys(COMMANDS)];
  const meant = nearest(name, known);
  const hint = meant === null ? 'see: ephemeral-pipe-broker --help' : `did you mean ${meant}?`;
  const what = name.startsWith('-') ? 'unknown flag' : 'unknown command';
  return new UsageError(`${what} ${JSON.stringify(name)}; ${hint}`);
}

/**
 * @param {any} error
 * @returns {number} the exit status for it
 */
function status(error) {
  return UNREACHABLE.has(error?.code) ? NO_BROKER : REFUSED;
}

/**
 * @param {string} name
 * @param {string[]} argv
 * @param {import('./child.js').Front} front
 * @returns {Promise<number>} the exit status
 */
async function run(name, argv, front) {
  if (['help', '--help', '-h'].includes(name)) return help(argv[0]);
  if (['version', '--version', '-V', '-v'].includes(name)) return version();
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) throw unknownCommand(name);
  const call = parseCall(name, command, argv);
  const { options, words, toRun } = call;
  if (options.help) return help(name);
  hintAtUnit(name, call, front.complain);
  const client = openClient(options, front.complain);
  try {
    return (await command.run({ client, words, options, command: toRun, front })) ?? 0;
  } finally {
    await client.close();
  }
}

/**
 * @param {string | undefined} topic
 */
function help(topic) {
  const { overview, startHelp, commandHelp } = require('./help.js');
  if (topic === undefined || topic === 'help') output.line(overview(GROUPS));
  else if (topic === 'start') output.line(startHelp());
  else if (Object.hasOwn(COMMANDS, topic)) {
    output.line(commandHelp(topic, COMMANDS[topic], flagKinds(COMMANDS[topic])));
  } else throw unknownCommand(topic);
  return 0;
}

function version() {
  const { versions } = require('../binding.js').load();
  const { version: ours } = require('../../package.json');
  output.line(`ephemeral-pipe-broker ${ours}`);
  for (const [name, number] of Object.entries({ ...versions, node: process.versions.node })) {
    output.line(`  ${name} ${number}`);
  }
  return 0;
}

module.exports = { run, status };

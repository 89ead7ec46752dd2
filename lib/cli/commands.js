/**
 * The client commands: `epb get`, `set`, `list` and so on, for looking into a running broker and
 * for shell scripts.
 *
 * Standard output carries the answer and nothing else. Exit status: 0 done, 1 the broker said no
 * (`not_found` above all), 2 wrong use, 3 no broker, or one that does not let us in.
 */
'use strict';

const fs = require('node:fs');
const { parseFlags, nearest, SECRET_ENV } = require('../options.js');
const { quoteKey } = require('../error.js');
const { UsageError } = require('./errors.js');
const output = require('./output.js');

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

const STDIN = 0;

/**
 * @typedef {object} Call
 * @property {any} client
 * @property {string[]} words
 * @property {Record<string, any>} options
 *
 * @typedef {object} Command
 * @property {string} usage
 * @property {string} summary
 * @property {number} least  words it needs
 * @property {number} most
 * @property {string[]} [flags]  of its own
 * @property {(call: Call) => Promise<number | void>} run  resolves the exit status
 */

/** Flags of these commands only; the shape of a row is that of lib/options.js. */
const FLAGS = {
  json: {
    type: 'boolean',
    help: 'JSON instead of text: what is printed, or, for set, the value given.',
  },
  pipe: {
    type: 'string',
    placeholder: 'PATH',
    help: 'The broker; else EPHEMERAL_PIPE says where it is.',
  },
  ttl: {
    type: 'ms',
    placeholder: 'TIME',
    min: 1,
    help: 'How long the value lives: 500ms, 30s, 5m, 1h; a plain number is milliseconds.',
  },
  ifAbsent: { type: 'boolean', help: 'Only write when the key does not exist.' },
  binary: { type: 'boolean', help: 'Store the bytes of stdin as they are, not as text.' },
  trim: { type: 'boolean', help: 'Drop one newline at the end of what stdin gives.' },
  debug: { type: 'boolean', help: 'Print a stack trace with an error.' },
  help: { type: 'boolean', help: 'Print this help.' },
};

/** Flags of every client command. */
const COMMON = ['json', 'pipe', 'debug', 'help'];

/**
 * @param {string} name
 */
function ownFlag(name) {
  const row = /** @type {Record<string, any>} */ (FLAGS)[name];
  return { name, kind: 'cli', default: row.type === 'boolean' ? false : null, env: null, ...row };
}

/**
 * All kinds of flags a client command takes, for parsing and for its help.
 *
 * @param {Command} command
 */
function flagKinds(command) {
  const own = [...(command.flags ?? []), ...COMMON].map(ownFlag);
  return /** @type {any[]} */ ([...own, 'client', 'secret']);
}

/**
 * A value as a person or a shell wants it: text as it is, bytes as they are, the rest as JSON.
 *
 * @param {unknown} value
 */
function printValue(value) {
  if (value instanceof Uint8Array) output.write(value);
  else if (typeof value === 'string') output.line(value);
  else output.json(value);
}

/**
 * @param {unknown} value
 */
function jsonValue(value) {
  if (!(value instanceof Uint8Array)) return value;
  return { encoding: 'base64', value: Buffer.from(value).toString('base64') };
}

/**
 * @param {Record<string, any>} options
 */
function readStdin({ trim, binary }) {
  const bytes = fs.readFileSync(STDIN);
  const kept = trim && bytes.at(-1) === 0x0a ? bytes.subarray(0, -1) : bytes;
  if (binary) return kept;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(kept);
  } catch {
    throw new UsageError('set: stdin is not UTF-8 text; --binary stores the bytes as they are');
  }
}

/**
 * @param {string} word
 * @param {Record<string, any>} options
 */
function valueOf(word, options) {
  if (word !== '-' && options.binary) throw new UsageError('set: --binary reads stdin: set KEY -');
  if (options.binary && options.json) throw new UsageError('set: --binary or --json, not both');
  const given = word === '-' ? readStdin(options) : word;
  if (!options.json) return given;
  try {
    return JSON.parse(String(given));
  } catch {
    // The parser's own message quotes the text, which may be a secret.
    throw new UsageError('set: with --json the value must be JSON; strings need their quotes');
  }
}

/** @type {Command['run']} */
async function get({ client, words: [key], options }) {
  const value = await client.get(key);
  if (options.json) output.json(jsonValue(value));
  else printValue(value);
}

/**
 * The broker's word for a missing TTL speaks of options in code; here it is a flag.
 *
 * @param {string} key
 * @param {Promise<any>} write
 */
async function withTtlHint(key, write) {
  try {
    return await write;
  } catch (/** @type {any} */ error) {
    if (error.code !== 'ttl_required') throw error;
    error.message = `${error.operation ?? 'set'} ${quoteKey(key)}: how long should it live? Give --ttl 30s, 5m or 1h, or set CLIENT_DEFAULT_TTL`;
    throw error;
  }
}

/** @type {Command['run']} */
async function set({ client, words: [key, word], options }) {
  const value = valueOf(word, options);
  const { ttl: time, ifAbsent } = options;
  await withTtlHint(key, client.set(key, value, { ttl: time, ifAbsent }));
}

/**
 * @param {string} method
 * @param {boolean} falseIsRefusal
 * @returns {Command['run']}
 */
function yesOrNo(method, falseIsRefusal) {
  return async ({ client, words: [key] }) => {
    const answer = await client[method](key);
    output.json(answer);
    return answer || !falseIsRefusal ? 0 : REFUSED;
  };
}

/** @type {Command['run']} */
async function ttl({ client, words: [key], options }) {
  const left = await client.ttl(key);
  if (options.json) output.json(left);
  else output.line(output.duration(left));
}

/** @type {Command['run']} */
async function incr({ client, words: [key, by = '1'], options }) {
  if (!/^[+-]?\d+$/.test(by) || !Number.isSafeInteger(Number(by))) {
    throw new UsageError(`incr: the step is a whole number, not ${JSON.stringify(by)}`);
  }
  output.json(await withTtlHint(key, client.incr(key, Number(by), options.ttl)));
}

/** @type {Command['run']} */
async function list({ client, words: [prefix = ''], options }) {
  const items = await client.list(prefix);
  if (options.json) return output.json(items);
  if (items.length === 0) return undefined;
  const rows = items.map((/** @type {any} */ item) => [
    output.printable(item.key),
    output.duration(item.ttl),
    output.size(item.size),
    String(item.version),
  ]);
  const head = ['KEY', 'EXPIRES IN', 'SIZE', 'VERSION'];
  output.line(output.table([head, ...rows], ['left', 'right', 'right', 'right']));
  return undefined;
}

/** @type {Command['run']} */
async function ping({ client, options }) {
  // The first one pays for the connection; the second says how far away the broker is.
  await client.ping();
  const ms = await client.pingMs();
  if (options.json) output.json({ pong: true, ms });
  else output.line(`pong ${ms.toFixed(2)} ms`);
}

/**
 * How a number of the statistics is shown, by its name.
 *
 * @param {string} name
 * @param {unknown} value
 */
function statistic(name, value) {
  if (typeof value !== 'number') return String(value);
  if (name === 'uptime') return output.duration(value);
  return /memory|bytes/i.test(name) ? output.size(value) : value.toLocaleString('en-US');
}

/** @type {Command['run']} */
async function stats({ client, options }) {
  const numbers = await client.stats();
  if (options.json) return output.json(numbers);
  const rows = Object.entries(numbers).map(([name, value]) => [name, statistic(name, value)]);
  output.line(output.table(rows, ['left', 'right']));
  return undefined;
}

/** @type {Command['run']} */
async function health({ client, options }) {
  const report = await client.health();
  const healthy = report.status === 'healthy';
  if (options.json) output.json(report);
  else output.line(`${report.status}: ${report.items} items, ${output.size(report.memory)}`);
  return healthy ? 0 : REFUSED;
}

/** @type {Command['run']} */
async function metrics({ client, options }) {
  const text = await client.metrics();
  if (options.json) output.json({ metrics: text });
  else output.write(text);
}

/** @type {Record<string, Command>} */
const COMMANDS = {
  get: { usage: 'get KEY', summary: 'Print a value.', least: 1, most: 1, run: get },
  set: {
    usage: 'set KEY VALUE|- --ttl TIME',
    summary: 'Store a value; - reads it from stdin, where other processes cannot see it.',
    least: 2,
    most: 2,
    flags: ['ttl', 'ifAbsent', 'binary', 'trim'],
    run: set,
  },
  del: {
    usage: 'del KEY',
    summary: 'Delete a key; prints whether there was one.',
    least: 1,
    most: 1,
    run: yesOrNo('del', false),
  },
  has: {
    usage: 'has KEY',
    summary: 'Print whether a key exists; exit status 1 when it does not.',
    least: 1,
    most: 1,
    run: yesOrNo('has', true),
  },
  ttl: {
    usage: 'ttl KEY',
    summary: 'Print how long a value still lives.',
    least: 1,
    most: 1,
    run: ttl,
  },
  incr: {
    usage: 'incr KEY [BY] [--ttl TIME]',
    summary: 'Add to a counter and print it; the TTL is for a new one.',
    least: 1,
    most: 2,
    flags: ['ttl'],
    run: incr,
  },
  list: {
    usage: 'list [PREFIX]',
    summary: 'List the keys (never the values) that begin with PREFIX.',
    least: 0,
    most: 1,
    run: list,
  },
  ping: {
    usage: 'ping',
    summary: 'Ask whether the broker answers, and how fast.',
    least: 0,
    most: 0,
    run: ping,
  },
  stats: {
    usage: 'stats',
    summary: 'Print what the broker holds and has done.',
    least: 0,
    most: 0,
    run: stats,
  },
  health: {
    usage: 'health',
    summary: 'Print healthy, warning or degraded; exit status 1 unless healthy.',
    least: 0,
    most: 0,
    run: health,
  },
  metrics: {
    usage: 'metrics',
    summary: 'Print metrics for Prometheus.',
    least: 0,
    most: 0,
    run: metrics,
  },
};

/**
 * @param {string} name
 * @param {Command} command
 * @param {string[]} argv
 */
function parseCall(name, command, argv) {
  const parsed = parseFlags(argv, flagKinds(command));
  if (parsed.options.help) return { ...parsed, words: [] };
  if (parsed.errors.length > 0) throw new UsageError(`${name}: ${parsed.errors[0]}`);
  const words = [...parsed.rest, ...(parsed.command ?? [])];
  if (words.length < command.least || words.length > command.most) {
    const fault = words.length < command.least ? 'something is missing' : 'too many words';
    throw new UsageError(`${name}: ${fault}; usage: ephemeral-pipe-broker ${command.usage}`);
  }
  return { ...parsed, words };
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
  const { PipeClient } = require('../client.js');
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
 * @param {{ complain: (line: string) => void }} front
 * @returns {Promise<number>} the exit status
 */
async function run(name, argv, { complain }) {
  if (['help', '--help', '-h'].includes(name)) return help(argv[0]);
  if (['version', '--version', '-V', '-v'].includes(name)) return version();
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) throw unknownCommand(name);
  const { options, words } = parseCall(name, command, argv);
  if (options.help) return help(name);
  const client = openClient(options, complain);
  try {
    return (await command.run({ client, words, options })) ?? 0;
  } finally {
    await client.close();
  }
}

/**
 * @param {string | undefined} topic
 */
function help(topic) {
  const { overview, startHelp, commandHelp } = require('./help.js');
  if (topic === undefined || topic === 'help') output.line(overview(COMMANDS));
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

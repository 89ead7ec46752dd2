/**
 * The commands about values, and about the broker itself.
 */
'use strict';

const { quoteKey } = require('../error.js');
const { UsageError, withHints } = require('./errors.js');
const output = require('./output.js');
const { printValue, readValue } = require('./values.js');

const REFUSED = 1;

/** @type {import('./commands.js').Command['run']} */
async function get({ client, words: [key], options }) {
  printValue(await client.get(key), options);
}

const TTL_HINTS = {
  ttl_required: 'how long should it live? Give --ttl 30s, 5m or 1h, or set CLIENT_DEFAULT_TTL',
};

/**
 * A flag's time is milliseconds on purpose, however short.
 *
 * @param {number | undefined} ms
 */
const withUnit = (ms) => (ms === undefined ? undefined : `${ms}ms`);

/** @type {import('./commands.js').Command['run']} */
async function set({ client, words: [key, word], options }) {
  const value = readValue(word, options);
  const { ttl: time, ifAbsent } = options;
  const write = client.set(key, value, { ttl: withUnit(time), ifAbsent });
  await withHints(`set ${quoteKey(key)}`, TTL_HINTS, write);
}

/**
 * @param {string} method
 * @param {boolean} falseIsRefusal
 * @returns {import('./commands.js').Command['run']}
 */
function yesOrNo(method, falseIsRefusal) {
  return async ({ client, words: [key] }) => {
    const answer = await client[method](key);
    output.json(answer);
    return answer || !falseIsRefusal ? 0 : REFUSED;
  };
}

/** @type {import('./commands.js').Command['run']} */
async function ttl({ client, words: [key], options }) {
  const left = await client.ttl(key);
  if (options.json) output.json(left);
  else output.line(output.duration(left));
}

/** @type {import('./commands.js').Command['run']} */
async function touch({ client, words: [key], options }) {
  const write = client.touch(key, withUnit(options.ttl));
  const touched = await withHints(`touch ${quoteKey(key)}`, TTL_HINTS, write);
  output.json(touched);
  return touched ? 0 : REFUSED;
}

/** @type {import('./commands.js').Command['run']} */
async function incr({ client, words: [key, by = '1'], options }) {
  if (!/^[+-]?\d+$/.test(by) || !Number.isSafeInteger(Number(by))) {
    throw new UsageError(`incr: the step is a whole number, not ${JSON.stringify(by)}`);
  }
  const write = client.incr(key, Number(by), withUnit(options.ttl));
  output.json(await withHints(`incr ${quoteKey(key)}`, TTL_HINTS, write));
}

/** @type {import('./commands.js').Command['run']} */
async function list({ client, words: [prefix = ''], options, front }) {
  const items = await client.list(prefix);
  if (options.json) return output.json(items);
  if (items.length === 0) return front.complain(`list: ${output.none('values', prefix)}`);
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

/** @type {import('./commands.js').Command['run']} */
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

/** @type {import('./commands.js').Command['run']} */
async function stats({ client, options }) {
  const numbers = await client.stats();
  if (options.json) return output.json(numbers);
  const rows = Object.entries(numbers).map(([name, value]) => [name, statistic(name, value)]);
  output.line(output.table(rows, ['left', 'right']));
  return undefined;
}

/** @type {import('./commands.js').Command['run']} */
async function health({ client, options }) {
  const report = await client.health();
  const healthy = report.status === 'healthy';
  if (options.json) output.json(report);
  else output.line(`${report.status}: ${report.items} items, ${output.size(report.memory)}`);
  return healthy ? 0 : REFUSED;
}

/** @type {import('./commands.js').Command['run']} */
async function metrics({ client, options }) {
  const text = await client.metrics();
  if (options.json) output.json({ metrics: text });
  else output.write(text);
}

/** @type {Record<string, import('./commands.js').Command>} */
const STORE_COMMANDS = {
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
  touch: {
    usage: 'touch KEY --ttl TIME',
    summary: 'Give a value another TTL; exit status 1 when there is no value.',
    least: 1,
    most: 1,
    flags: ['ttl'],
    run: touch,
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
};

/** @type {Record<string, import('./commands.js').Command>} */
const ABOUT_COMMANDS = {
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

module.exports = { STORE_COMMANDS, ABOUT_COMMANDS };

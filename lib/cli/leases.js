/**
 * The commands about leases. A command line's connection ends with it, so what `lease` gives is
 * held by the worker's name alone: until `release`, or until nobody renews it in time.
 */
'use strict';

const { DETACHED_TTL_MS } = require('../client/lease_ttl.js');
const { workerFromEnv } = require('../options.js');
const { quoteKey } = require('../error.js');
const { UsageError, withHints } = require('./errors.js');
const output = require('./output.js');
const { printValue, readValues } = require('./values.js');

const REFUSED = 1;
/** As the broker has it. */
const PERMITS_MAX = 1_000_000;

const NAME_IT = 'name the worker: --worker NAME, or WORKER_ID in the environment';

const LEASE_HINTS = {
  lease_held: 'Nothing of it is free. --wait TIME waits in line; epb leases tells of all',
  wait_timeout: 'Nothing of it became free in time; epb leases tells of all',
};
const RELEASE_HINTS = {
  lease_held:
    'a running process holds it in the name of this worker: it ends with that, or by --force',
};
const POOL_HINTS = {
  conflict:
    'it is a pool of another list. --replace puts this list in its place, --if-absent leaves what ' +
    'is there, --add adds to it',
};
const LIMIT_HINTS = {
  conflict:
    'it is a semaphore with another number of permits. --replace changes it, --if-absent leaves ' +
    'what is there',
};
const WAIT_HINTS = { wait_timeout: 'it has got no value in time' };

/**
 * The process id that a client takes when it has no name will not do: the next command has another.
 *
 * @param {string} command
 * @param {Record<string, any>} options
 * @returns {string}
 */
function workerOf(command, { worker }) {
  const name = worker ?? workerFromEnv();
  if (name === undefined) throw new UsageError(`${command}: ${NAME_IT}`);
  return name;
}

/** @type {import('./commands.js').Command['run']} */
async function lease({ client, words: [key], options, front }) {
  const { ttl = DETACHED_TTL_MS, wait: waitMs = 0 } = options;
  const workerId = workerOf('lease', options);
  const asked = client.lease(key, { workerId, ttl, waitMs, detached: true });
  printValue(await withHints(`lease ${quoteKey(key)}`, LEASE_HINTS, asked), options);
  if (options.ttl !== undefined) return;
  const end = new Date(Date.now() + ttl).toLocaleTimeString('en-GB');
  front.complain(
    `lease ${quoteKey(key)}: it ends at ${end}, in ${output.duration(ttl)}; ` +
      'epb renew extends it, --ttl TIME sets another time',
  );
}

/** @type {import('./commands.js').Command['run']} */
async function renew({ client, words: [key], options }) {
  const workerId = workerOf('renew', options);
  const renewal = await client.renew(workerId, { key, ttl: options.ttl, detached: true });
  const { renewed, lost } = renewal;
  if (options.json) {
    output.json(renewal);
  } else {
    output.line(`renewed ${renewed}`);
    for (const { key: name } of lost) output.line(`lost ${output.printable(name)}`);
  }
  return renewed === 0 || lost.length > 0 ? REFUSED : 0;
}

/** @type {import('./commands.js').Command['run']} */
async function release({ client, words: [key], options }) {
  const { force = false, discard = false, worker } = options;
  if (force && worker === undefined && key === undefined) {
    throw new UsageError('release: --force needs to know what: a KEY, --worker NAME, or both');
  }
  // By force, the name in the environment does not narrow down whose it is: only --worker does.
  const workerId = force ? worker : workerOf('release', options);
  const what = key === undefined ? 'release' : `release ${quoteKey(key)}`;
  const asked = client.release(workerId, key, { force, discard, detached: true });
  output.json(await withHints(what, RELEASE_HINTS, asked));
}

/** @type {import('./commands.js').Command['run']} */
async function wait({ client, words: [key], options }) {
  const asked = client.waitFor(key, { timeoutMs: options.wait ?? Infinity });
  printValue(await withHints(`wait ${quoteKey(key)}`, WAIT_HINTS, asked), options);
}

/**
 * @param {any} row  of `leases()`
 * @param {number} now
 */
function cells(row, now) {
  const { key, kind, state, shared, workerId, pid, ttl, waitMs, since } = row;
  const left = state === 'held' ? ttl : waitMs;
  return [
    output.printable(key),
    kind,
    shared ? `${state}, shared` : state,
    output.printable(workerId),
    pid === null ? '-' : String(pid),
    Number.isFinite(left) ? output.duration(left) : '-',
    `${output.duration(Math.max(0, now - since))} ago`,
  ];
}

/** @type {import('./commands.js').Command['run']} */
async function leases({ client, words: [prefix = ''], options, front }) {
  const rows = await client.leases(prefix);
  if (options.json) return output.json(rows);
  if (rows.length === 0) return front.complain(`leases: ${output.none('leases', prefix)}`);
  const now = Date.now();
  const head = ['KEY', 'KIND', 'STATE', 'WORKER', 'PID', 'LEFT', 'SINCE'];
  const lines = [head, ...rows.map((/** @type {any} */ row) => cells(row, now))];
  output.line(output.table(lines, ['left', 'left', 'left', 'left', 'right', 'right', 'right']));
  return undefined;
}

/** @type {import('./commands.js').Command['run']} */
async function pool({ client, words: [key, ...words], options }) {
  const values = readValues(words, options);
  const { replace, ifAbsent } = options;
  const define = () =>
    withHints(`pool ${quoteKey(key)}`, POOL_HINTS, client.pool(key, values, { replace, ifAbsent }));
  output.json(await (options.add ? client.poolAdd(key, values) : define()));
}

/** @type {import('./commands.js').Command['run']} */
async function limit({ client, words: [key, count], options: { replace, ifAbsent } }) {
  if (!/^\d+$/.test(count) || Number(count) < 1 || Number(count) > PERMITS_MAX) {
    const range = 'A whole number from 1 to 1,000,000';
    throw new UsageError(`limit: how many at a time? ${range}, not ${JSON.stringify(count)}`);
  }
  const asked = client.limit(key, Number(count), { replace, ifAbsent });
  output.json(await withHints(`limit ${quoteKey(key)}`, LIMIT_HINTS, asked));
}

/** @type {import('./commands.js').Command['run']} */
async function describe({ client, words: [key] }) {
  const found = await client.describe(key);
  if (found !== null) return output.json(found);
  // The refusal to read it names the keys that are near.
  const refused = await client.ttl(key).catch((/** @type {any} */ error) => error);
  if (refused.code !== 'not_found') return output.json(await client.describe(key));
  refused.message = refused.message.replace(/^ttl /, 'describe ');
  throw refused;
}

/** @type {import('./commands.js').Command['run']} */
async function clear({ client, words: [prefix = ''] }) {
  output.json(await client.clear(prefix));
}

/** @type {Record<string, import('./commands.js').Command>} */
const LEASE_COMMANDS = {
  lease: {
    usage: 'lease KEY [--wait TIME]',
    summary: 'Lease an element, a permit or a number of KEY to a worker and print it.',
    least: 1,
    most: 1,
    flags: ['worker', 'leaseTtl', 'wait'],
    run: lease,
  },
  renew: {
    usage: 'renew [KEY]',
    summary: "Extend a worker's leases; exit status 1 when one was lost, or there is none.",
    least: 0,
    most: 1,
    flags: ['worker', 'renewTtl'],
    run: renew,
  },
  release: {
    usage: 'release [KEY] [--force]',
    summary: "Give back a worker's leases, or that of KEY; prints whether there was one.",
    least: 0,
    most: 1,
    flags: ['worker', 'force', 'discard'],
    run: release,
  },
  leases: {
    usage: 'leases [PREFIX]',
    summary: 'List who holds what and who waits, never values.',
    least: 0,
    most: 1,
    run: leases,
  },
  pool: {
    usage: 'pool KEY VALUE ...|-',
    summary: 'Define what can be leased of KEY; - reads one element a line from stdin.',
    least: 2,
    most: Infinity,
    flags: ['add', 'replace', 'keep'],
    run: pool,
  },
  limit: {
    usage: 'limit KEY N',
    summary: 'Define that KEY can be leased N times at once.',
    least: 2,
    most: 2,
    flags: ['replace', 'keep'],
    run: limit,
  },
  describe: {
    usage: 'describe KEY',
    summary: 'Print what KEY is, its size, what is free and how many wait, as JSON.',
    least: 1,
    most: 1,
    run: describe,
  },
  clear: {
    usage: 'clear [PREFIX]',
    summary: 'Delete values, pools, semaphores and rate limits; what is held stays.',
    least: 0,
    most: 1,
    run: clear,
  },
  wait: {
    usage: 'wait KEY [--wait TIME]',
    summary: 'Wait until KEY has a value, and print it.',
    least: 1,
    most: 1,
    flags: ['waitFor'],
    run: wait,
  },
};

module.exports = { LEASE_COMMANDS };

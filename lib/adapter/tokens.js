/**
 * The tokens of a worker, a file or a test: a pool or semaphore gives one element for each alias, a value is
 * read, a slot is the lowest free number.
 */
'use strict';

const { BrokerError, PipeClient } = require('../client/client.js');
const { LEASE_TTL } = require('../client/lease_ttl.js');
const { milliseconds } = require('../duration.js');
const { variables } = require('./env_names.js');
const errors = require('./errors.js');
const { specsOf } = require('./options.js');

const KNOWN_MAX = 20;
const USE = 'its use';

/**
 * @typedef {import('../index').PipeClient} Client
 * @typedef {import('../index').Lease} Lease
 * @typedef {import('../index').Description} Description
 * @typedef {import('./options').Spec} Spec
 * @typedef {Map<string, Spec>} Specs
 * @typedef {'read' | 'lease' | 'number'} Way
 */

/**
 * @param {{ adapter: string, workerId: string }} who
 * @returns {Client}
 */
function worker({ adapter, workerId }) {
  if (!process.env.EPHEMERAL_PIPE) throw errors.noPipe(adapter);
  return /** @type {any} */ (new PipeClient(null, { workerId }));
}

/**
 * @param {Client} client
 * @param {readonly string[]} known
 */
async function knownNames(client, known) {
  const stored = await client.list('').catch(() => []);
  return [...new Set([...known, ...stored.map(({ key }) => key)])].slice(0, KNOWN_MAX);
}

/**
 * @param {string} alias
 * @param {Spec} spec
 * @param {Description | null} found
 * @returns {Way | null} null: nothing has that name
 */
function wayOf(alias, { key, slot, shared }, found) {
  if (slot) return 'number';
  if (found === null || found.kind === 'numbers') return null;
  if (found.kind === 'value') return (shared ?? true) ? 'read' : 'lease';
  if (!shared) return 'lease';
  throw errors.invalid(
    `The token "${alias}" is shared, and "${key}" is a ${found.kind}: each worker has an element alone.`,
  );
}

/**
 * How to take each alias. Fails when a key has no definition, or too few elements.
 * @param {Client} client
 * @param {Specs} specs
 * @param {readonly string[]} known
 */
async function waysOf(client, specs, known) {
  const keys = [...new Set([...specs.values()].map(({ key }) => key))];
  const described = await Promise.all(keys.map((key) => client.describe(key)));
  const found = new Map(keys.map((key, i) => [key, described[i]]));
  /** @type {Map<string, Way>} */
  const ways = new Map();
  for (const [alias, spec] of specs) {
    const way = wayOf(alias, spec, found.get(spec.key) ?? null);
    if (way === null) throw errors.unknownKey(alias, spec.key, await knownNames(client, known));
    ways.set(alias, way);
  }
  for (const key of keys) {
    const count = [...specs].filter(([a, s]) => s.key === key && ways.get(a) === 'lease').length;
    const size = sizeOf(found.get(key) ?? null);
    if (count > 1 && count > size) throw errors.tooFew(count, key, size);
  }
  return ways;
}

/** @param {Description | null} found */
function sizeOf(found) {
  if (found === null || found.kind === 'numbers') return Infinity;
  return found.kind === 'value' ? 1 : found.size;
}

/**
 * @param {Client} client
 * @param {Specs} specs
 * @param {readonly string[]} known
 */
async function checkKeys(client, specs, known) {
  await waysOf(client, specs, known);
}

/**
 * @param {Client} client
 * @param {unknown} error
 * @param {{ key?: string, aliases: (key: string) => string[], since: number }} about
 */
async function explained(client, error, { key, aliases, since }) {
  if (!(error instanceof BrokerError) || error.code !== 'wait_timeout') return error;
  const own = key ?? error.key ?? '';
  const found = await client.describe(own).catch(() => null);
  const size = found !== null && 'size' in found ? found.size : undefined;
  const about = { key: own, aliases: aliases(own), waitedMs: performance.now() - since, size };
  return errors.waitedTooLong(/** @type {any} */ (error), about);
}

/** @param {(import('../index').Duration | undefined)[]} durations */
function shortest(durations) {
  const given = durations.filter((one) => one !== undefined);
  if (given.length === 0) return undefined;
  return Math.min(...given.map((one) => Number(milliseconds(one))));
}

/**
 * @typedef {object} Grants
 * @property {Map<string, Lease>} leases by alias
 * @property {import('../index').Leases[]} groups
 */

/** @param {Grants} grants */
async function giveBack({ groups }) {
  await Promise.allSettled(groups.map((group) => group.release()));
}

/**
 * All leases, or none. A TTL or a wait of one alias counts for all: the shortest.
 * @param {Client} client
 * @param {Specs} specs
 * @param {Map<string, Way>} ways
 * @param {import('../adapter').TakeOptions} options
 * @returns {Promise<Grants>}
 */
async function leaseAll(client, specs, ways, { workerId, signal, waitMs, noticeMs }) {
  /** @type {Grants} */
  const grants = { leases: new Map(), groups: [] };
  const take = async (/** @type {Way} */ way, /** @type {object} */ more) => {
    const own = [...specs].filter(([alias]) => ways.get(alias) === way);
    if (own.length === 0) return;
    const keys = own.map(([, { key }]) => key);
    const ttl = shortest(own.map(([, spec]) => spec.ttl));
    const group = await client.acquireAll(keys, defined({ workerId, signal, ttl, ...more }));
    grants.groups.push(group);
    group.forEach((lease, i) => grants.leases.set(own[i][0], lease));
  };
  const leased = [...specs].filter(([alias]) => ways.get(alias) === 'lease');
  const wait = shortest(leased.map(([, spec]) => spec.waitMs ?? waitMs));
  try {
    // Numbers never wait, so a worker that has them delays no other.
    await take('number', { kind: 'number' });
    await take('lease', { waitMs: wait, waitNoticeMs: noticeMs });
  } catch (error) {
    await giveBack(grants);
    throw error;
  }
  return grants;
}

/** @param {Record<string, unknown>} options without those that are undefined */
function defined(options) {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

class Taken {
  #grants;
  #specs;
  #abort = new AbortController();
  /** @type {{ alias: string, reason: unknown } | null} */
  #lost = null;
  /** @type {Promise<void> | null} */
  #released = null;

  /**
   * @param {Record<string, any>} values
   * @param {Grants} grants
   * @param {Specs} specs
   */
  constructor(values, grants, specs) {
    this.values = values;
    this.#grants = grants;
    this.#specs = specs;
    for (const [alias, { signal }] of grants.leases) {
      const note = () => this.#lose(alias, signal.reason);
      if (signal.aborted) note();
      else signal.addEventListener('abort', note, { once: true });
    }
  }

  /**
   * @param {string} alias
   * @param {unknown} reason
   */
  #lose(alias, reason) {
    this.#lost ??= { alias, reason };
    this.#abort.abort(reason);
  }

  get signal() {
    return this.#abort.signal;
  }

  /** @param {import('../adapter').EnvVars} [envVars] */
  env(envVars) {
    return variables(this.values, envVars, this.#specs);
  }

  /** @param {string} [during] the test that used the tokens */
  check(during = USE) {
    if (this.#lost === null) return;
    const { alias, reason } = this.#lost;
    if (reason instanceof BrokerError && reason.code !== 'lease_lost') throw reason;
    const ttl = this.#specs.get(alias)?.ttl ?? LEASE_TTL.ms;
    throw errors.lost(alias, Number(milliseconds(ttl)), during, reason);
  }

  /**
   * @param {{ discard?: boolean, during?: string }} [options]
   * @returns {Promise<void>}
   */
  release({ discard = false, during } = {}) {
    this.#released ??= this.#release(discard, during);
    return this.#released;
  }

  /**
   * @param {boolean} discard
   * @param {string | undefined} during
   */
  async #release(discard, during) {
    const { groups, leases } = this.#grants;
    const results = await Promise.allSettled(groups.map((group) => group.release({ discard })));
    for (const [alias, lease] of leases) {
      // The result of the release above: false when there was nothing left to release.
      const wasHeld = await lease.release().catch(() => true);
      if (!wasHeld) this.#lose(alias, undefined);
    }
    this.check(during);
    const failed = results.find(({ status }) => status === 'rejected');
    if (failed !== undefined) throw /** @type {PromiseRejectedResult} */ (failed).reason;
  }
}

/**
 * @param {Client} client
 * @param {Record<string, import('../adapter').TokenSpec>} tokens
 * @param {import('../adapter').TakeOptions} options
 */
async function takeTokens(client, tokens, options) {
  const specs = specsOf(tokens);
  const ways = await waysOf(client, specs, options.known ?? []);
  const since = performance.now();
  const aliases = (/** @type {string} */ key) =>
    [...specs].filter(([, spec]) => spec.key === key).map(([alias]) => alias);
  const grants = await leaseAll(client, specs, ways, options).catch(async (error) => {
    throw await explained(client, error, { aliases, since });
  });
  try {
    /** @type {Record<string, any>} */
    const values = {};
    for (const [alias, { key }] of specs) {
      const lease = grants.leases.get(alias);
      values[alias] = lease === undefined ? await client.get(key) : lease.value;
    }
    return new Taken(values, grants, specs);
  } catch (error) {
    await giveBack(grants);
    throw error;
  }
}

/**
 * @param {Client} client
 * @param {string} key
 * @param {import('../index').AcquireOptions & { workerId: string, noticeMs?: import('../index').Duration }} options
 */
async function acquireNoticed(client, key, { noticeMs, ...options }) {
  const since = performance.now();
  try {
    return await client.acquire(key, defined({ ...options, waitNoticeMs: noticeMs }));
  } catch (error) {
    throw await explained(client, error, { key, aliases: () => [], since });
  }
}

/**
 * Like acquireNoticed; the lease is one token, whose alias is the key.
 * @param {Client} client
 * @param {string} key
 * @param {import('../index').AcquireOptions & { workerId: string, noticeMs?: import('../index').Duration }} options
 */
async function takeOne(client, key, options) {
  const lease = await acquireNoticed(client, key, options);
  /** @type {any} */
  const groups = [lease];
  const spec = defined({ key, ttl: options.ttl });
  const specs = new Map([[key, /** @type {Spec} */ (/** @type {unknown} */ (spec))]]);
  return new Taken({ [key]: lease.value }, { leases: new Map([[key, lease]]), groups }, specs);
}

/**
 * @param {{ values: Record<string, any> } | null | undefined} taken
 * @param {string} alias
 * @param {string} [from] the hook from which on there are tokens
 */
function getToken(taken, alias, from = 'beforeSession') {
  if (!taken) throw errors.invalid(`getToken() works from ${from} on.`);
  if (Object.hasOwn(taken.values, alias)) return taken.values[alias];
  throw errors.noSuchAlias(alias, Object.keys(taken.values));
}

module.exports = { acquireNoticed, checkKeys, getToken, takeOne, takeTokens, worker };

/**
 * The run: one broker for all adapters of a process, whichever copies of this module they use. The registry
 * is a property of the global object, so the shared run must be used through its methods only.
 */
'use strict';

const { Broker, PipeClient } = require('../index.js');
const { BrokerError } = require('../client/client.js');
const { checkRunOptions, shardOf, specsOf } = require('./options.js');
const { Seeds } = require('./seeds.js');
const { checkKeys } = require('./tokens.js');

const REGISTRY = Symbol.for('ephemeral-pipe-broker.run');
const PING_MS = 500;
/** For a broker that accepts a connection and does not answer within PING_MS: it may be busy. */
const BUSY_MS = 5000;
const PROBE = 'ephemeral-pipe-broker.probe';
/** Codes of a broker that has ended, or ends now. */
const GONE = new Set(['broker_gone', 'draining']);

/**
 * @typedef {import('../adapter').RunOptions} RunOptions
 * @typedef {import('./options').Shard} Shard
 * @typedef {{ current: Shared | null }} Registry
 */

/** @returns {Registry} */
function registry() {
  const realm = /** @type {Record<symbol, Registry>} */ (/** @type {unknown} */ (globalThis));
  realm[REGISTRY] ??= { current: null };
  return realm[REGISTRY];
}

/**
 * @param {import('../index').PipeClient} client
 * @returns {string | null} null: it answers; else why it is not used
 */
function unreachable(client) {
  for (const timeout of [PING_MS, BUSY_MS]) {
    try {
      client.getSync(PROBE, { default: null, timeout });
      return null;
    } catch (error) {
      const code = error instanceof BrokerError ? error.code : '';
      if (GONE.has(code)) return 'has ended';
      if (code !== 'timeout') throw error;
    }
  }
  return 'does not answer';
}

/** @returns {import('../index').PipeClient | null} a client of the broker around this process */
function aroundUs() {
  const pipe = process.env.EPHEMERAL_PIPE;
  if (!pipe) return null;
  const client = new PipeClient(pipe);
  try {
    const reason = unreachable(client);
    if (reason === null) return client;
    process.stderr.write(
      `ephemeral-broker: EPHEMERAL_PIPE names a broker that ${reason} (${pipe}); started a new one.\n`,
    );
  } catch (error) {
    client.close();
    throw error;
  }
  client.close();
  return null;
}

/** @param {import('../index').BrokerOptions} [options] */
function startBroker(options = {}) {
  const { EPHEMERAL_SECRET, BROKER_SECRET } = process.env;
  const isGiven = options.secret !== undefined || options.auth !== undefined;
  const secret = isGiven || EPHEMERAL_SECRET || BROKER_SECRET ? {} : { secret: 'auto' };
  const broker = new Broker({ ...secret, ...options, exportEnv: true });
  broker.startSync();
  broker.unref();
  return broker;
}

/** What all users of the run in this process share. */
class Shared {
  #broker;
  #seeds = new Seeds();
  /** @type {Set<User>} */
  #users = new Set();
  /** How often the run has ended, for endRun. */
  #ends = 0;
  /** @type {Promise<void> | null} */
  #ending = null;
  #onEmpty;

  /**
   * @param {RunOptions} options
   * @param {() => void} onEmpty called when the last user stops
   */
  constructor(options, onEmpty) {
    const around = aroundUs();
    this.#onEmpty = onEmpty;
    this.#broker = around === null ? startBroker(options.broker) : null;
    this.client = around ?? /** @type {Broker} */ (this.#broker).client();
    this.pipe = this.client.pipe;
  }

  get owned() {
    return this.#broker !== null;
  }

  get ends() {
    return this.#ends;
  }

  get ending() {
    return this.#ending;
  }

  /**
   * @param {RunOptions} options
   * @param {{ adapter: string, shard?: Shard | null }} who
   */
  join(options, who) {
    const user = new User(this, options, who);
    this.#users.add(user);
    return user;
  }

  /**
   * @param {RunOptions} options
   * @param {Shard | null} shard
   */
  plant(options, shard) {
    return this.#seeds.plant(this.client, options, shard);
  }

  /** @returns {Promise<void>} */
  end() {
    this.#ending ??= this.#end().finally(() => (this.#ending = null));
    return this.#ending;
  }

  async #end() {
    this.#ends++;
    for (const user of this.#users) await user.options.cleanup?.(this.client);
    // What is in a broker around us belongs to the command that it runs, too.
    if (this.#broker === null) return;
    await this.client.clear();
    await this.#seeds.plantAgain(this.client);
  }

  /** @param {User} user */
  async leave(user) {
    if (!this.#drop(user)) return;
    const stopped = this.#broker?.stop();
    await this.client.close();
    await stopped;
  }

  /** @param {User} user */
  leaveSync(user) {
    if (!this.#drop(user)) return;
    this.client.close();
    this.#broker?.stopSync();
  }

  /**
   * @param {User} user
   * @returns {boolean} whether it was the last one
   */
  #drop(user) {
    if (!this.#users.delete(user) || this.#users.size > 0) return false;
    this.#onEmpty();
    return true;
  }
}

/** One call of ensureRun. */
class User {
  #shared;
  #shard;
  /** The last end of the run that this user has seen. */
  #ended = 0;
  #stopped = false;
  /** @type {Promise<void> | null} */
  #ready = null;

  /**
   * @param {Shared} shared
   * @param {RunOptions} options
   * @param {{ adapter: string, shard?: Shard | null }} who
   */
  constructor(shared, options, who) {
    this.#shared = shared;
    this.#shard = who.shard;
    this.#ended = shared.ends;
    this.options = options;
    this.owned = shared.owned;
    this.pipe = shared.pipe;
    this.client = shared.client;
  }

  /**
   * @param {{ shard?: Shard | null }} [late] what the runner says only after its configuration
   * @returns {Promise<void>}
   */
  ready(late = {}) {
    this.#ready ??= this.#plant(late.shard ?? this.#shard).catch((error) => {
      this.#ready = null;
      throw error;
    });
    return this.#ready;
  }

  /** @param {Shard | null | undefined} shard */
  async #plant(shard) {
    await this.#shared.plant(this.options, shardOf(this.options, shard));
  }

  /** @returns {Promise<void>} */
  async check() {
    const { pools = {}, values = {}, limits = {}, tokens } = this.options;
    const known = [pools, limits, values].flatMap((all) => Object.keys(all));
    await checkKeys(this.client, specsOf(tokens), known);
  }

  /** @returns {Promise<void>} */
  async endRun() {
    if (this.#stopped) return;
    const { ends } = this.#shared;
    if (this.#ended < ends) {
      // Another user has ended this run already, or is about to.
      this.#ended = ends;
      await this.#shared.ending;
      return;
    }
    const ended = this.#shared.end();
    this.#ended = this.#shared.ends;
    await ended;
  }

  /** @returns {Promise<void>} */
  async stop() {
    this.#stopped = true;
    await this.#shared.leave(this);
  }

  stopSync() {
    this.#stopped = true;
    this.#shared.leaveSync(this);
  }
}

/**
 * @param {RunOptions} options
 * @param {{ adapter: string, shard?: Shard | null }} who
 * @returns {import('../adapter').Run}
 */
function ensureRun(options, who) {
  checkRunOptions(options);
  const entry = registry();
  if (entry.current === null) {
    entry.current = new Shared(options, () => {
      entry.current = null;
    });
  }
  return entry.current.join(options, who);
}

module.exports = { ensureRun };

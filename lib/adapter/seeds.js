/**
 * What a run stores before its first worker. Functions of the user run once, whichever copy of this module
 * or adapter asks first; their results are kept for the next run of a watch mode.
 */
'use strict';

const { BrokerError } = require('../client/client.js');
const { invalid } = require('./errors.js');

/**
 * @typedef {import('../index').PipeClient} PipeClient
 * @typedef {import('./options').Shard} Shard
 * @typedef {(client: PipeClient) => Promise<unknown>} Define
 */

/**
 * @param {PipeClient} client
 * @param {string} key
 * @param {unknown} value
 * @param {import('../index').Ttl} ttl
 */
async function setIfAbsent(client, key, value, ttl) {
  try {
    await client.set(key, /** @type {any} */ (value), { ttl, ifAbsent: true });
  } catch (error) {
    // It is there: from the broker around us, or from another run below it.
    if (!(error instanceof BrokerError) || error.code !== 'conflict') throw error;
  }
}

/**
 * @param {string} key
 * @param {unknown} elements
 * @param {Shard | null} shard
 * @returns {readonly unknown[]}
 */
function elementsOf(key, elements, shard) {
  if (!Array.isArray(elements)) throw invalid(`The pool "${key}" is a list of elements.`);
  if (shard === null) return elements;
  const own = elements.filter((_, i) => (i % shard.total) + 1 === shard.index);
  if (own.length > 0) return own;
  const count = `it has ${elements.length}`;
  throw invalid(
    `Shard ${shard.index} of ${shard.total} gets no element of the pool "${key}": ${count}.`,
  );
}

/** @param {unknown} source */
const resultOf = (source) => (typeof source === 'function' ? source() : source);

class Seeds {
  /** How to store each thing again, by name. @type {Map<string, Promise<Define>>} */
  #defines = new Map();

  /**
   * @param {PipeClient} client
   * @param {import('../adapter').RunOptions} options
   * @param {Shard | null} shard
   */
  async plant(client, { pools = {}, values = {}, limits = {}, ttl = Infinity }, shard) {
    /** @type {Promise<unknown>[]} */
    const all = [];
    for (const [key, source] of Object.entries(pools)) {
      const define = async () => {
        const elements = elementsOf(key, await resultOf(source), shard);
        return (/** @type {PipeClient} */ to) => to.pool(key, elements);
      };
      all.push(this.#once(client, `pool ${key}`, source, define));
    }
    for (const [key, count] of Object.entries(limits)) {
      const define = async () => (/** @type {PipeClient} */ to) => to.limit(key, count);
      all.push(this.#once(client, `limit ${key}`, count, define));
    }
    for (const [key, source] of Object.entries(values)) {
      const define = async () => {
        const value = await resultOf(source);
        return (/** @type {PipeClient} */ to) => setIfAbsent(to, key, value, ttl);
      };
      all.push(this.#value(client, key, source, define));
    }
    await allOf(all);
  }

  /**
   * @param {PipeClient} client
   * @param {string} name
   * @param {unknown} source a function runs once; anything else is compared by the broker
   * @param {() => Promise<Define>} define
   */
  async #once(client, name, source, define) {
    let made = this.#defines.get(name);
    if (made === undefined || typeof source !== 'function') {
      made = define();
      this.#defines.set(name, made);
    }
    try {
      await (
        await made
      )(client);
    } catch (error) {
      if (this.#defines.get(name) === made) this.#defines.delete(name);
      throw error;
    }
  }

  /**
   * A function is not called for a value that the broker has.
   * @param {PipeClient} client
   * @param {string} key
   * @param {unknown} source
   * @param {() => Promise<Define>} define
   */
  async #value(client, key, source, define) {
    const name = `value ${key}`;
    const isKnown = this.#defines.has(name);
    if (typeof source === 'function' && !isKnown && (await client.has(key))) return;
    await this.#once(client, name, source, define);
  }

  /** @param {PipeClient} client */
  async plantAgain(client) {
    await allOf([...this.#defines.values()].map(async (made) => (await made)(client)));
  }
}

/**
 * Waits for all, so that nothing goes on behind an error.
 * @param {Promise<unknown>[]} promises
 */
async function allOf(promises) {
  await Promise.allSettled(promises);
  await Promise.all(promises);
}

module.exports = { Seeds };

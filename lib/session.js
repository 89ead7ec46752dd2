'use strict';
/**
 * What this thread holds at a broker through one connection: leases, watches, and the grants that
 * `lease()` got, which have no handle. All of that ends with the connection. The broker's events are
 * handed out here.
 *
 * Invariants:
 * - what a reply gives is here before its promise settles, so that an event right behind the reply
 *   finds it;
 * - a grant without a TTL is renewed by native code while it is here, and not afterwards;
 * - a grant that ended with a connection is told once: in the next renewal of its worker.
 */

const packed = require('./packed');

/**
 * @typedef {import('./lease').Lease} Lease
 * @typedef {import('./watch').Watch} Watch
 * @typedef {{ key: string, workerId: string }} Grant
 * @typedef {{ start: (token: number) => number, stop: (kept: number) => void }} Renewal by native code
 */

/** Like the broker: a worker that never renews does not cost more than this. */
const LOSSES_MAX = 10_000;

/** Tokens by worker and key, so that ending those of one costs nothing for the others. */
class Holders {
  /** @type {Map<string, Map<string, Set<number>>>} */
  #workers = new Map();

  /**
   * @param {Grant} grant
   * @param {number} token
   */
  add({ workerId, key }, token) {
    const keys = this.#workers.get(workerId) ?? new Map();
    const tokens = keys.get(key) ?? new Set();
    this.#workers.set(workerId, keys.set(key, tokens.add(token)));
  }

  /**
   * @param {Grant} grant
   * @param {number} token
   */
  remove({ workerId, key }, token) {
    const keys = this.#workers.get(workerId);
    const tokens = keys?.get(key);
    if (keys === undefined || tokens === undefined) return;
    tokens.delete(token);
    if (tokens.size === 0) keys.delete(key);
    if (keys.size === 0) this.#workers.delete(workerId);
  }

  /**
   * @param {string} workerId '': of any
   * @param {string} key '': of any
   * @returns {number[]}
   */
  tokens(workerId, key) {
    const ofWorker = this.#workers.get(workerId);
    const workers = workerId === '' ? [...this.#workers.values()] : ofWorker ? [ofWorker] : [];
    return workers.flatMap((keys) => {
      const sets = key === '' ? [...keys.values()] : [keys.get(key) ?? []];
      return sets.flatMap((tokens) => [...tokens]);
    });
  }

  clear() {
    this.#workers.clear();
  }
}

class Session {
  /** @type {Map<number, Lease>} by token */
  #leases = new Map();
  /** Of leases and grants. */
  #holders = new Holders();
  /** @type {Map<number, Watch>} by the id of the request */
  #watches = new Map();
  /** @type {Map<number, Grant>} by token */
  #grants = new Map();
  /** @type {Map<number, number>} what renews a grant, by token */
  #kept = new Map();
  /** @type {Map<number, Grant>} that ended with a connection, by token */
  #losses = new Map();
  #renewal;

  /** @param {Renewal} renewal */
  constructor(renewal) {
    this.#renewal = renewal;
  }

  /** Whether there is somebody to be told of events. */
  get listening() {
    return this.#leases.size > 0 || this.#watches.size > 0;
  }

  /**
   * @param {number} token
   * @param {Lease} lease
   */
  addLease(token, lease) {
    this.#leases.set(token, lease);
    this.#holders.add(lease.grant, token);
  }

  /** @param {number} token */
  removeLease(token) {
    const lease = this.#leases.get(token);
    if (lease === undefined) return;
    this.#leases.delete(token);
    this.#holders.remove(lease.grant, token);
  }

  /**
   * @param {number} id
   * @param {Watch} watch
   */
  addWatch(id, watch) {
    this.#watches.set(id, watch);
  }

  /** @param {number} id */
  removeWatch(id) {
    this.#watches.delete(id);
  }

  /** @param {number} id */
  hasWatch(id) {
    return this.#watches.has(id);
  }

  /**
   * Leases and watches that an owner made.
   * @param {(owner: object) => boolean} isIts
   */
  ownedBy(isIts) {
    return {
      leases: [...this.#leases.values()].filter(({ owner }) => isIts(owner)),
      watches: [...this.#watches.values()].filter(({ owner }) => isIts(owner)),
    };
  }

  /**
   * @param {number} token that may be here already: the holder asked again
   * @param {Grant} grant
   * @param {boolean} isKept it has no TTL
   */
  addGrant(token, grant, isKept) {
    // There is one at a time: an earlier one has ended, by another copy's release perhaps.
    const others = this.#holders.tokens(grant.workerId, grant.key);
    for (const other of others) if (other !== token) this.#removeGrant(other);
    this.#grants.set(token, grant);
    this.#holders.add(grant, token);
    if (!isKept) this.#unkeep(token);
    else if (!this.#kept.has(token)) this.#kept.set(token, this.#renewal.start(token));
  }

  /** @param {number} token */
  #removeGrant(token) {
    const grant = this.#grants.get(token);
    if (grant === undefined) return;
    this.#unkeep(token);
    this.#grants.delete(token);
    this.#holders.remove(grant, token);
  }

  /** @param {number} token */
  #unkeep(token) {
    const kept = this.#kept.get(token);
    if (kept === undefined) return;
    this.#kept.delete(token);
    this.#renewal.stop(kept);
  }

  /**
   * The grants of a worker, or that of a key, have a TTL from now on.
   * @param {string} workerId
   * @param {string} key '': of any
   */
  limited(workerId, key) {
    for (const token of this.#holders.tokens(workerId, key)) this.#unkeep(token);
  }

  /**
   * Whether it is of this connection.
   * @param {number} token
   */
  holds(token) {
    return this.#leases.has(token) || this.#grants.has(token);
  }

  /** @param {number} token */
  hasGrant(token) {
    return this.#grants.has(token);
  }

  /**
   * Those of a worker, of a key, or both, were released, handles or not.
   * @param {string} workerId '': of any
   * @param {string} key '': of any
   */
  released(workerId, key) {
    for (const token of this.#holders.tokens(workerId, key)) this.lost(token);
  }

  /**
   * What a worker lost with earlier connections, and has not been told.
   * @param {string} workerId
   * @param {string} key '': of any
   * @returns {import('./packed').Loss[]}
   */
  takeLosses(workerId, key) {
    const losses = [];
    for (const [token, grant] of this.#losses) {
      if (grant.workerId !== workerId || (key !== '' && grant.key !== key)) continue;
      this.#losses.delete(token);
      losses.push({ key: grant.key, token });
    }
    return losses;
  }

  /**
   * A lease ended without its holder's doing.
   * @param {number} token
   */
  lost(token) {
    this.#removeGrant(token);
    const lease = this.#leases.get(token);
    this.removeLease(token);
    lease?.end('lease_lost');
  }

  /**
   * @param {Buffer} buffer
   * @param {import('./frame').Reply} reply with id 0, of a watch
   * @returns {boolean} false: it is malformed
   */
  watched(buffer, reply) {
    const events = packed.getEvents(buffer, reply.bodyAt, reply.bodyEnd);
    if (events === null) return false;
    this.#watches.get(reply.count)?.push(events);
    return true;
  }

  /** The connection is gone. */
  end() {
    for (const token of [...this.#kept.keys()]) this.#unkeep(token);
    for (const [token, grant] of this.#grants) this.#losses.set(token, grant);
    this.#grants.clear();
    for (const token of this.#losses.keys()) {
      if (this.#losses.size <= LOSSES_MAX) break;
      this.#losses.delete(token);
    }
    const leases = [...this.#leases.values()];
    const watches = [...this.#watches.values()];
    this.#leases.clear();
    this.#watches.clear();
    this.#holders.clear();
    for (const lease of leases) lease.end('broker_gone');
    for (const watch of watches) watch.end();
  }
}

module.exports = { Session };

/**
 * What this thread holds at a broker through one connection: leases, watches, and the grants that
 * `lease()` got, which have no handle. All of that ends with the connection. The broker's events are
 * handed out here.
 *
 * Invariants:
 * - what a reply gives is here before its promise settles, so that an event right behind the reply
 *   finds it;
 * - a grant is the thread's while it is here (see `hold` in binding.js), and renewed when it has no TTL;
 *   afterwards only where this copy of the module ends and leaves it to the thread;
 * - a grant that ended with a connection is told once: in the next renewal of its worker.
 */
'use strict';

const packed = require('./list_codec.js');

/**
 * @typedef {import('./lease').Lease} Lease
 * @typedef {import('./watch').Watch} Watch
 * @typedef {{ key: string, workerId: string }} Grant
 * @typedef {object} Holding by native code
 * @property {(token: number, isRenewed: boolean) => boolean} hold
 * @property {(token: number) => boolean} drop
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

class Holdings {
  /** @type {Map<number, Lease>} by token */
  #leases = new Map();
  /** Of leases and grants. */
  #holders = new Holders();
  /** @type {Map<number, Watch>} by the id of the request */
  #watches = new Map();
  /** @type {Map<number, Grant>} by token */
  #grants = new Map();
  /** @type {Set<number>} which of them the thread holds, by token */
  #held = new Set();
  /** @type {Map<number, Grant>} that ended with a connection, by token */
  #losses = new Map();
  #holding;

  /** @param {Holding} holding */
  constructor(holding) {
    this.#holding = holding;
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
   * @param {boolean} isRenewed it has no TTL
   */
  addGrant(token, grant, isRenewed) {
    // There is one at a time: an earlier one has ended, by another copy's release perhaps.
    const others = this.#holders.tokens(grant.workerId, grant.key);
    for (const other of others) if (other !== token) this.#removeGrant(other);
    this.#grants.set(token, grant);
    this.#holders.add(grant, token);
    this.#hold(token, isRenewed);
  }

  /**
   * @param {number} token
   * @param {boolean} isRenewed
   */
  #hold(token, isRenewed) {
    const isHeld = this.#held.has(token);
    // Each time: another copy may have asked otherwise meanwhile.
    if (!this.#holding.hold(token, isRenewed)) return;
    this.#held.add(token);
    // One claim is enough.
    if (isHeld) this.#holding.drop(token);
  }

  /** @param {number} token */
  #removeGrant(token) {
    const grant = this.#grants.get(token);
    if (grant === undefined) return;
    this.#drop(token);
    this.#grants.delete(token);
    this.#holders.remove(grant, token);
  }

  /** @param {number} token */
  #drop(token) {
    if (this.#held.delete(token)) this.#holding.drop(token);
  }

  /**
   * The grants of a worker, or that of a key, have a TTL from now on.
   * @param {string} workerId
   * @param {string} key '': of any
   */
  limited(workerId, key) {
    for (const token of this.#holders.tokens(workerId, key)) {
      if (this.#held.has(token)) this.#hold(token, false);
    }
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
   * @returns {import('./list_codec').Loss[]}
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

  /** This copy of the module ends: what it got by `lease()` is left to the thread. */
  leave() {
    this.#held.clear();
    for (const [token, grant] of this.#grants) this.#holders.remove(grant, token);
    this.#grants.clear();
  }

  /**
   * Its client is closed, and what it got by `lease()` is to be given back.
   * @returns {number[]} tokens of what nothing else of this thread has got, too
   */
  takeGrants() {
    const tokens = [...this.#held].filter((token) => this.#holding.drop(token));
    this.leave();
    return tokens;
  }

  /** The connection is gone. */
  end() {
    for (const token of [...this.#held]) this.#drop(token);
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

module.exports = { Holdings };

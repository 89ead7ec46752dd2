/**
 * The leases, watches and grants that this thread has at a broker through one connection. A grant is the
 * result of `lease()`: it has no handle. All of them end with the connection. The broker's events are
 * dispatched here.
 *
 * Invariants:
 * - a lease, grant or watch is added before the promise of its reply settles, so that an event right after
 *   the reply finds it;
 * - while a grant is here, the thread holds it (see `hold` in binding.js), and renews it if it has no TTL.
 *   When this copy of the module ends, the thread keeps the grant; otherwise a grant that leaves is dropped;
 * - a grant that ended with a connection is reported once, in the next renewal of its worker.
 */
'use strict';

const packed = require('./list_codec.js');

/**
 * @typedef {import('./lease').Lease} Lease
 * @typedef {import('./watch').Watch} Watch
 * @typedef {{ key: string, workerId: string }} Grant
 * @typedef {object} Holding the native channel's functions
 * @property {(token: number, isRenewed: boolean) => boolean} hold
 * @property {(token: number) => boolean} drop
 */

/** Bounds the unreported losses of workers that never renew, like the broker does. */
const LOSSES_MAX = 10_000;

/** Tokens by worker and key, so that ending the leases of one worker does not scan those of others. */
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
   * @param {string} workerId '': any
   * @param {string} key '': any
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
  /** The tokens of leases and grants. */
  #holders = new Holders();
  /** @type {Map<number, Watch>} by the id of the request */
  #watches = new Map();
  /** @type {Map<number, Grant>} by token */
  #grants = new Map();
  /** @type {Set<number>} tokens of the grants that the thread holds */
  #held = new Set();
  /** @type {Map<number, Grant>} grants that ended with a connection, by token */
  #losses = new Map();
  #holding;

  /** @param {Holding} holding */
  constructor(holding) {
    this.#holding = holding;
  }

  /** Whether a lease or watch listens for events. */
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
   * @param {number} token may be here already, if the worker asked again
   * @param {Grant} grant
   * @param {boolean} isRenewed native code renews it, since it has no TTL
   */
  addGrant(token, grant, isRenewed) {
    // A worker has one grant per key: an earlier one has ended, perhaps by another copy's release.
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
    // Called each time: another copy may have asked with another TTL meanwhile.
    if (!this.#holding.hold(token, isRenewed)) return;
    this.#held.add(token);
    // Keep one claim only.
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
   * The grants of a worker, or its grant of one key, have a TTL from now on: stops their renewal.
   * @param {string} workerId
   * @param {string} key '': any
   */
  limited(workerId, key) {
    for (const token of this.#holders.tokens(workerId, key)) {
      if (this.#held.has(token)) this.#hold(token, false);
    }
  }

  /**
   * Whether a lease or grant belongs to this connection.
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
   * All leases and grants of a worker, of a key, or of both were released.
   * @param {string} workerId '': any
   * @param {string} key '': any
   */
  released(workerId, key) {
    for (const token of this.#holders.tokens(workerId, key)) this.lost(token);
  }

  /**
   * Removes and returns a worker's unreported losses from earlier connections.
   * @param {string} workerId
   * @param {string} key '': any
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
   * A lease has ended without a call of its holder.
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
   * @param {import('./frame').Reply} reply with id 0: events of a watch
   * @returns {boolean} false: the reply is malformed
   */
  watched(buffer, reply) {
    const events = packed.getEvents(buffer, reply.bodyAt, reply.bodyEnd);
    if (events === null) return false;
    this.#watches.get(reply.count)?.push(events);
    return true;
  }

  /** This copy of the module ends: the thread keeps its grants. */
  leave() {
    this.#held.clear();
    for (const [token, grant] of this.#grants) this.#holders.remove(grant, token);
    this.#grants.clear();
  }

  /**
   * The last client is closed: its grants must be released.
   * @returns {number[]} tokens of the grants that no other connection of this thread claims
   */
  takeGrants() {
    const tokens = [...this.#held].filter((token) => this.#holding.drop(token));
    this.leave();
    return tokens;
  }

  /** The connection has ended. */
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

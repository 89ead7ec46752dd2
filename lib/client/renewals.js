/** Leases that native code renews through a connection's channel, and the claims of its thread on them. */
'use strict';

const frame = require('./frame.js');
const { LEASE_TTL, RENEWALS_A_TTL } = require('./lease_ttl.js');

/** @param {number} ttl */
const intervalMs = (ttl) => Math.max(1, Math.floor(ttl / RENEWALS_A_TTL));

class Renewals {
  #channel;
  #action;

  /**
   * @param {import('../binding').NativeChannel} channel
   * @param {number} action the action `renew`
   */
  constructor(channel, action) {
    this.#channel = channel;
    this.#action = action;
  }

  /**
   * Renews a lease until `stop` or the end of the connection.
   * @param {number} token
   * @param {number} ttl
   * @returns {number} the id for stop and msSince
   */
  start(token, ttl) {
    const request = new frame.Request();
    request.action = this.#action;
    request.fence = token;
    request.flags = frame.FLAGS.fence;
    return this.#channel.startRenewal(frame.silentFrame(request), intervalMs(ttl));
  }

  /** @param {number} id */
  stop(id) {
    this.#channel.stopRenewal(id);
  }

  /**
   * @param {number} id
   * @returns {number | null} ms since it was last sent; null: the renewal has ended
   */
  msSince(id) {
    return this.#channel.msSinceRenewal(id);
  }

  /** Why the last renewal failed, such as 'EMFILE'; null: it did not fail. */
  get errno() {
    return this.#channel.renewalErrno;
  }

  /**
   * Claims a lease for the thread.
   * @param {number} token
   * @param {boolean} isRenewed it has no TTL
   * @returns {boolean} whether the thread holds it; false: there is no connection
   */
  hold(token, isRenewed) {
    return this.#channel.hold(token, intervalMs(LEASE_TTL.ms), isRenewed);
  }

  /**
   * @param {number} token
   * @returns {boolean} whether no other claim of this thread remains
   */
  drop(token) {
    return this.#channel.drop(token);
  }
}

module.exports = { Renewals };

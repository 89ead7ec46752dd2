/**
 * What a connection takes back: it cancels requests that wait at the broker, ends watches, and releases leases
 * that no caller has any more. These requests mean nothing on another connection.
 */
'use strict';

const frame = require('./frame.js');
const { PendingCall } = require('./pending_call.js');

/** Timeout of the releases of a client that closes. */
const GIVE_BACK_MS = 1000;

const nothing = () => {};

class Withdrawals {
  #connection;
  #calls;

  /**
   * @param {import('./connection').Connection} connection
   * @param {import('./pending_calls').PendingCalls} calls
   */
  constructor(connection, calls) {
    this.#connection = connection;
    this.#calls = calls;
  }

  /**
   * Aborts the waiting calls of an owner.
   * @param {(owner: object) => boolean} isIts
   * @param {(call: PendingCall) => unknown} reasonOf
   */
  abortWaits(isIts, reasonOf) {
    for (const call of this.#calls) {
      const owner = call.wait === null ? null : call.wait.owner;
      if (owner !== null && isIts(owner)) this.#connection.abort(call, reasonOf(call));
    }
  }

  /** @param {PendingCall} call that was handed over, and is settled */
  abandon(call) {
    this.#calls.abandon(call);
    this.#cancel(call.id, call.timeout);
  }

  /**
   * @param {number} id of the request
   * @param {number} timeout
   */
  endWatch(id, timeout) {
    const { session } = this.#connection;
    if (!session.hasWatch(id)) return;
    session.removeWatch(id);
    this.#cancel(id, timeout);
  }

  /**
   * Asks the broker to cancel a waiting request or a watch.
   * @param {number} id
   * @param {number} timeout
   */
  #cancel(id, timeout) {
    const request = new frame.Request();
    request.action = this.#connection.actions.cancel;
    request.count = id;
    request.flags = frame.FLAGS.count;
    this.#tell('cancel', timeout, request);
  }

  /**
   * Releases a lease whose caller has given up.
   * @param {number} token
   * @param {number} timeout
   */
  giveBack(token, timeout) {
    this.#tell('release', timeout, this.#releaseRequest(token));
  }

  /**
   * Releases leases and waits until that is done, or has failed.
   * @param {number[]} tokens
   */
  async giveBackAll(tokens) {
    const released = tokens.map((token) => {
      const request = this.#releaseRequest(token);
      return this.#connection.send('release', undefined, GIVE_BACK_MS, request, nothing);
    });
    await Promise.allSettled(released);
  }

  /** @param {number} token */
  #releaseRequest(token) {
    const request = new frame.Request();
    request.action = this.#connection.actions.release;
    request.fence = token;
    request.flags = frame.FLAGS.fence;
    return request;
  }

  /**
   * Sends a request whose result is ignored.
   * @param {string} operation
   * @param {number} timeout
   * @param {frame.Request} request
   */
  #tell(operation, timeout, request) {
    const call = new PendingCall(operation, nothing, nothing, nothing);
    call.timeout = timeout;
    call.bound = true;
    this.#connection.submit(call, request);
  }
}

module.exports = { Withdrawals };

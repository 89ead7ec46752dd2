/**
 * Connects a channel to its broker: when to try again, and when to give up.
 *
 * Invariant: `opened` is about the present connection, or the last one if there is none.
 */
'use strict';

const { BrokerError, sentence } = require('../error.js');
const { codeOf } = require('./pending_call.js');
const { Backoff, isMissing, isPassing, unreachable } = require('./reconnect.js');

/** Before the first connection, a pipe that is missing or refuses is retried for this long. */
const MISSING_MS = 20;

/**
 * @typedef {object} Host
 * @property {() => void} onConnected
 * @property {(error: BrokerError) => void} onRefused there will be no further attempt for the present calls
 * @property {() => void} onPauseOver time for the next attempt
 */

class Connector {
  connected = false;
  /** The broker has proved that it knows the secret; without a secret, true at once. */
  opened = false;
  #pipe;
  #channel;
  #timeout;
  #timers;
  #host;
  /** Why the last attempt failed. */
  #errno = '';
  #backoff = new Backoff();
  /** There was a connection before, so a broker's return is worth waiting for. */
  #wasOpen = false;
  /** When connecting began; Infinity while not connecting. */
  #since = Infinity;

  /**
   * @param {object} given
   * @param {string} given.pipe
   * @param {import('../binding').NativeChannel} given.channel
   * @param {number} given.timeout ms; Infinity: none
   * @param {import('./timers').Timers} given.timers
   * @param {Host} host
   */
  constructor({ pipe, channel, timeout, timers }, host) {
    this.#pipe = pipe;
    this.#channel = channel;
    this.#timeout = timeout;
    this.#timers = timers;
    this.#host = host;
  }

  /** A pause lasts until the next attempt. */
  get pausing() {
    return this.#backoff.pausing;
  }

  get keepsProcess() {
    return this.#backoff.pausing;
  }

  get dueAt() {
    return Math.min(this.#giveUpAt, this.#backoff.until);
  }

  get #giveUpAt() {
    return this.#since + this.#timeout;
  }

  /** @param {number} now */
  due(now) {
    this.giveUpIfDue(now);
    if (this.#backoff.until > now) return;
    this.#backoff.end();
    this.#host.onPauseOver();
  }

  clear() {
    this.#backoff.end();
  }

  /**
   * @param {number} now
   * @returns {boolean} whether it is connected; if not, a pause has begun, or the host was told the refusal
   */
  connect(now) {
    if (this.connected) return true;
    if (this.#since === Infinity) {
      this.#since = now;
      this.#timers.update(now);
    }
    const status = this.#channel.connect();
    if (status === 0) {
      this.#hasConnected();
      return true;
    }
    const { errno } = this.#channel;
    this.#errno = errno ?? '';
    if (isPassing(this.#errno) && !this.#isGivenUp(now)) this.#pause(now);
    else this.#host.onRefused(errno === null ? errorOf(codeOf(status)) : this.#unreachable());
    return false;
  }

  #hasConnected() {
    this.#backoff.end();
    this.connected = true;
    this.#errno = '';
    this.opened = false;
    if (this.#channel.open) this.hasOpened();
    this.#host.onConnected();
  }

  hasOpened() {
    this.opened = true;
    this.#wasOpen = true;
    this.#since = Infinity;
    this.#backoff.reset();
  }

  /**
   * The broker has closed the connection. Before it has opened, there is a pause.
   * @param {number} now
   */
  hasDied(now) {
    if (this.opened) return;
    this.#errno = 'ECONNRESET';
    this.#pause(now);
  }

  /** There is no connection any more. */
  lose() {
    this.connected = false;
  }

  /** No call wants a connection any more. */
  stop() {
    this.#since = Infinity;
  }

  /** Ends the pause without another attempt. */
  endPause() {
    this.#backoff.end();
  }

  /**
   * Whether failed attempts have taken too long to go on.
   * @param {number} now
   */
  #isGivenUp(now) {
    const isMissed = !this.#wasOpen && isMissing(this.#errno);
    const missing = isMissed ? MISSING_MS : Infinity;
    return now - this.#since >= Math.min(missing, this.#timeout);
  }

  /**
   * @param {number} now
   * @returns {boolean} whether connecting has exceeded its time-out
   */
  giveUpIfDue(now) {
    if (this.#giveUpAt > now) return false;
    const message = `No broker at ${this.#pipe}: it has not let us in within ${this.#timeout} ms.`;
    this.#backoff.end();
    this.#channel.close();
    const isUnknown = this.#errno === '';
    this.#host.onRefused(isUnknown ? errorOf('broker_gone', message) : this.#unreachable());
    return true;
  }

  /** Why there is no connection; null if there is one, or if no attempt has failed. */
  get failure() {
    return this.connected || this.#errno === '' ? null : this.#unreachable();
  }

  #unreachable() {
    return unreachable(this.#pipe, this.#errno);
  }

  /** @param {number} now */
  #pause(now) {
    this.#backoff.start(now);
    this.#timers.update(now);
  }

  /** How long a thread that blocks sleeps before the next attempt. */
  sleepMs() {
    return this.#backoff.delayMs();
  }
}

/**
 * @param {string} code
 * @param {string} [message]
 */
function errorOf(code, message) {
  return new BrokerError(code, message ?? sentence(code));
}

module.exports = { Connector, errorOf };

/**
 * Other copies of this module in the same thread, which may hold what a call waits for. Test runners load the
 * module again for each test file. If no code can use a copy any more, collecting garbage closes its
 * connection, which releases its leases.
 */
'use strict';

const frame = require('./frame.js');
const { getLeases } = require('./list_codec.js');
const { collectGarbage } = require('./unreachable.js');

/** First check; the interval doubles each time. */
const FIRST_MS = 20;
const INTERVAL_MAX_MS = 10_000;
const KEYS_MAX = 8;

class Siblings {
  /** When to check whether another copy holds a key that a call waits for. */
  dueAt = Infinity;
  #intervalMs = FIRST_MS;
  #connection;
  #channel;
  #calls;
  #timers;

  /**
   * @param {import('./connection').Connection} connection
   * @param {object} given
   * @param {import('../binding').NativeChannel} given.channel
   * @param {import('./pending_calls').PendingCalls} given.calls
   * @param {import('./timers').Timers} given.timers
   */
  constructor(connection, { channel, calls, timers }) {
    this.#connection = connection;
    this.#channel = channel;
    this.#calls = calls;
    this.#timers = timers;
  }

  /** How many other copies of this module are connected in this thread. */
  get count() {
    return this.#channel.siblings;
  }

  /** A call waits. @param {number} now */
  watch(now) {
    if (this.dueAt !== Infinity || this.count === 0) return;
    this.dueAt = now + this.#intervalMs;
    this.#timers.update(now);
  }

  due() {
    this.dueAt = Infinity;
    const waiting = [...this.#calls].filter((call) => call.wait?.started && call.key);
    if (waiting.length === 0) {
      this.#intervalMs = FIRST_MS;
      return;
    }
    this.#intervalMs = Math.min(INTERVAL_MAX_MS, 2 * this.#intervalMs);
    const keys = [...new Set(waiting.map(({ key }) => String(key)))].slice(0, KEYS_MAX);
    for (const key of keys) this.free(key, waiting[0].timeout).catch(() => {});
  }

  clear() {
    this.dueAt = Infinity;
  }

  /**
   * Collects garbage if another copy holds a key.
   * @param {string} key
   * @param {number} timeout
   * @param {() => void} [onCollected] called after the collection, if another copy holds the key
   * @returns {Promise<boolean>} whether another copy holds the key, so that it may be free soon
   */
  async free(key, timeout, onCollected) {
    if (this.count === 0 || !(await this.#hold(key, timeout))) return false;
    this.#channel.wakeSiblings();
    collectGarbage(onCollected);
    return true;
  }

  /**
   * @param {string} key
   * @param {number} timeout
   * @returns {Promise<boolean>} whether this thread's session holds the key, but not by this copy
   */
  #hold(key, timeout) {
    const connection = this.#connection;
    const request = new frame.Request();
    request.action = connection.actions.leases;
    request.key = key;
    return connection.send('leases', key, timeout, request, (buffer, reply) => {
      const lines = getLeases(buffer, reply.bodyAt, reply.bodyEnd, 0) ?? [];
      return lines.some(
        (line) =>
          line.key === key &&
          line.state === 'held' &&
          line.session === this.#channel.session &&
          !connection.session.holds(Number(line.token)) &&
          !this.#channel.holds(Number(line.token)),
      );
    });
  }
}

module.exports = { Siblings };

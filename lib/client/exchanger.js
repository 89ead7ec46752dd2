/**
 * Hands the batches of the send queue over to the channel, reads the replies, and settles their calls.
 *
 * Invariants:
 * - no request leaves before the broker has proved that it knows the secret;
 * - buffers of requests and replies are wiped after use;
 * - no user code runs inside.
 */
'use strict';

const frame = require('./frame.js');
const { KEPT_BYTES, newBuffer, viewOf } = require('./send_queue.js');

const KIB = 1024;
/** While the channel has more unsent bytes than this, batches wait here. */
const UNSENT_MAX_BYTES = 1024 * KIB;
const INPUT_BYTES = 64 * KIB;

/** How long an exchange spins for replies. More than 25 on both sides brings almost no further gain. */
const SPIN_US = 25;
/** Plus this much per outstanding reply, up to SPIN_MAX_US. */
const SPIN_US_A_REPLY = 1 / 8;
const SPIN_MAX_US = 100;
/** After this long without use, a connection is checked before it is written to. */
const STALE_MS = 50;

/**
 * @typedef {object} Host
 * @property {(status: number) => void} onDied the channel has closed with this status
 * @property {() => void} onLostUnused it has closed while no request was handed over
 * @property {() => void} onMisunderstood the broker has sent a malformed frame
 */

class Exchanger {
  #channel;
  #connector;
  #calls;
  #session;
  #sendQueue;
  #host;
  #input = newBuffer(INPUT_BYTES);
  #inputView = viewOf(this.#input);
  #reply = new frame.Reply();
  #lastUsed = 0;
  #isUnsent = (/** @type {import('./pending_call').PendingCall} */ call) =>
    this.#sendQueue.holds(call);

  /**
   * @param {object} given
   * @param {import('../binding').NativeChannel} given.channel
   * @param {import('./connector').Connector} given.connector
   * @param {import('./pending_calls').PendingCalls} given.calls
   * @param {import('./holdings').Holdings} given.session
   * @param {import('./send_queue').SendQueue} given.sendQueue
   * @param {Host} host
   */
  constructor({ channel, connector, calls, session, sendQueue }, host) {
    this.#channel = channel;
    this.#connector = connector;
    this.#calls = calls;
    this.#session = session;
    this.#sendQueue = sendQueue;
    this.#host = host;
  }

  /** @param {number} now when the connection was made */
  hasConnected(now) {
    this.#lastUsed = now;
  }

  /**
   * Sends a part of a large batch before the end of the tick, so that the broker works while more is encoded.
   * Replies are still processed at the end of the tick: no callback runs in the middle of a call.
   * @param {number} now
   */
  sendEarly(now) {
    const { connected, opened } = this.#connector;
    if (!connected || !opened || now - this.#lastUsed > STALE_MS) return;
    if (this.#sendQueue.stale || this.#sendQueue.crowded || this.#channel.unsent > 0) return;
    const batch = this.#sendQueue.take();
    if (batch === null) return;
    this.#calls.startWaits(this.#isUnsent);
    this.#channel.exchange(batch.buffer, batch.size, null, 0);
    batch.buffer.fill(0, 0, batch.size);
  }

  /**
   * Hands over all batches and reads the replies.
   * @param {number} now
   * @returns {boolean} whether anything was received, or more can be done at once
   */
  exchangeAll(now) {
    if (now - this.#lastUsed > STALE_MS && !this.#isAlive()) return true;
    this.#lastUsed = now;
    if (!this.#connector.opened && !this.#shakeHands()) return !this.#connector.connected;
    let progress = false;
    while (this.#sendQueue.crowded && this.#channel.unsent < UNSENT_MAX_BYTES) {
      if (this.#handOver(this.#sendQueue.take(), 0)) progress = true;
      if (!this.#connector.connected) return true;
    }
    const last = this.#sendQueue.crowded ? null : this.#sendQueue.take();
    return this.#handOver(last, this.#spinUs()) || progress;
  }

  #spinUs() {
    return Math.min(SPIN_MAX_US, SPIN_US + Math.floor(this.#calls.expected * SPIN_US_A_REPLY));
  }

  /**
   * Holds requests back until the broker has proved that it knows the secret. If the connection ends before
   * (a broker under a rush of connections closes some), no call fails.
   * @returns {boolean} whether requests may be sent
   */
  #shakeHands() {
    this.#receive(this.#channel.exchange(null, 0, this.#input, SPIN_US));
    if (!this.#connector.connected || !this.#channel.open) return false;
    this.#connector.hasOpened();
    return true;
  }

  /**
   * @param {ReturnType<import('./send_queue').SendQueue['take']>} batch
   * @param {number} spinUs
   * @returns {boolean} whether anything was received
   */
  #handOver(batch, spinUs) {
    if (batch === null) return this.#receive(this.#channel.exchange(null, 0, this.#input, spinUs));
    this.#calls.startWaits(this.#isUnsent);
    const { buffer, size } = batch;
    const received = this.#channel.exchange(buffer, size, this.#input, spinUs);
    buffer.fill(0, 0, size);
    return this.#receive(received);
  }

  /**
   * Checks after a pause whether the broker is still connected, so that a connection it closed in the
   * meantime fails no call.
   */
  #isAlive() {
    const received = this.#channel.exchange(null, 0, this.#input, 0);
    if (received >= 0) {
      this.#receive(received);
      return this.#connector.connected;
    }
    if (!this.#connector.opened || this.#isAnyHanded()) this.#host.onDied(-received);
    else this.#host.onLostUnused();
    return false;
  }

  #isAnyHanded() {
    for (const call of this.#calls) if (!this.#sendQueue.holds(call)) return true;
    return false;
  }

  /**
   * Reads what has arrived.
   * @returns {boolean} whether anything was received
   */
  receive() {
    return this.#receive(this.#channel.exchange(null, 0, this.#input, 0));
  }

  /**
   * @param {number} result of channel.exchange()
   * @returns {boolean} whether anything was received
   */
  #receive(result) {
    let received = result;
    if (received === 0 && this.#channel.needed > this.#input.length) {
      this.#setInput(this.#channel.needed);
      received = this.#channel.exchange(null, 0, this.#input, 0);
    }
    if (received < 0) {
      this.#host.onDied(-received);
      return true;
    }
    if (received > 0) this.#dispatch(received);
    return received > 0;
  }

  /** @param {number} size */
  #setInput(size) {
    this.#input = newBuffer(size);
    this.#inputView = viewOf(this.#input);
  }

  /** @param {number} size */
  #dispatch(size) {
    const reply = this.#reply;
    for (let at = 0; at < size; at = reply.end) {
      if (!frame.getReply(this.#input, at, size, reply) || reply.version !== frame.VERSION) {
        this.#host.onMisunderstood();
        break;
      }
      reply.plain = frame.isPlainString(this.#inputView, reply.bodyAt, reply.bodyEnd);
      const call = this.#calls.take(reply.id);
      if (call !== undefined) call.settle(this.#input, reply);
      else if (reply.id !== 0) this.#undo(reply);
      else if (reply.status !== 0) this.#session.lost(reply.fence);
      else if (!this.#session.watched(this.#input, reply)) {
        this.#host.onMisunderstood();
        break;
      }
    }
    if (this.#input.length > KEPT_BYTES) this.#setInput(INPUT_BYTES);
    else this.#input.fill(0, 0, size);
  }

  /** @param {frame.Reply} reply to a call that was aborted */
  #undo(reply) {
    const call = this.#calls.takeAbandoned(reply.id);
    if (call !== undefined && reply.status === 0) call.undo(reply);
  }
}

module.exports = { Exchanger };

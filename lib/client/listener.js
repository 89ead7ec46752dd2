/**
 * Arms a connection's channel, so that its thread waits for replies and events, and decides whether the
 * process stays alive meanwhile.
 *
 * In a loop of awaited calls, events arrive with the replies, and an armed channel would only cause a
 * wake-up for each reply. Therefore an idle connection arms its channel in the next iteration of the event
 * loop.
 */
'use strict';

/** Delay before arming is retried, when the system has no descriptor or thread left for it. */
const ARM_AGAIN_MS = 10;

/**
 * @typedef {object} Host
 * @property {() => void} onReceived something arrived before the channel was armed
 * @property {() => void} onRetry polls, since the channel could not be armed
 */

class Listener {
  /** When to retry arming the channel; Infinity: no retry. */
  dueAt = Infinity;
  #channel;
  #calls;
  #session;
  #connector;
  #exchanger;
  #timers;
  #host;
  #armed = false;
  /** The channel keeps the process alive while it is armed. */
  #held = false;
  /** How many waiters for events keep the process alive. */
  #holders = 0;
  /** `turn` comes from the event loop. */
  #soon = false;

  /**
   * @param {object} given
   * @param {import('../binding').NativeChannel} given.channel after unref()
   * @param {import('./pending_calls').PendingCalls} given.calls
   * @param {import('./holdings').Holdings} given.session
   * @param {import('./connector').Connector} given.connector
   * @param {import('./exchanger').Exchanger} given.exchanger
   * @param {import('./timers').Timers} given.timers
   * @param {Host} host
   */
  constructor({ channel, calls, session, connector, exchanger, timers }, host) {
    this.#channel = channel;
    this.#calls = calls;
    this.#session = session;
    this.#connector = connector;
    this.#exchanger = exchanger;
    this.#timers = timers;
    this.#host = host;
  }

  /** In all other cases, channel.ref() keeps the process alive. */
  get keepsProcess() {
    return this.dueAt !== Infinity && this.#held;
  }

  /** Whether a call or a waiter for events keeps the process alive. */
  get held() {
    return this.#held;
  }

  due() {
    this.dueAt = Infinity;
    this.#host.onRetry();
  }

  clear() {
    this.dueAt = Infinity;
  }

  /** Keeps the process alive, while connected, until `unhold`. */
  hold() {
    this.#holders++;
    this.#keepProcess(true);
    this.listenSoon();
  }

  unhold() {
    this.#holders--;
    if (this.#holders === 0 && this.#calls.size === 0) this.#keepProcess(false);
  }

  /** No reply is expected soon: lets the process exit, unless a call waits at the broker or for an event. */
  rest() {
    const isWaiting = this.#calls.size > 0;
    this.#keepProcess(isWaiting || this.#holders > 0);
    if (isWaiting || this.#session.listening) this.listenSoon();
  }

  /** @param {boolean} alive */
  #keepProcess(alive) {
    if (this.#held === alive) return;
    this.#held = alive;
    if (alive) this.#channel.ref();
    else this.#channel.unref();
  }

  /** With unsent bytes, false: a channel armed before there were any waits only for reading. */
  #isArmed() {
    return this.#armed && this.#channel.unsent === 0;
  }

  /** The channel is not armed any more: it became ready, or was closed. */
  disarm() {
    this.#armed = false;
  }

  /** @param {number} now */
  arm(now) {
    if (this.#calls.size > 0) this.#keepProcess(true);
    if (this.#isArmed()) return;
    try {
      this.#channel.arm();
      this.#armed = true;
    } catch {
      this.#armLater(now);
    }
  }

  /** Until the system has a descriptor and a thread for waiting, the socket is polled. @param {number} now */
  #armLater(now) {
    if (this.dueAt !== Infinity) return;
    this.dueAt = now + ARM_AGAIN_MS;
    this.#timers.update(now);
  }

  /** Arms the channel for events, in the next iteration of the event loop. */
  listenSoon() {
    if (this.#soon || !this.#connector.connected || this.#isArmed()) return;
    this.#soon = true;
    this.#channel.turn();
  }

  /** Runs from the event loop, after `channel.turn()`. @param {number} now */
  turn(now) {
    if (!this.#soon) return;
    this.#soon = false;
    if (!this.#connector.connected || this.#isArmed()) return;
    if (this.#calls.size === 0 && !this.#session.listening) return;
    // Bytes that were already read from the socket would cause no wake-up.
    if (this.#exchanger.receive()) this.#host.onReceived();
    else this.arm(now);
  }
}

module.exports = { Listener };

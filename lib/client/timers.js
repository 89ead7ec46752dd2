/**
 * The due times of a connection, behind the one alarm of its channel. Nothing here depends on JavaScript
 * timers, which tests replace.
 *
 * Invariant: the channel's alarm is set to the earliest due time, or earlier. An alarm that comes too early
 * does no harm.
 */
'use strict';

const TIMER_MAX_MS = 0x7fffffff;

/**
 * @typedef {object} Timer something that becomes due
 * @property {number} dueAt Infinity: never
 * @property {boolean} [keepsProcess] the process stays alive until then
 * @property {(now: number) => void} due
 * @property {() => void} clear sets dueAt to Infinity
 */

class Timers {
  #channel;
  #onAlarm;
  /** @type {readonly Timer[]} */
  #timers = [];
  /** The alarm that the channel was set to last. */
  #alarmAt = Infinity;
  #alarmKeeps = false;

  /**
   * @param {import('../binding').NativeChannel} channel
   * @param {() => void} onAlarm must call `run`
   */
  constructor(channel, onAlarm) {
    this.#channel = channel;
    this.#onAlarm = onAlarm;
  }

  /** @param {readonly Timer[]} timers in the order in which they run */
  use(timers) {
    this.#timers = timers;
  }

  /**
   * Sets the alarm to the earliest due time. Must be called when a due time has become earlier.
   * @param {number} now
   */
  update(now) {
    let at = Infinity;
    let keeps = false;
    for (const timer of this.#timers) {
      at = Math.min(at, timer.dueAt);
      keeps ||= timer.keepsProcess === true;
    }
    if (at >= this.#alarmAt && (this.#alarmKeeps || !keeps)) return;
    this.#alarmAt = at;
    this.#alarmKeeps = keeps;
    this.#setAlarm(Math.min(TIMER_MAX_MS, Math.max(1, Math.ceil(at - now))), keeps);
  }

  /**
   * @param {number} delayMs
   * @param {boolean} keeps
   */
  #setAlarm(delayMs, keeps) {
    try {
      this.#channel.alarm(delayMs, keeps);
    } catch {
      // The system has no thread left. Node's timer works, unless a test has replaced it.
      const timer = require('node:timers').setTimeout(this.#onAlarm, delayMs);
      if (!keeps) timer.unref();
    }
  }

  /**
   * The alarm: handles everything that is due. It may come too early, when nothing is due.
   * @param {number} now
   */
  run(now) {
    this.#alarmAt = Infinity;
    this.#alarmKeeps = false;
    for (const timer of this.#timers) if (timer.dueAt <= now) timer.due(now);
    this.update(now);
  }

  clear() {
    for (const timer of this.#timers) timer.clear();
    this.#alarmAt = Infinity;
    this.#alarmKeeps = false;
    this.#channel.alarm(0, false);
  }
}

module.exports = { TIMER_MAX_MS, Timers };

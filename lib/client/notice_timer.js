/** When the warnings of waiting calls are due. wait_notice.js writes them. */
'use strict';

/** A waiting call warns after these multiples of its waitNoticeMs: 5 s, 30 s, 2 min by default. */
const NOTICES = [1, 6, 24];

/** @typedef {import('./pending_call').WaitState} WaitState */

/** @param {WaitState} wait */
function noticeAt({ noticeMs, notices, since, waitMs }) {
  const isNever = !noticeMs || waitMs === 0 || notices >= NOTICES.length;
  return isNever ? Infinity : since + noticeMs * NOTICES[notices];
}

class NoticeTimer {
  dueAt = Infinity;
  #calls;
  #timers;
  #notice;

  /**
   * @param {import('./pending_calls').PendingCalls} calls
   * @param {import('./timers').Timers} timers
   * @param {(due: { call: import('./pending_call').PendingCall, waitedMs: number }[]) => void} notice
   */
  constructor(calls, timers, notice) {
    this.#calls = calls;
    this.#timers = timers;
    this.#notice = notice;
  }

  /**
   * @param {WaitState} wait of a call that is about to wait
   * @param {number} now
   */
  add(wait, now) {
    wait.since = now;
    this.#dueBy(noticeAt(wait), now);
  }

  /**
   * @param {number} at
   * @param {number} now
   */
  #dueBy(at, now) {
    if (at >= this.dueAt) return;
    this.dueAt = at;
    this.#timers.update(now);
  }

  /** @param {number} now */
  due(now) {
    const due = [];
    this.dueAt = Infinity;
    for (const call of this.#calls) {
      const { wait } = call;
      if (wait === null || noticeAt(wait) === Infinity) continue;
      if (noticeAt(wait) <= now) {
        wait.notices++;
        if (wait.started) due.push({ call, waitedMs: now - wait.since });
      }
      this.#dueBy(noticeAt(wait), now);
    }
    if (due.length > 0) this.#notice(due);
  }

  clear() {
    this.dueAt = Infinity;
  }
}

module.exports = { NoticeTimer };

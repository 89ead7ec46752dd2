/** Why a lease was lost: the message of its error. A renewal that failed is named, with what to do about it. */
'use strict';

const STOOD_STILL =
  'The lease was lost: it was not renewed in time (this process stood still for longer than its TTL), or ' +
  'somebody released it by force.';
const BROKER_GONE = 'The lease was lost: the connection to its broker has ended.';

const LONGER_TTL = 'Give acquire() a longer ttl.';

/**
 * Why a renewal failed, and what to do, by the name of the error.
 * @type {Record<string, [why: string, hint: string]>}
 */
const FAILURES = {
  EMFILE: [
    'this process has no file descriptor left for the connection that renews it',
    'Close files and sockets, or raise the limit (ulimit -n).',
  ],
  ENFILE: [
    'the system has no file descriptor left for the connection that renews it',
    'Close files and sockets of other programs.',
  ],
  ENOENT: [
    'the pipe of the broker was removed',
    'Leave the pipe where it is as long as the broker runs.',
  ],
  ECONNREFUSED: [
    'another program has replaced the pipe of the broker',
    'Leave the pipe where it is as long as the broker runs.',
  ],
  EAGAIN: [
    'the broker has too many new connections',
    'Start fewer processes at once, or give acquire() a longer ttl.',
  ],
  EACCES: ['this process may not use the pipe any more', 'Restore the rights of the pipe.'],
  EPERM: [
    'the pipe belongs to another user now',
    'Leave the pipe where it is as long as the broker runs.',
  ],
  ETIMEDOUT: [
    'the broker did not reply to the renewal',
    `Its machine is overloaded, or it was stopped. ${LONGER_TTL}`,
  ],
  ECONNRESET: [
    'the broker closed the connection that renews it',
    'The log of the broker says why.',
  ],
  ENOMEM: ['this process has no memory left for the renewal', 'Free memory.'],
};

/** @type {[why: string, hint: string]} */
const UNKNOWN_FAILURE = ['the connection that renews it failed', LONGER_TTL];

/**
 * @param {'lease_lost' | 'broker_gone'} code
 * @param {string | null} renewalErrno why the last renewal failed; null: it did not fail
 */
function lossMessage(code, renewalErrno) {
  if (code === 'broker_gone') return BROKER_GONE;
  if (renewalErrno === null) return STOOD_STILL;
  const [why, hint] = FAILURES[renewalErrno] ?? UNKNOWN_FAILURE;
  return (
    `The lease was lost: it was not renewed in time, since ${why} (${renewalErrno}), or somebody released ` +
    `it by force. ${hint}`
  );
}

module.exports = { lossMessage };

/**
 * Encodes and decodes lists in the bodies of frames: pool elements in requests; entries, losses, leases and
 * events in replies. The layouts are those of csrc/core/msg.h.
 *
 * For a malformed list the result is null: the broker uses another version of the protocol.
 */
'use strict';

const { endless } = require('../duration.js');
const { FLAGS, getNumber, getU32, putU32 } = require('./frame.js');

const LIST_ENTRY_HEADER_BYTES = 22;
const ELEMENT_HEADER_BYTES = 5;
const ELEMENT_BYTES = 1;
const ELEMENT_GZIP = 2;
const NUMBER_BYTES = 8;
const LOSS_HEADER_BYTES = 10;
const NEAR_HEADER_BYTES = 3;
const LEASES_ENTRY_HEADER_BYTES = 43;
const OBSTACLE_HEADER_BYTES = 12;
const EVENT_HEADER_BYTES = 11;

const DESCRIPTION_BYTES = 25;
const COUNT_BYTES = 4;

const HELD = 1;
const SHARED = 1;
const SEVERAL = 2;
/** Indexed by their numbers in the protocol; 0 is unused. */
const KINDS = [undefined, 'numbers', 'semaphore', 'pool', 'value', 'lock', 'compute'];
const EVENTS = [undefined, 'set', 'del', 'expire', 'evict', 'overflow'];
const OVERFLOW = 5;

/**
 * @typedef {{ key: string, ttl: number, version: number, size: number }} ListEntry
 * @typedef {{ key: string, token: number }} Loss
 * @typedef {{ key: string, kind: 'numbers' | 'semaphore' | 'pool' | 'value' }} NearKey
 * @typedef {import('../index').LeaseInfo} LeaseInfo
 * @typedef {import('../index').WatchEvent} WatchEvent
 *
 * @typedef {object} Obstacle
 * @property {number} place in the queue, from 1; 0: not in a queue, or far back
 * @property {number} waiting number of requests in the queue
 * @property {number} holding number of holders, counted up to a bound
 * @property {import('../index').Holder[]} holders the first holders
 */

/**
 * @param {Buffer} buffer
 * @param {number} at
 */
function getU16(buffer, at) {
  return buffer[at] | (buffer[at + 1] << 8);
}

/**
 * Reads the items of a list one by one.
 * @template T
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} end
 * @param {number} headerBytes
 * @param {(at: number) => number} textBytes number of bytes after the header at an offset
 * @param {(at: number, textAt: number, textEnd: number) => T} get
 * @returns {T[] | null}
 */
function getItems(buffer, at, end, headerBytes, textBytes, get) {
  const items = [];
  let from = at;
  while (from < end) {
    const textAt = from + headerBytes;
    if (textAt > end) return null;
    const textEnd = textAt + textBytes(from);
    if (textEnd > end) return null;
    items.push(get(from, textAt, textEnd));
    from = textEnd;
  }
  return items;
}

/**
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} end
 * @returns {ListEntry[] | null}
 */
function getEntries(buffer, at, end) {
  const keyBytes = (/** @type {number} */ from) => getU16(buffer, from + 20);
  return getItems(buffer, at, end, LIST_ENTRY_HEADER_BYTES, keyBytes, (from, keyAt, keyEnd) => ({
    key: buffer.toString('utf8', keyAt, keyEnd),
    ttl: endless(getNumber(buffer, from)),
    version: getNumber(buffer, from + 8),
    size: getU32(buffer, from + 16),
  }));
}

/**
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} end
 * @returns {Loss[] | null}
 */
function getLosses(buffer, at, end) {
  const keyBytes = (/** @type {number} */ from) => getU16(buffer, from + 8);
  return getItems(buffer, at, end, LOSS_HEADER_BYTES, keyBytes, (from, keyAt, keyEnd) => ({
    key: buffer.toString('utf8', keyAt, keyEnd),
    token: getNumber(buffer, from),
  }));
}

/**
 * Keys similar to one that was not found.
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} end
 * @returns {NearKey[] | null}
 */
function getNear(buffer, at, end) {
  const keyBytes = (/** @type {number} */ from) => getU16(buffer, from + 1);
  return getItems(buffer, at, end, NEAR_HEADER_BYTES, keyBytes, (from, keyAt, keyEnd) => ({
    key: buffer.toString('utf8', keyAt, keyEnd),
    kind: /** @type {NearKey['kind']} */ (KINDS[buffer[from]]),
  }));
}

/**
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} end
 * @param {number} now the wall clock
 * @returns {LeaseInfo[] | null}
 */
function getLeases(buffer, at, end, now) {
  const countBytes = (/** @type {number} */ from) => (buffer[from + 2] & SEVERAL ? COUNT_BYTES : 0);
  const textBytes = (/** @type {number} */ from) =>
    getU16(buffer, from + 39) + getU16(buffer, from + 41) + countBytes(from);
  return getItems(buffer, at, end, LEASES_ENTRY_HEADER_BYTES, textBytes, (from, keyAt, rowEnd) => {
    const workerAt = keyAt + getU16(buffer, from + 39);
    const textEnd = rowEnd - countBytes(from);
    const held = buffer[from] === HELD;
    const leftMs = getNumber(buffer, from + 19);
    const info = {
      key: buffer.toString('utf8', keyAt, workerAt),
      kind: /** @type {LeaseInfo['kind']} */ (KINDS[buffer[from + 1]]),
      state: held ? 'held' : 'waiting',
      workerId: buffer.toString('utf8', workerAt, textEnd),
      shared: (buffer[from + 2] & SHARED) !== 0,
      count: textEnd === rowEnd ? 1 : getU32(buffer, textEnd),
      session: getNumber(buffer, from + 3) || null,
      pid: getU32(buffer, from + 35) || null,
      token: getNumber(buffer, from + 11) || null,
      ...(held ? { ttl: endless(leftMs) } : { waitMs: endless(leftMs) }),
      since: now - getNumber(buffer, from + 27),
    };
    return /** @type {LeaseInfo} */ (info);
  });
}

/**
 * The holders and the queue that blocked a refused request.
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} end
 * @param {number} now the wall clock
 * @returns {Obstacle | null}
 */
function getObstacle(buffer, at, end, now) {
  if (end - at < OBSTACLE_HEADER_BYTES) return null;
  const lines = getLeases(buffer, at + OBSTACLE_HEADER_BYTES, end, now);
  if (lines === null) return null;
  return {
    place: getU32(buffer, at),
    waiting: getU32(buffer, at + 4),
    holding: getU32(buffer, at + 8),
    holders: lines.map(({ key, kind, workerId, pid, session, shared, token, since }) => {
      return { key, kind, workerId, pid, session, shared, token, since, heldMs: now - since };
    }),
  };
}

/**
 * Elements that were granted together: the offsets and flags of each value.
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} end
 * @returns {{ at: number, end: number, flags: number }[] | null}
 */
function getElements(buffer, at, end) {
  const valueBytes = (/** @type {number} */ from) => getU32(buffer, from);
  return getItems(buffer, at, end, ELEMENT_HEADER_BYTES, valueBytes, (from, valueAt, valueEnd) => ({
    at: valueAt,
    end: valueEnd,
    flags:
      (buffer[from + 4] & ELEMENT_BYTES ? FLAGS.binary : 0) |
      (buffer[from + 4] & ELEMENT_GZIP ? FLAGS.gzip : 0),
  }));
}

/**
 * Numbers that were granted together.
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} end
 * @returns {number[]}
 */
function getNumbers(buffer, at, end) {
  const count = Math.floor((end - at) / NUMBER_BYTES);
  return Array.from({ length: count }, (_, i) => getNumber(buffer, at + i * NUMBER_BYTES));
}

/**
 * The kind of a key, and its counts.
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} end
 * @returns {import('../index').Description | null | undefined} undefined: the body is malformed
 */
function getDescription(buffer, at, end) {
  if (at === end) return null;
  const kind = KINDS[buffer[at]];
  if (end - at < DESCRIPTION_BYTES) return undefined;
  const size = getNumber(buffer, at + 1);
  const free = getNumber(buffer, at + 9);
  const waiting = getNumber(buffer, at + 17);
  if (kind === 'numbers') return { kind };
  if (kind === 'value') return { kind, free, waiting };
  return kind === 'pool' || kind === 'semaphore' ? { kind, size, free, waiting } : undefined;
}

/**
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} end
 * @returns {WatchEvent[] | null}
 */
function getEvents(buffer, at, end) {
  const keyBytes = (/** @type {number} */ from) => getU16(buffer, from + 9);
  return getItems(buffer, at, end, EVENT_HEADER_BYTES, keyBytes, (from, keyAt, keyEnd) => {
    if (buffer[from] === OVERFLOW) return { type: 'overflow' };
    return {
      type: /** @type {any} */ (EVENTS[buffer[from]]),
      key: buffer.toString('utf8', keyAt, keyEnd),
      version: getNumber(buffer, from + 1),
    };
  });
}

/**
 * The elements of a pool, for a request.
 * @param {readonly import('./values').Encoded[]} elements
 * @returns {Buffer}
 */
function putElements(elements) {
  const parts = elements.map(
    ({ text, bytes }) => bytes ?? Buffer.from(/** @type {string} */ (text)),
  );
  const size = parts.reduce((sum, part) => sum + ELEMENT_HEADER_BYTES + part.length, 0);
  const buffer = Buffer.alloc(size);
  let end = 0;
  parts.forEach((part, i) => {
    putU32(buffer, end, part.length);
    buffer[end + 4] = elements[i].flags & FLAGS.binary ? 1 : 0;
    buffer.set(part, end + ELEMENT_HEADER_BYTES);
    end += ELEMENT_HEADER_BYTES + part.length;
  });
  return buffer;
}

/** @param {number} kind */
const eventName = (kind) => EVENTS[kind];

module.exports = {
  eventName,
  getDescription,
  getElements,
  getEntries,
  getEvents,
  getLeases,
  getLosses,
  getNear,
  getObstacle,
  getNumbers,
  putElements,
};

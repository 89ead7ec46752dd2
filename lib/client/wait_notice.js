/**
 * The warning of a call that waits for a long time: the worker, the key, its holders, and since when they
 * hold it.
 *
 * One request for the broker's leases serves all calls whose warnings are due. Cycles through leases outside
 * of a flow (plain `acquire`) are found here, from the leases and waits of each holder (a worker in a
 * session). The broker does not refuse them, since a holder can release its lease at any time.
 */
'use strict';

const { Request } = require('./frame.js');
const { circle, duration, heldBy, placeOf } = require('./holders.js');
const { quoteKey } = require('../error.js');
const packed = require('./list_codec.js');

/** Most warnings at a time; the last one counts the rest. */
const SHOWN_MAX = 8;
const HOLDERS_MAX = 8;
/** With more lines, the search for a cycle is skipped. */
const LINES_MAX = 20_000;
/** The kinds of leases that can block an operation; for operations not listed, KEYED. */
const KINDS = {
  getOrSet: ['compute'],
  waitFor: ['compute'],
  lock: ['lock'],
  acquireLock: ['lock'],
  barrier: [],
};
const KEYED = ['numbers', 'semaphore', 'pool', 'value'];

/**
 * @typedef {import('./pending_call').PendingCall} PendingCall
 * @typedef {import('../index').LeaseInfo} LeaseInfo
 */

/** @param {LeaseInfo} line */
const thing = ({ key, kind }) => `${kind} ${key}`;
/** @param {LeaseInfo} line */
const who = ({ workerId, session }) => `${session} ${workerId}`;

/**
 * @param {Iterable<LeaseInfo>} lines
 * @param {(line: LeaseInfo) => string} name
 * @returns {Map<string, LeaseInfo[]>}
 */
function groupBy(lines, name) {
  /** @type {Map<string, LeaseInfo[]>} */
  const groups = new Map();
  for (const line of lines) {
    const group = groups.get(name(line));
    if (group === undefined) groups.set(name(line), [line]);
    else group.push(line);
  }
  return groups;
}

/**
 * The waiting lines that are stuck: every holder of the resource is itself stuck.
 * @param {LeaseInfo[]} waiting
 * @param {Map<string, LeaseInfo[]>} heldThings
 * @returns {Set<LeaseInfo>}
 */
function stuckLines(waiting, heldThings) {
  const stuck = new Set(waiting.filter((line) => line.session !== null));
  for (let before = -1; before !== stuck.size;) {
    before = stuck.size;
    const holders = new Set([...stuck].map(who));
    for (const line of stuck) {
      const held = heldThings.get(thing(line)) ?? [];
      if (held.length === 0 || !held.every((other) => holders.has(who(other)))) stuck.delete(line);
    }
  }
  return stuck;
}

/**
 * The shortest cycle from a waiting holder back to itself: the lease of each holder on it, its own first.
 * @param {LeaseInfo} mine
 * @param {LeaseInfo[]} lines
 * @returns {LeaseInfo[] | null}
 */
function cycleOf(mine, lines) {
  const heldThings = groupBy(
    lines.filter(({ state }) => state === 'held'),
    thing,
  );
  const stuck = stuckLines(
    lines.filter(({ state }) => state === 'waiting'),
    heldThings,
  );
  if (!stuck.has(mine)) return null;
  const waits = groupBy(stuck, who);
  /** @type {{ line: LeaseInfo, way: LeaseInfo[] }[]} */
  const work = [{ line: mine, way: [] }];
  const seen = new Set();
  for (const { line, way } of work) {
    for (const held of heldThings.get(thing(line)) ?? []) {
      if (who(held) === who(mine)) return [held, ...way];
      if (seen.has(who(held))) continue;
      seen.add(who(held));
      for (const next of waits.get(who(held)) ?? []) work.push({ line: next, way: [...way, held] });
    }
  }
  return null;
}

/**
 * @param {LeaseInfo} line
 * @param {number} now
 */
function holderOf({ key, kind, workerId, pid, session, shared, token, since }, now) {
  return { key, kind, workerId, pid, session, shared, token, since, heldMs: now - since };
}

/**
 * @param {LeaseInfo[] | null} lines null: the request failed
 * @param {number | null} session this thread's session
 * @param {number} wallMs
 */
function tellerOf(lines, session, wallMs) {
  /** Used lines: each call of a worker for the same key gets its own. @type {Set<LeaseInfo>} */
  const told = new Set();

  /** @param {PendingCall} call */
  const linesOf = (call) => {
    const kinds = /** @type {Record<string, string[]>} */ (KINDS)[call.operation] ?? KEYED;
    return (lines ?? []).filter(({ key, kind }) => key === call.key && kinds.includes(kind));
  };

  /**
   * @param {PendingCall} call
   * @param {number} waitedMs
   */
  return (call, waitedMs) => {
    const own = linesOf(call);
    const held = own.filter(({ state }) => state === 'held');
    const queue =
      call.operation === 'waitFor' ? [] : own.filter(({ state }) => state === 'waiting');
    const mine = queue.find(
      (line) => line.workerId === call.workerId && line.session === session && !told.has(line),
    );
    if (mine !== undefined) told.add(mine);
    const obstacle = {
      place: mine === undefined ? 0 : queue.indexOf(mine) + 1,
      waiting: queue.length,
      holding: held.length,
      holders: held.slice(0, HOLDERS_MAX).map((line) => holderOf(line, wallMs)),
    };
    const isComputed = call.operation === 'waitFor' || call.operation === 'getOrSet';
    const isHeld = isComputed ? heldBy(obstacle).replace('held', 'computed') : heldBy(obstacle);
    const isKnown = lines !== null && mine !== undefined && lines.length <= LINES_MAX;
    const cycle = isKnown ? cycleOf(mine, lines) : null;
    const knot = cycle?.map((line) => holderOf(line, wallMs)) ?? null;
    const worker = call.workerId === '' ? '' : ` by worker ${quoteKey(call.workerId)}`;
    return [
      `${call.operation} ${quoteKey(call.key ?? '')}${worker} has waited for ${duration(waitedMs)}.`,
      isHeld,
      placeOf(obstacle),
      knot === null ? '' : `They wait for each other: ${circle(knot, knot.length)}.`,
    ];
  };
}

/**
 * Emits the warnings of waiting calls.
 * @param {import('./connection').Connection} connection
 * @param {{ call: PendingCall, waitedMs: number }[]} due
 * @param {number} timeout
 */
async function notice(connection, due, timeout) {
  const request = new Request();
  request.action = connection.actions.leases;
  const wallMs = Date.now();
  /** @type {LeaseInfo[] | null} */
  let lines = null;
  try {
    lines = await connection.send('leases', undefined, timeout, request, (buffer, reply) =>
      packed.getLeases(buffer, reply.bodyAt, reply.bodyEnd, wallMs),
    );
  } catch {
    // Warn without the holders.
  }
  const tell = tellerOf(lines, connection.sessionNumber, wallMs);
  const still = due.filter(({ call }) => !call.settled);
  still.slice(0, SHOWN_MAX).forEach(({ call, waitedMs }, i) => {
    const more = i === SHOWN_MAX - 1 ? still.length - SHOWN_MAX : 0;
    const sentences = [...tell(call, waitedMs), more > 0 ? `${more} more calls wait.` : ''];
    const text = sentences.filter((sentence) => sentence !== '').join(' ');
    process.emitWarning(text, { code: 'EPB_WAIT' });
  });
}

module.exports = { notice };

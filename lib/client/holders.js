/** Describes holders, queues and cycles in words, for messages. */
'use strict';

const { quoteKey } = require('../error.js');

/** The broker counts holders up to this number. */
const COUNTED_MAX = 100;

/**
 * @typedef {import('../index').Holder} Holder
 * @typedef {import('./list_codec').Obstacle} Obstacle
 */

/**
 * A readable time.
 * @param {number} ms
 */
function duration(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** @param {{ workerId: string, pid: number | null }} who */
function worker({ workerId, pid }) {
  return `worker ${quoteKey(workerId)}${pid === null ? '' : ` (pid ${pid})`}`;
}

/** @param {Holder} holder */
const heldFor = (holder) => `${worker(holder)} for ${duration(holder.heldMs)}`;

/** @param {Obstacle} obstacle */
function others({ holding, holders }) {
  if (holding <= holders.length) return '';
  const more = holding - holders.length;
  return ` and ${holding >= COUNTED_MAX ? `more than ${more}` : more} others`;
}

/**
 * "It is held by ...", or '' without holders.
 * @param {Obstacle | null} obstacle
 */
function heldBy(obstacle) {
  if (obstacle === null || obstacle.holders.length === 0) return '';
  return `It is held by ${obstacle.holders.map(heldFor).join(', ')}${others(obstacle)}.`;
}

/**
 * A sentence about the place in the queue; '' if it is unknown.
 * @param {Obstacle | null} obstacle
 */
function placeOf(obstacle) {
  if (obstacle === null || obstacle.waiting === 0) return '';
  const waiting = obstacle.waiting === 1 ? '1 request waits' : `${obstacle.waiting} requests wait`;
  if (obstacle.place === 0) return `${waiting} for it.`;
  return `${waiting} for it; this one is number ${obstacle.place}.`;
}

/**
 * Describes a cycle in which each holder holds what the previous one waits for, and the first what the last
 * one waits for.
 * @param {readonly Holder[]} cycle perhaps only its first holders
 * @param {number} count of all holders in the cycle
 */
function circle(cycle, count) {
  const steps = cycle.map((holder, i) => {
    const next = cycle[(i + 1) % cycle.length];
    const isCut = i === cycle.length - 1 && count > cycle.length;
    const waits = isCut ? 'waits for another' : `waits for ${quoteKey(next.key)}`;
    return `${worker(holder)} holds ${quoteKey(holder.key)} and ${waits}`;
  });
  return steps.join('; ') + (count > cycle.length ? `; and ${count - cycle.length} more` : '');
}

module.exports = { circle, duration, heldBy, heldFor, placeOf, worker };

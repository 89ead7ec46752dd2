/**
 * A fixed window: a counter of consumed points that expires. The window begins with the first point, and the
 * broker counts, so that processes never get more than the window has.
 */
'use strict';

const timers = require('node:timers');

const { BrokerError } = require('./client.js');

/**
 * @typedef {import('ephemeral-pipe-broker/client').PipeClient} PipeClient
 * @typedef {{ value: number, ttl: number }} Counter ttl in milliseconds; Infinity: without an end
 * @typedef {{ signal?: AbortSignal, waitMs?: number, waitNoticeMs?: number }} WaitOptions
 */

/**
 * A TTL with its unit: the client warns of short TTLs without one.
 * @param {number} ttlMs
 * @returns {`${number}ms` | number}
 */
const lasting = (ttlMs) => (ttlMs === Infinity ? Infinity : `${ttlMs}ms`);

/**
 * @param {number} ms
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<void>} rejects with the signal's reason
 */
function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const aborted = () => {
      timers.clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = timers.setTimeout(() => {
      signal?.removeEventListener('abort', aborted);
      resolve();
    }, ms);
    if (signal?.aborted) aborted();
    else signal?.addEventListener('abort', aborted, { once: true });
  });
}

/**
 * @param {PipeClient} client
 * @param {string} key
 * @returns {Promise<Counter | null>} null: no window has begun
 */
async function read(client, key) {
  try {
    const { value, ttl } = await client.getEntry(key);
    if (Number.isSafeInteger(value)) return { value, ttl };
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'not_found') return null;
    throw error;
  }
  throw new BrokerError('not_a_number', `"${key}" holds a value that is not a counter.`);
}

/**
 * Takes points in order of arrival over all processes: the caller at the head of the queue holds a lock while
 * it sleeps until the window ends. A call that does not wait may still overtake the queue.
 * @param {PipeClient} client
 * @param {string} key
 * @param {object} window
 * @param {number} window.points that the caller takes
 * @param {number} window.limit at least `points`
 * @param {number} window.ttlMs
 * @param {() => Promise<unknown>} [window.prepare] called at the head of the queue
 * @param {WaitOptions} options
 * @returns {Promise<Counter & { granted: boolean }>} not granted: the window is full and never ends. Rejects
 *   with `wait_timeout`.
 */
async function takeInOrder(client, key, { points, limit, ttlMs, prepare }, options) {
  const { signal, waitMs = Infinity, waitNoticeMs } = options;
  const deadline = performance.now() + waitMs;
  const turn = await client.acquireLock(`rate-limit:${key}`, { signal, waitMs, waitNoticeMs });
  try {
    await prepare?.();
    for (;;) {
      // A point that does not fit is not counted: others may still use the rest of the window.
      let counter = await read(client, key);
      if (counter === null || counter.value + points <= limit) {
        counter = await client.incrEntry(key, points, lasting(ttlMs));
        if (counter.value <= limit) return { ...counter, granted: true };
      }
      if (counter.ttl === Infinity) return { ...counter, granted: false };
      if (performance.now() + counter.ttl > deadline) {
        throw new BrokerError('wait_timeout', `The window of "${key}" ends after waitMs.`);
      }
      await sleep(counter.ttl, signal);
    }
  } finally {
    await turn[Symbol.asyncDispose]();
  }
}

module.exports = { lasting, read, sleep, takeInOrder };

/**
 * Abort signals. All calls that listen to one signal share a single listener, because Node warns of a leak
 * when an object has more than ten.
 */
'use strict';

/** @type {WeakMap<AbortSignal, { callbacks: Set<() => void>, listener: () => void }>} */
const listened = new WeakMap();

/** @param {AbortSignal} signal */
function entryOf(signal) {
  const known = listened.get(signal);
  if (known !== undefined) return known;
  /** @type {Set<() => void>} */
  const callbacks = new Set();
  const listener = () => {
    for (const callback of callbacks) callback();
  };
  const entry = { callbacks, listener };
  listened.set(signal, entry);
  return entry;
}

/**
 * @param {AbortSignal} signal
 * @param {() => void} callback called when the signal aborts
 */
function addAbortListener(signal, callback) {
  const { callbacks, listener } = entryOf(signal);
  if (callbacks.size === 0) signal.addEventListener('abort', listener);
  callbacks.add(callback);
}

/**
 * @param {AbortSignal} signal
 * @param {() => void} callback
 */
function removeAbortListener(signal, callback) {
  const { callbacks, listener } = entryOf(signal);
  callbacks.delete(callback);
  if (callbacks.size === 0) signal.removeEventListener('abort', listener);
}

module.exports = { addAbortListener, removeAbortListener };

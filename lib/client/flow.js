/**
 * What the code that runs now holds: inside the functions of `withLease`, `lock` and `getOrSet`, and in
 * all that these call and await, the leases that those functions were called for. A request that may
 * wait tells the broker, which refuses it when it would wait for itself (csrc/core/lease_deadlock.c).
 *
 * A flow is a chain of leases, the innermost first. It is found by AsyncLocalStorage, one for each
 * thread: the native binding holds it, so that copies of this module that were loaded apart share it.
 * Node's hooks of promises slow down every promise of the process; so they are set when the first
 * function of this kind begins, and taken away when none runs any more.
 *
 * Invariants:
 * - a lease is named while its function runs, since only then it waits for what that waits for;
 * - a token goes to the broker that granted it, and to no other;
 * - no function runs, no hook is set.
 *
 * A command that `epb lock` runs is in a flow from its start: the environment names it.
 */
'use strict';

const { load } = require('../binding.js');
const { putNumber } = require('./frame.js');

const SHARED = Symbol.for('ephemeral-pipe-broker.flows');
const VARIABLE = 'EPHEMERAL_FLOW';
const TOKEN_BYTES = 8;
/** That a request may name: csrc/core/lease.h. Of more, the innermost. */
const TOKENS_MAX = 64;

/**
 * @typedef {object} Flow
 * @property {string} pipe of the broker
 * @property {number} token
 * @property {Flow | undefined} outer
 * @property {boolean} over the function has ended; what it began may go on
 *
 * @typedef {object} Flows of a thread
 * @property {import('node:async_hooks').AsyncLocalStorage<Flow> | null} storage made for the first one
 * @property {number} running how many functions
 * @property {{ pipe: string, tokens: number[] }} inherited from the command around this process
 */

/**
 * `TOKEN,TOKEN@PIPE`, the innermost first.
 * @param {string} text
 */
function parse(text) {
  const at = text.indexOf('@');
  const tokens = text.slice(0, Math.max(at, 0)).split(',').map(Number);
  return { pipe: text.slice(at + 1), tokens: tokens.filter((token) => token > 0) };
}

/** @returns {Flows} */
function flows() {
  const binding = /** @type {Record<symbol, any>} */ (/** @type {unknown} */ (load()));
  if (binding[SHARED] === undefined) {
    const value = { storage: null, running: 0, inherited: parse(process.env[VARIABLE] ?? '') };
    Object.defineProperty(binding, SHARED, { value });
  }
  return binding[SHARED];
}

/**
 * @param {Flows} all
 * @param {Flow} flow
 */
function leave(all, flow) {
  flow.over = true;
  all.running--;
  if (all.running === 0) all.storage?.disable();
}

/**
 * @template R
 * @param {R} result
 * @param {Flows} all
 * @param {Flow} flow
 * @returns {Promise<Awaited<R>>}
 */
async function leaveAfter(result, all, flow) {
  try {
    return await result;
  } finally {
    leave(all, flow);
  }
}

/**
 * Runs a function while a lease is held for it. What it gives at once needs no promise, which would
 * cost more than the rest.
 * @template R
 * @param {string} pipe
 * @param {number} token
 * @param {() => R} run
 * @returns {R | Promise<Awaited<R>>}
 */
function inFlow(pipe, token, run) {
  const all = flows();
  all.storage ??= new (require('node:async_hooks').AsyncLocalStorage)();
  /** @type {Flow} */
  const flow = { pipe, token, outer: all.storage.getStore(), over: false };
  let later = false;
  all.running++;
  try {
    const result = all.storage.run(flow, run);
    later = typeof (/** @type {any} */ (result)?.then) === 'function';
    return later ? leaveAfter(result, all, flow) : result;
  } finally {
    if (!later) leave(all, flow);
  }
}

/**
 * Tokens of what is held here of a broker's, the innermost first.
 * @param {string} pipe
 * @returns {number[]}
 */
function tokensHeld(pipe) {
  const { storage, running, inherited } = flows();
  const tokens = [];
  let flow = running === 0 ? undefined : storage?.getStore();
  for (; flow !== undefined; flow = flow.outer) {
    if (flow.pipe === pipe && !flow.over) tokens.push(flow.token);
  }
  if (inherited.pipe === pipe) tokens.push(...inherited.tokens);
  return tokens;
}

/**
 * What a request that may wait tells of its flow.
 * @param {string} pipe
 * @param {readonly number[]} more tokens that are held for it besides
 * @returns {Uint8Array | null} null: nothing is held
 */
function holding(pipe, more) {
  const tokens = [...more, ...tokensHeld(pipe)].slice(0, TOKENS_MAX);
  if (tokens.length === 0) return null;
  const bytes = Buffer.alloc(tokens.length * TOKEN_BYTES);
  tokens.forEach((token, i) => putNumber(bytes, i * TOKEN_BYTES, token));
  return bytes;
}

/**
 * The environment of a command that runs while a lease is held.
 * @param {string} pipe
 * @param {number} token
 */
function environment(pipe, token) {
  const tokens = [token, ...tokensHeld(pipe)].slice(0, TOKENS_MAX);
  return { [VARIABLE]: `${tokens.join(',')}@${pipe}` };
}

module.exports = { environment, holding, inFlow };

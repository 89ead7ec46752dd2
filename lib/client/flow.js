/**
 * The leases that the current code holds. Inside the functions of `withLease`, `lock` and `getOrSet`, and in
 * everything they call and await, these are the leases of the functions. A request that may wait sends their
 * tokens, and the broker refuses it if it would wait for itself (csrc/core/lease_deadlock.c).
 *
 * A flow is a chain of leases, the innermost first, in an AsyncLocalStorage. There is one storage per thread;
 * the native binding stores it, so that several copies of this module share it. Node's promise hooks slow
 * down every promise of the process, so they are installed when the first such function begins, and removed
 * when the last one has ended.
 *
 * Invariants:
 * - a lease is sent only while its function runs, since only then can the lease be blocked by the wait;
 * - a token is sent only to the broker that granted it;
 * - while no function runs, no hook is installed.
 *
 * A command that `epb lock` runs starts in a flow, passed in the environment.
 */
'use strict';

const { load } = require('../binding.js');
const { putNumber } = require('./frame.js');

const SHARED = Symbol.for('ephemeral-pipe-broker.flows');
const VARIABLE = 'EPHEMERAL_FLOW';
const TOKEN_BYTES = 8;
/** The most tokens in a request (csrc/core/lease.h): the innermost ones. */
const TOKENS_MAX = 64;

/**
 * @typedef {object} Flow
 * @property {string} pipe of the broker
 * @property {number} token
 * @property {Flow | undefined} outer
 * @property {boolean} over the function has ended, though async work that it started may continue
 *
 * @typedef {object} Flows the flows of a thread
 * @property {import('node:async_hooks').AsyncLocalStorage<Flow> | null} storage created on first use
 * @property {number} running number of functions that run
 * @property {{ pipe: string, tokens: number[] }} inherited from the `epb lock` that runs this process
 */

/**
 * Parses `TOKEN,TOKEN@PIPE`, the innermost token first.
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
 * Runs a function while its lease is held. A synchronous result is returned without a promise, which would
 * cost more than everything else here.
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
 * The tokens of a broker that the current flow holds, the innermost first.
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
 * The encoded tokens of the current flow, for a request that may wait.
 * @param {string} pipe
 * @param {readonly number[]} more further tokens held by the same caller
 * @returns {Uint8Array | null} null: the flow holds nothing
 */
function holding(pipe, more) {
  const tokens = [...more, ...tokensHeld(pipe)].slice(0, TOKENS_MAX);
  if (tokens.length === 0) return null;
  const bytes = Buffer.alloc(tokens.length * TOKEN_BYTES);
  tokens.forEach((token, i) => putNumber(bytes, i * TOKEN_BYTES, token));
  return bytes;
}

module.exports = { holding, inFlow };

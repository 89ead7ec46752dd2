/**
 * The variables by which child processes, and clients of this one, find the brokers of this process.
 * The broker that was started last has its variables in process.env. When it ends, those of the one
 * before come back, or what was there before the first; a broker that ends earlier changes nothing.
 * A program that has set EPHEMERAL_PIPE to something else meanwhile keeps that.
 */
'use strict';

/** CLIENT_SECRET is put aside: with another one a client would refuse to choose. */
const NAMES = ['EPHEMERAL_PIPE', 'EPHEMERAL_SECRET', 'EPHEMERAL_BROKER_PID', 'CLIENT_SECRET'];

/** @typedef {Record<string, string | undefined>} Variables */

/** Of the brokers that run, the oldest first. @type {Variables[]} */
const exported = [];
/** What was there before the first. @type {Variables} */
let before = {};

/** @param {Variables} variables */
function apply(variables) {
  for (const name of NAMES) {
    const value = variables[name];
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}

/** Whether what is in the environment is ours. */
function isInPlace() {
  const last = exported.at(-1);
  return last !== undefined && process.env.EPHEMERAL_PIPE === last.EPHEMERAL_PIPE;
}

/** @param {Variables} variables of a broker that runs now */
function exportVariables(variables) {
  if (!isInPlace()) {
    exported.length = 0;
    before = Object.fromEntries(NAMES.map((name) => [name, process.env[name]]));
  }
  exported.push(variables);
  apply(variables);
}

/** @param {Variables} variables of a broker that ends */
function withdrawVariables(variables) {
  const place = exported.indexOf(variables);
  if (place < 0) return;
  const isSeen = place === exported.length - 1 && isInPlace();
  exported.splice(place, 1);
  if (isSeen) apply(exported.at(-1) ?? before);
}

/**
 * The environment as it is without ours: a broker takes no secret from another of this process.
 * @returns {Variables}
 */
function environmentBefore() {
  return isInPlace() ? { ...process.env, ...before } : process.env;
}

module.exports = { environmentBefore, exportVariables, withdrawVariables };

/**
 * The environment variables with which child processes, and clients in this process, find its brokers.
 *
 * process.env contains the variables of the broker that started last. When it ends, the variables of the
 * broker before it return, or those from before the first broker. When an older broker ends, nothing
 * changes. If the program has set EPHEMERAL_PIPE to another path meanwhile, its value stays.
 */
'use strict';

/** CLIENT_SECRET is removed: a client refuses to choose between two different secrets. */
const NAMES = ['EPHEMERAL_PIPE', 'EPHEMERAL_SECRET', 'EPHEMERAL_BROKER_PID', 'CLIENT_SECRET'];

/** @typedef {Record<string, string | undefined>} Variables */

/** The variables of the running brokers, oldest first. @type {Variables[]} */
const exported = [];
/** The environment before the first broker. @type {Variables} */
let before = {};

/** @param {Variables} variables */
function apply(variables) {
  for (const name of NAMES) {
    const value = variables[name];
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}

/** Whether the environment still contains our variables. */
function isInPlace() {
  const last = exported.at(-1);
  return last !== undefined && process.env.EPHEMERAL_PIPE === last.EPHEMERAL_PIPE;
}

/** @param {Variables} variables of a broker that has started */
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
 * The environment without our variables: a broker takes no secret from another broker of this process.
 * @returns {Variables}
 */
function environmentBefore() {
  return isInPlace() ? { ...process.env, ...before } : process.env;
}

module.exports = { environmentBefore, exportVariables, withdrawVariables };

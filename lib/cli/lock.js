/**
 * `lock NAME -- command`: waits for its turn, runs the command, lets the next one go, and ends with
 * the command's own status, as flock(1) does over a file.
 *
 * The lock belongs to our connection, so it is free the moment we end, however we end. Native code
 * renews it while the command runs. When it is lost all the same (the broker ended, we stood still
 * for longer than its TTL, somebody released it by force) the command must not go on as if it were
 * alone: it is asked to end, killed after the grace period, and our status is 125.
 *
 * The command's environment names what is held around it (EPHEMERAL_FLOW, see ../flow.js), so
 * that a wait for that is refused, which would never end: `lock a -- lock a -- command`.
 */
'use strict';

const { quoteKey } = require('../error.js');
const { environment } = require('../client/flow.js');
const { withHints } = require('./errors.js');

const HINTS = {
  lease_held: 'It is taken, and --wait 0 does not wait',
  deadlock: 'the command around this one holds it, so that neither would ever go on',
  wait_timeout: 'It did not become free in time',
};

/** What a signal does to us by default, while there is no command to pass it on to. */
const endByTerm = () => process.kill(process.pid, 'SIGTERM');

/**
 * @param {any} client
 * @param {string} name
 * @param {Record<string, any>} options
 */
function acquire(client, name, { shared, wait, ttl, worker }) {
  const mode = shared ? 'shared' : 'exclusive';
  const how = { mode, ttl, waitMs: wait ?? Infinity, workerId: worker };
  return withHints(`lock ${quoteKey(name)}`, HINTS, client.acquireLock(name, how));
}

/** @type {import('./commands.js').Command['run']} */
async function lock({ client, words: [name], options, command, front }) {
  const { runCommand, watchAbove } = require('./child.js');
  const { debug = false, grace: graceMs } = options;
  // The package manager above us may die while we wait: then nobody wants the command any more.
  let onDeath = /** @type {() => void} */ (endByTerm);
  watchAbove(require('../binding.js').load(), true, () => onDeath());

  const lease = await acquire(client, name, options);
  const onLost = () => {
    const { code } = lease.signal.reason;
    fail('lock_lost', `lock ${quoteKey(name)}: lost (${code}), so the command is ended`);
  };
  const stop = async () => {
    lease.signal.removeEventListener('abort', onLost);
    // Whatever fails here, the end of the connection releases it.
    await lease.release().catch(() => {});
    await client.close();
  };
  const env = { ...process.env, ...environment(client.pipe, lease.token) };
  const { end, fail } = runCommand({ command, env, graceMs, debug, front, stop });
  onDeath = () => end('parent_died');
  if (lease.signal.aborted) onLost();
  else lease.signal.addEventListener('abort', onLost);
  // The command's end is ours: see runCommand.
  return new Promise(() => {});
}

/** @type {Record<string, import('./commands.js').Command>} */
const LOCK_COMMANDS = {
  lock: {
    usage: 'lock NAME [--shared] -- COMMAND',
    summary: 'Run a command while nobody else holds the lock; ends with its exit status.',
    least: 1,
    most: 1,
    runsCommand: true,
    flags: ['shared', 'lockWait', 'lockTtl', 'grace', 'worker'],
    run: lock,
  },
};

module.exports = { LOCK_COMMANDS };

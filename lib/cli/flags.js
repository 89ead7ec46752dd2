/**
 * The flags of the client commands, beside those of clients and of secrets in lib/options.js; the
 * shape of a row is the same.
 */
'use strict';

const TIMES = '500ms, 30s, 5m, 1h; a plain number is milliseconds';

const FLAGS = {
  json: {
    type: 'boolean',
    help: 'JSON instead of text: what is printed, and the values given.',
  },
  pipe: {
    type: 'string',
    placeholder: 'PATH',
    help: 'The broker; else EPHEMERAL_PIPE says where it is.',
  },
  ttl: {
    type: 'ms',
    placeholder: 'TIME',
    min: 1,
    endless: true,
    help: `How long the value lives: ${TIMES}; forever is as long as the broker.`,
  },
  leaseTtl: {
    name: 'ttl',
    type: 'ms',
    placeholder: 'TIME',
    min: 1,
    help: `How long the lease lasts unless it is renewed: ${TIMES}. Else 30 minutes.`,
  },
  renewTtl: {
    name: 'ttl',
    type: 'ms',
    placeholder: 'TIME',
    min: 1,
    help: `How long they last from now on: ${TIMES}. Else as long as they were given for.`,
  },
  lockTtl: {
    name: 'ttl',
    type: 'ms',
    placeholder: 'TIME',
    min: 1,
    help: 'How long the lock outlives us while we are stopped (SIGSTOP). Else one minute.',
  },
  ifAbsent: { type: 'boolean', help: 'Only write when the key does not exist.' },
  binary: { type: 'boolean', help: 'Store the bytes of stdin as they are, not as text.' },
  trim: { type: 'boolean', help: 'Drop one newline at the end of what stdin gives.' },
  worker: {
    type: 'string',
    placeholder: 'NAME',
    help: 'Who holds it; else WORKER_ID or the variable of your test runner says so.',
  },
  wait: {
    type: 'ms',
    placeholder: 'TIME',
    help: 'Wait for your turn so long, first come, first served; else refused at once.',
  },
  waitFor: {
    name: 'wait',
    type: 'ms',
    placeholder: 'TIME',
    help: 'How long to wait at most; else as long as it takes.',
  },
  lockWait: {
    name: 'wait',
    type: 'ms',
    placeholder: 'TIME',
    help: 'How long to wait for your turn at most, 0: not at all; else as long as it takes.',
  },
  force: { type: 'boolean', help: 'Also what others hold: for when you know that they are gone.' },
  discard: { type: 'boolean', help: 'Broken: the element leaves its pool.' },
  replace: { type: 'boolean', help: 'In place of another definition; what is held leaves later.' },
  keep: {
    name: 'ifAbsent',
    type: 'boolean',
    help: 'Leave another definition as it is; prints false then.',
  },
  add: { type: 'boolean', help: 'Add to a pool that may exist; prints its size.' },
  shared: { type: 'boolean', help: 'Share the lock with others that say so, too.' },
  grace: {
    type: 'ms',
    placeholder: 'TIME',
    help: 'How long the command has to end after TERM or HUP. Else 10 seconds.',
  },
  debug: { type: 'boolean', help: 'Print a stack trace with an error.' },
  help: { type: 'boolean', help: 'Print this help.' },
};

/** Flags of every client command; --json of those that print something of their own. */
const COMMON = ['pipe', 'debug', 'help'];

/**
 * @param {string} name
 */
function ownFlag(name) {
  const row = /** @type {Record<string, any>} */ (FLAGS)[name];
  const words = String(row.name ?? name).replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const flag = `--${words}`;
  const fallback = row.type === 'boolean' ? false : null;
  return { name, kind: 'cli', default: fallback, env: null, flag, ...row };
}

/**
 * All kinds of flags a client command takes, for parsing and for its help.
 *
 * @param {{ flags?: string[], runsCommand?: boolean }} command
 */
function flagKinds({ flags = [], runsCommand = false }) {
  const names = [...flags, ...(runsCommand ? [] : ['json']), ...COMMON];
  return /** @type {any[]} */ ([...names.map(ownFlag), 'client', 'secret']);
}

module.exports = { flagKinds };

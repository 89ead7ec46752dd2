/**
 * Twenty worker processes share five test accounts:
 *
 *   npx ephemeral-pipe-broker start -- node examples/accounts/main.js
 *
 * Each worker requests an account three times, waits for its turn, works and releases the account. Four
 * workers are killed while they hold an account. This program only records which worker held which account
 * at what times, by the machine's monotonic clock, which all processes share.
 */
'use strict';

const { fork } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const { PipeClient } = require('ephemeral-pipe-broker');
const { WORKERS, now } = require('./shared.js');

const ACCOUNTS = ['ann', 'bob', 'cid', 'dot', 'eve'].map((user) => ({
  user,
  password: `of ${user}`,
}));
const DOOMED = new Set([4, 8, 12, 16]);

/**
 * @typedef {object} Turn
 * @property {string} user
 * @property {number} from
 * @property {number} until
 * @property {boolean} [cut]  ended by the death of its worker
 */

/** Resolves the turns of a worker and the session that it used, when the worker has ended. */
async function runWorker(number) {
  const doomed = DOOMED.has(number);
  const worker = fork(path.join(__dirname, 'worker.js'), [String(number), doomed ? 'stays' : '']);
  const turns = [];
  let session;
  worker.on('message', (message) => {
    session ??= message.session;
    if (!message.stays) return void turns.push(message);
    turns.push({ ...message, until: now(), cut: true });
    worker.kill('SIGKILL');
    return undefined;
  });
  const [status, signal] = await once(worker, 'exit');
  if (doomed ? signal !== 'SIGKILL' : status !== 0) {
    throw new Error(`worker ${number} ended with ${signal ?? status}`);
  }
  return { turns, session };
}

/**
 * @param {Turn[]} turns  of one account, in order
 */
function judge(turns) {
  const pairs = turns.slice(1).map((turn, index) => ({ before: turns[index], turn }));
  return {
    overlaps: pairs.filter(({ before, turn }) => turn.from < before.until).length,
    waits: pairs
      .filter(({ before }) => before.cut)
      .map(({ before, turn }) => turn.from - before.until),
  };
}

/** The number of different accounts that can be leased at the end, all at once. */
async function countAccounts(client) {
  const leases = await Promise.all(
    ACCOUNTS.map(() => client.acquire('accounts', { waitMs: 0 }).catch(() => null)),
  );
  return new Set(leases.map((lease) => lease?.value.user)).size;
}

async function main() {
  const client = new PipeClient();
  await client.pool('accounts', ACCOUNTS);
  const runs = await Promise.all(Array.from({ length: WORKERS }, (_, i) => runWorker(i + 1)));

  const turns = runs.flatMap((run) => run.turns).sort((a, b) => a.from - b.from);
  const results = ACCOUNTS.map(({ user }) => judge(turns.filter((turn) => turn.user === user)));
  const overlaps = results.reduce((sum, result) => sum + result.overlaps, 0);
  const waits = results.flatMap((result) => result.waits);
  const lost = ACCOUNTS.length - (await countAccounts(client));
  const sessions = new Set(runs.map(({ session }) => session)).size;

  console.log(`${WORKERS} workers, ${ACCOUNTS.length} accounts, ${DOOMED.size} workers killed`);
  console.log(`${turns.length} turns; held by two at once: ${overlaps}; accounts lost: ${lost}`);
  console.log(`log-ins: ${await client.get('log-ins')}; sessions seen: ${sessions}`);
  console.log(`longest wait for the next after a death: ${Math.max(...waits).toFixed(1)} ms`);
  await client.close();
  if (overlaps > 0 || lost > 0 || sessions !== 1) process.exitCode = 1;
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});

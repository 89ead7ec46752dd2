/**
 * A worker that repeatedly needs an account of a pool. Plans:
 * - `loop`: requests an account, works for a moment, releases it, until it gets the message to finish;
 * - `hold`: requests an account once and keeps it;
 * - `login`: requests a value that is computed once, and ends with it.
 *
 * In addition to the broker, all workers share a record of the holders: a symbolic link with the account's
 * name that points to the holder's process id. Creating it fails if it exists. A killed holder leaves its
 * link behind; the next holder removes the link if the parent announced before the kill that this process
 * may die (a file `dead-<pid>`).
 *
 * Messages: "queued" (the broker has the request: a later call of the same connection was answered),
 * "held" (account, token, and the times of request, queueing and grant), "gave", "violation",
 * "computing", "value". Times are nanoseconds since `began`.
 */
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { once } = require('node:events');
const { setTimeout: work } = require('node:timers/promises');
const { randomFrom } = require('./broker.js');
const { inheritedClient } = require('./workers.js');

const { plan, pool, books, began, seed } = JSON.parse(process.argv[2]);
const TTL_MS = 600_000;
const WORK_MAX_MS = 4;

const random = randomFrom(seed);
const client = inheritedClient();
const now = () => Number(process.hrtime.bigint() - BigInt(began));
const tell = (type, more) => process.send({ type, pid: process.pid, ...more });
const inBooks = (name) => path.join(books, name);

function makeLink(link) {
  try {
    fs.symlinkSync(String(process.pid), link);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return false;
  }
}

/** Writes down that this process has it; a holder that is still alive is a violation. */
function take(account) {
  const link = inBooks(account);
  if (makeLink(link)) return;
  const holder = fs.readlinkSync(link);
  if (fs.existsSync(inBooks(`dead-${holder}`))) {
    fs.unlinkSync(link);
    if (makeLink(link)) return;
  }
  tell('violation', { account, holder });
}

function giveUp(account) {
  const link = inBooks(account);
  const holder = fs.readlinkSync(link);
  if (holder !== String(process.pid)) tell('violation', { account, holder });
  fs.unlinkSync(link);
}

/** Starts a call that waits; resolves when the broker has it, with the promise of its result. */
async function queue(call) {
  const asked = now();
  const pending = call();
  pending.catch(() => {});
  await client.ping();
  const queued = now();
  tell('queued', { asked, queued });
  return { asked, queued, pending };
}

async function acquire() {
  const { asked, queued, pending } = await queue(() => client.acquire(pool, { ttl: TTL_MS }));
  const lease = await pending;
  const granted = now();
  take(lease.value);
  tell('held', { account: lease.value, token: lease.token, asked, queued, granted });
  return lease;
}

const PLANS = {
  async loop() {
    let finished = false;
    process.once('message', () => (finished = true));
    while (!finished) {
      const lease = await acquire();
      await work(random() * WORK_MAX_MS);
      giveUp(lease.value);
      tell('gave', { account: lease.value });
      if (!(await lease.release())) tell('violation', { account: lease.value, holder: null });
    }
  },

  async hold() {
    const lease = await acquire();
    await once(process, 'message');
    giveUp(lease.value);
    await lease.release();
  },

  async login() {
    const logIn = async () => {
      fs.appendFileSync(inBooks('logins'), `${process.pid}\n`);
      tell('computing');
      await once(process, 'message');
      return { token: `of ${process.pid}` };
    };
    const { pending } = await queue(() => client.getOrSet(pool, TTL_MS, logIn));
    tell('value', { value: await pending });
  },
};

PLANS[plan]().then(() => process.disconnect());

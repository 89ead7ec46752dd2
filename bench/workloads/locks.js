'use strict';

// Leases a second. A lap acquires and releases a lease: a lock without competition, and, with eight
// processes, one of five accounts that all of them compete for. Also measures the cost of a waiting call
// for the other calls of its connection.
const ACCOUNTS = ['anna', 'ben', 'carla', 'dan', 'eva'];
const ITEM = 'bench:item';
const POOL = 'bench:accounts';
const LOCK = `bench:lock:${process.pid}`;

async function lockAndUnlock(client, clock) {
  let operations = 0;
  do {
    const unlock = await client.lock(LOCK);
    await unlock();
    operations++;
  } while (clock.lap());
  return operations;
}

async function takeTurns({ client }, clock) {
  let operations = 0;
  do {
    const account = await client.acquire(POOL);
    await account.release();
    operations++;
  } while (clock.running());
  return operations;
}

/** Sequential gets while a call of the same connection waits for its turn. */
async function getBesideAWait(peer, clock) {
  const { client } = peer;
  const held = await client.acquireLock(LOCK);
  const leaving = new AbortController();
  const turn = client.acquireLock(LOCK, { signal: leaving.signal });
  turn.catch(() => {});
  let operations = 0;
  do {
    await peer.get(ITEM);
    operations++;
  } while (clock.lap());
  leaving.abort();
  await held.release();
  return operations;
}

module.exports = [
  {
    name: 'lock and unlock',
    places: ['one CPU', 'two CPUs', '8 processes'],
    needs: 'lock',
    forAll: true,
    run: lockAndUnlock,
  },
  {
    name: 'acquire and release one of 5 accounts',
    places: ['8 processes'],
    needs: 'leases',
    prepare: ({ client }) => client.pool(POOL, ACCOUNTS),
    run: takeTurns,
  },
  {
    name: 'sequential GET while a call waits',
    places: ['one CPU', 'two CPUs'],
    needs: 'leases',
    prepare: (peer) => peer.set(ITEM, 'value'),
    run: getBesideAWait,
  },
].map((workload, order) => ({ ...workload, order: 20 + order, group: 'leases', kind: 'rate' }));

/**
 * One session for each process and thread, however many copies of the module are loaded there: what test
 * runners do that load modules anew for each file.
 */
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { SECRET, runNode, startBroker, startClient } = require('../helpers/broker.js');

/** Loads the package once more, as if it had not been loaded. */
const COPY = `
  const WORKER = { workerId: 'w' };
  function copy() {
    for (const file of Object.keys(require.cache)) {
      if (file.startsWith(ROOT)) delete require.cache[file];
    }
    // Its parent is nobody's, and does not keep it.
    return require('node:module').createRequire(ROOT + '/')(ROOT);
  }
  const newClient = (options) => new (copy().PipeClient)(undefined, { ...WORKER, ...options });
  const show = (value) => console.log(JSON.stringify(value));
`;

/**
 * What a script shows that has the broker in its environment.
 * @param {import('ephemeral-pipe-broker').Broker} broker
 * @param {string} script
 */
async function shown(broker, script, env = {}) {
  const source = `${COPY}
    (async () => {${script}})().catch((error) => {
      console.error(error);
      process.exit(1);
    });`;
  const run = await runNode(source, { env: { ...broker.env(), ...env } });
  assert.deepEqual([run.status, run.signal], [0, null], run.stderr);
  return run.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

for (const secret of [null, SECRET]) {
  const how = secret === null ? 'without a secret' : 'with a secret';

  test(`a worker gets the same from each copy, ${how}`, async (t) => {
    const broker = startBroker(t, { secret });
    const [first, second, third, sessions] = await shown(
      broker,
      `const clients = [newClient(), newClient(), newClient()];
       for (const client of clients) {
         await client.pool('accounts', ['ann']);
         show([await client.lease('port'), await client.lease('accounts')]);
       }
       const held = await clients[0].leases();
       show([new Set(held.map(({ session }) => session)).size, held.length]);
       await Promise.all(clients.map((client) => client.close()));`,
    );
    assert.deepEqual([first, second, third], Array(3).fill([0, 'ann']));
    assert.deepEqual(sessions, [1, 2]);
  });
}

test('a copy that closes takes what it alone took', async (t) => {
  const broker = startBroker(t);
  const [kept, freed] = await shown(
    broker,
    `const first = newClient();
     const second = newClient();
     const stranger = newClient({ workerId: 'stranger' });
     for (const key of ['both', 'mine']) await first.set(key, key, 60000);
     await first.lease('both');
     await first.lease('mine');
     await second.lease('both');
     await first.close();
     const tryLease = (key) => stranger.lease(key, { waitMs: 0 }).catch(({ code }) => code);
     show(await tryLease('both'));
     show(await tryLease('mine'));
     await second.close();
     await stranger.close();`,
  );
  assert.equal(kept, 'lease_held');
  assert.equal(freed, 'mine');
});

test('any copy may release and renew what another took', async (t) => {
  const broker = startBroker(t);
  const [renewed, released, left] = await shown(
    broker,
    `const first = newClient();
     const second = newClient();
     await first.lease('port');
     show((await second.renew()).renewed);
     show(await second.release());
     show((await first.leases()).length);
     await Promise.all([first.close(), second.close()]);`,
  );
  assert.deepEqual([renewed, released, left], [1, true, 0]);
});

/** A copy takes it, and nobody has that copy any more; its module is not in the cache, either. */
const ORPHAN = `
  await (async () => {
    const orphan = newClient();
    await orphan.limit('one', 1);
    await orphan.acquire('one', { ttl: 3600000 });
  })();
  const client = newClient();
`;

test('what a dropped copy held is free for one that waits', async (t) => {
  const broker = startBroker(t);
  const [value] = await shown(
    broker,
    `${ORPHAN}
     const lease = await client.acquire('one', { waitMs: 60000 });
     show(lease.value);
     await client.close();`,
  );
  assert.equal(value, 0);
});

test('and for one that does not wait', async (t) => {
  const broker = startBroker(t);
  const [value, code] = await shown(
    broker,
    `${ORPHAN}
     const lease = await client.acquire('one', { waitMs: 0 });
     show(lease.value);
     const other = newClient({ workerId: 'other' });
     show(await other.acquire('one', { waitMs: 0 }).catch((error) => error.code));
     show(lease.lost);
     await Promise.all([client.close(), other.close()]);`,
  );
  assert.equal(value, 0);
  assert.equal(code, 'lease_held', 'one that is in use is not taken away');
});

test('a caller that aborts meanwhile gets its reason', async (t) => {
  const broker = startBroker(t);
  const [reason] = await shown(
    broker,
    `const holder = newClient();
     await holder.limit('one', 1);
     const lease = await holder.acquire('one');
     const client = newClient();
     const controller = new AbortController();
     const { signal } = controller;
     const asked = client.acquire('one', { waitMs: 0, signal }).catch(({ message }) => message);
     const isWaiting = async () =>
       (await holder.leases('one')).some(({ state }) => state === 'waiting');
     let isOver = false;
     void asked.then(() => (isOver = true));
     while (!isOver && !(await isWaiting()));
     controller.abort(new Error('given up'));
     show(await asked);
     await lease.release();
     await Promise.all([holder.close(), client.close()]);`,
  );
  assert.equal(reason, 'given up');
});

test('and it is, if the collection of garbage takes a while', async (t) => {
  const broker = startBroker(t);
  const [value] = await shown(
    broker,
    `${ORPHAN}
     const vm = require('node:vm');
     const { runInNewContext } = vm;
     vm.runInNewContext = (...rest) => {
       const collect = runInNewContext(...rest);
       if (collect === undefined) return collect;
       return () => {
         // Less than half a second: after a longer one the copy may end one collection later (docs/leases.md).
         Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
         collect();
       };
     };
     const lease = await client.acquire('one', { waitMs: 0 });
     show(lease.value);
     await client.close();`,
  );
  assert.equal(value, 0);
});

test("what a dropped copy leased is the worker's in the next copy", async (t) => {
  const broker = startBroker(t);
  const [renewed, held, had, left, flag] = await shown(
    broker,
    `await (async () => {
       const orphan = newClient();
       await orphan.pool('accounts', ['ann']);
       await orphan.limit('one', 1);
       await orphan.lease('accounts');
       await orphan.lease('timed', { ttl: 3600000 });
       await orphan.acquire('one', { ttl: 3600000 });
     })();
     const client = newClient();
     // The permit shows that the copy is gone, by a collection of garbage.
     await client.acquire('one', { waitMs: 60000 });
     show((await client.renew()).renewed);
     const stranger = newClient({ workerId: 'stranger' });
     show(await stranger.lease('accounts').catch(({ code }) => code));
     show([await client.lease('accounts'), await client.lease('timed')]);
     await client.release('w', 'accounts');
     show(await stranger.lease('accounts'));
     show(require('node:vm').runInNewContext('typeof gc'));
     await Promise.all([client.close(), stranger.close()]);`,
  );
  assert.equal(renewed, 3);
  assert.equal(held, 'lease_held');
  assert.deepEqual(had, ['ann', 0]);
  assert.equal(left, 'ann');
  assert.equal(flag, 'undefined', 'a flag of V8 was left set');
});

test('what is released by another copy is renewed no more', async (t) => {
  const broker = startBroker(t);
  const [first, second] = await shown(
    broker,
    `const one = newClient();
     const two = newClient();
     await one.lease('port');
     await two.release('w', 'port');
     // Granted anew, with a TTL: what the first copy keeps is not this.
     await two.lease('port', 'w', 1000);
     const gone = async () => {
       for (;;) if ((await two.leases('port')).length === 0) return true;
     };
     show(await gone());
     await two.lease('port', 'w', 1000);
     await one.lease('port', 'w');
     await two.lease('port', 'w', 500);
     show(await gone());
     await Promise.all([one.close(), two.close()]);`,
  );
  assert.ok(first && second);
});

test('worker threads and child processes are sessions of their own', async (t) => {
  const broker = startBroker(t);
  const values = await shown(
    broker,
    `const { Worker } = require('node:worker_threads');
     const { execFileSync } = require('node:child_process');
     const { once } = require('node:events');
     const client = newClient();
     show(await client.lease('port'));
     const script = \`
       const { PipeClient } = require(\${JSON.stringify(ROOT)});
       const client = new PipeClient(undefined, { workerId: 'w' });
       client.lease('port').then((value) => {
         console.log(value);
         return client.close();
       });\`;
     const worker = new Worker(script, { eval: true, stdout: true });
     let text = '';
     worker.stdout.on('data', (chunk) => (text += chunk));
     await once(worker, 'exit');
     show(Number(text));
     const other = newClient();
     show(Number(execFileSync(process.execPath, ['-e', script])));
     show(await other.lease('port'));
     await Promise.all([client.close(), other.close()]);`,
  );
  assert.deepEqual(values, [0, 1, 1, 0]);
});

test('two pipes in a process, and two secrets, do not mix', async (t) => {
  const brokers = [startBroker(t), startBroker(t, { secret: SECRET }), startBroker(t)];
  const others = JSON.stringify(
    brokers.slice(1).map((broker) => [broker.pipe, broker.secret ?? null]),
  );
  const values = await shown(
    brokers[0],
    `const { PipeClient } = copy();
     const clients = [
       newClient(),
       ...${others}.map(([pipe, secret]) => new PipeClient(pipe, { secret, ...WORKER })),
     ];
     for (const client of clients) show([await client.lease('port'), await client.lease('port')]);
     const refused = new PipeClient(${JSON.stringify(brokers[1].pipe)}, { secret: 'another one' });
     show(await refused.ping().catch(({ code }) => code));
     await Promise.all([...clients, refused].map((client) => client.close()));`,
  );
  assert.deepEqual(values, [...Array(3).fill([0, 0]), 'auth_failed']);
});

/** It blocks its thread: at every number of exchanges, with a large request half sent, with replies unread. */
const BLOCKED = `
  const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');
  const TTL = 1500;
  async function run(k, state, pool) {
    const client = newClient({ workerId: \`w\${k}\${state}\` });
    await client.set('large', Buffer.alloc(200000), 3600000);
    const lease = await client.acquire(\`\${state}\${k}\`, { kind: 'number', ttl: TTL });
    for (let i = 0; i < k; i++) await client.ping();
    const calls = [];
    const most = state === 'plain' ? 0 : 10;
    for (let i = 0; i < most; i++) {
      calls.push(state === 'unsent' ? client.set(\`big\${i}\`, Buffer.alloc(250000), 60000) : client.get('large'));
    }
    await Promise.resolve();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3 * TTL);
    await Promise.all(calls);
    await lease.renew();
    const { lost } = lease;
    await client.close();
    return lost;
  }
`;

for (const secret of [null, SECRET]) {
  const how = secret === null ? 'without a secret' : 'with a secret';

  test(`a blocked thread keeps its leases at every step to the pipes, ${how}`, async (t) => {
    const broker = startBroker(t, { secret });
    const [lost] = await shown(
      broker,
      `${BLOCKED}
       const work = [];
       for (let k = 60; k <= 70; k++) work.push([k, 'plain']);
       for (const k of [0, 64, 65, 66, 80]) work.push([k, 'unsent'], [k, 'unread']);
       const lost = [];
       const one = ([k, state]) => new Promise((resolve) => {
         const source = \`const ROOT = \${JSON.stringify(ROOT)};
           \${${JSON.stringify(COPY + BLOCKED)}}
           run(\${k}, '\${state}').then(
             (isLost) => parentPort.postMessage(isLost ? 'lost' : 'kept'),
             (error) => parentPort.postMessage(error.message));\`;
         const worker = new Worker(source, { eval: true });
         worker.on('message', (said) => {
           if (said !== 'kept') lost.push([k, state, said]);
         });
         worker.on('error', (error) => lost.push([k, state, error.message]));
         worker.on('exit', resolve);
       });
       await Promise.all(work.map(one));
       show(lost);`,
    );
    assert.deepEqual(lost, []);
  });
}

test('a client that is not of the session can not renew or release', async (t) => {
  const broker = startBroker(t);
  const client = startClient(t, broker, { workerId: 'w' });
  const lease = await client.acquire('k', { kind: 'number' });
  const [code] = await shown(
    broker,
    `const client = newClient();
     show(await client.release().catch(({ code }) => code));
     await client.close();`,
  );
  assert.equal(code, 'lease_held');
  assert.equal(await lease.release(), true);
});

'use strict';

// Floods, bombs and slowness against a broker in a process of its own, while a polite client uses it:
// the polite one is answered correctly all the time, and the broker's memory stays within bounds.
// What can be counted exactly is counted without Node (test/c/server/attack_server_test.c).
const assert = require('node:assert/strict');
const net = require('node:net');
const zlib = require('node:zlib');
const { once } = require('node:events');
const { describe, test } = require('node:test');
const { SECRET, until, withCode } = require('../helpers/broker.js');
const { startBrokerProcess } = require('../helpers/broker_process.js');
const { MAGIC, rawConnection, requestFrame, takeReply } = require('../helpers/wire.js');
const { load } = require('../../lib/binding.js');

const TTL = 600_000;
const binding = load();
const { actions, flags } = binding;
const STATUS = Object.fromEntries(binding.statuses.map(({ code, number }) => [code, number]));
const MIB = 1024 * 1024;

/** Uses the broker until told to stop; every answer must be right. */
function startPolite(client) {
  let over = false;
  let count = 0;
  const done = (async () => {
    while (!over) {
      assert.equal(await client.incr('polite', 1, TTL), ++count);
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
    return count;
  })();
  done.catch(() => {});
  return {
    count: () => count,
    stop: () => {
      over = true;
      return done;
    },
  };
}

/** Runs an attack while the polite client works; afterwards all is as before. */
async function attack(scene, run) {
  const polite = startPolite(scene.client);
  try {
    await run();
    // It got on while the attack stood, not before it alone.
    const before = polite.count();
    await until(() => polite.count() > before + 20, 'the polite client is served');
  } finally {
    await polite.stop();
  }
  await scene.client.del('polite');
}

/** All that a connection is told, as replies. */
function repliesOf(bytes) {
  const replies = [];
  for (let taken = takeReply(bytes); taken !== null; taken = takeReply(taken.rest)) {
    replies.push(taken.reply);
  }
  return replies;
}

/** A connection that is refused, reset, or open with its first reply. */
function knock(t, pipe) {
  return new Promise((resolve) => {
    const socket = net.createConnection(pipe);
    t.after(() => socket.destroy());
    const end = (outcome) => resolve({ socket, outcome });
    socket.on('error', (error) => end(error.code));
    socket.on('close', () => end('closed'));
    socket.on('data', (bytes) => end(takeReply(bytes)?.reply.status));
    socket.write(Buffer.concat([MAGIC, requestFrame({ action: actions.ping })]));
  });
}

test('thousands of connections: as many as allowed, the others are told, nobody is disturbed', async (t) => {
  const CROWD = 3000;
  const scene = await startBrokerProcess(t);
  await scene.client.ping();
  const before = scene.residentMib();
  const sockets = [];
  const outcomes = new Map();
  await attack(scene, async () => {
    for (let i = 0; i < CROWD; i += 50) {
      const some = await Promise.all(Array.from({ length: 50 }, () => knock(t, scene.pipe)));
      for (const { socket, outcome } of some) {
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        sockets.push(socket);
      }
    }
  });
  assert.equal(outcomes.get(STATUS.ok), 1023, JSON.stringify([...outcomes]));
  // The refusal is there before we write, and may be overtaken by the failure to.
  const refusals = [STATUS.max_connections, 'EPIPE', 'ECONNRESET'];
  const refused = refusals.reduce((sum, outcome) => sum + (outcomes.get(outcome) ?? 0), 0);
  assert.equal(refused, CROWD - 1023, JSON.stringify([...outcomes]));
  // Who says nothing hears it for certain.
  const silent = await rawConnection(t, scene.pipe);
  assert.equal((await silent.reply()).status, STATUS.max_connections);
  assert.ok(scene.residentMib() - before < 48, `${scene.residentMib() - before} MiB more`);
  for (const socket of sockets) socket.destroy();
  await until(async () => (await scene.client.stats()).connections === 1, 'all are gone');
  assert.equal((await knock(t, scene.pipe)).outcome, STATUS.ok);
});

test('hundreds of slow senders: each is answered in the end, nobody waits for them', async (t) => {
  const scene = await startBrokerProcess(t);
  const slow = await Promise.all(Array.from({ length: 200 }, () => rawConnection(t, scene.pipe)));
  for (const raw of slow) raw.write(MAGIC);
  await attack(scene, async () => {
    for (const byte of requestFrame({ action: actions.has, key: 'k', id: 3 })) {
      for (const raw of slow) raw.write(Buffer.from([byte]));
      await scene.client.ping();
    }
    for (const raw of slow) assert.equal((await raw.reply()).status, STATUS.ok);
  });
});

// They wait ten seconds by the clock of the machine, so they do it together.
describe('who does not finish is let go after ten seconds', { concurrency: true }, () => {
  const begun = [
    ['a handshake', SECRET, Buffer.from('EPB1 and some')],
    ['nothing at all', SECRET, Buffer.alloc(0)],
    [
      'a frame',
      null,
      Buffer.concat([MAGIC, requestFrame({ action: actions.ping }).subarray(0, 7)]),
    ],
    ['a line', null, Buffer.from('{"action":"pi')],
  ];
  for (const [what, secret, bytes] of begun) {
    test(`${what} begun by many`, async (t) => {
      const scene = await startBrokerProcess(t, { secret });
      await scene.client.ping();
      const start = performance.now();
      const slow = await Promise.all(
        Array.from({ length: 30 }, () => rawConnection(t, scene.pipe)),
      );
      for (const raw of slow) raw.write(bytes);
      await attack(scene, async () => {
        for (const raw of slow) await raw.rest();
      });
      assert.ok(performance.now() - start > 9_000, 'it was no matter of time');
      // The broker has closed them all, and forgets the last one in its next turn.
      await until(async () => (await scene.client.stats()).connections === 1, 'all are gone');
    });
  }
});

test('half frames on many connections: 32 MiB of them at most', async (t) => {
  const scene = await startBrokerProcess(t);
  await scene.client.ping();
  const before = scene.residentMib();
  const half = Buffer.alloc(MIB - 100);
  half.writeUInt32LE(MIB - 50, 0);
  await attack(scene, async () => {
    for (let i = 0; i < 100; i++) {
      const raw = await rawConnection(t, scene.pipe);
      raw.write(MAGIC);
      raw.write(half);
      await scene.client.ping();
    }
    // Who waits to be read from, since all hold too much, goes when it has been.
    await until(async () => (await scene.client.stats()).connections < 60, 'most are dropped');
  });
  // What the limit counts, what is in pools and the allocator's slack.
  assert.ok(scene.residentMib() - before < 96, `${scene.residentMib() - before} MiB more`);
});

test('replies that nobody reads, on many connections: 64 MiB of them at most', async (t) => {
  const scene = await startBrokerProcess(t);
  await scene.client.set('large', Buffer.alloc(250_000, 7), TTL);
  const before = scene.residentMib();
  const asks = Buffer.concat(
    Array.from({ length: 40 }, () => requestFrame({ action: actions.get, key: 'large' })),
  );
  await attack(scene, async () => {
    for (let i = 0; i < 150; i++) {
      const raw = await rawConnection(t, scene.pipe);
      raw.socket.pause();
      raw.write(MAGIC);
      raw.write(asks);
      await scene.client.ping();
    }
    await until(async () => (await scene.client.stats()).connections < 120, 'some are dropped');
  });
  assert.ok(scene.residentMib() - before < 192, `${scene.residentMib() - before} MiB more`);
});

test('four floods of requests beside a polite client: it is answered, and rightly', async (t) => {
  const scene = await startBrokerProcess(t);
  const frame = requestFrame({ action: actions.has, key: 'k' });
  const piece = Buffer.concat(Array.from({ length: 2000 }, () => frame));
  let replies = 0;
  const floods = await Promise.all(Array.from({ length: 4 }, () => rawConnection(t, scene.pipe)));
  for (const { socket } of floods) {
    socket.removeAllListeners('data');
    socket.on('data', (bytes) => (replies += bytes.length));
    socket.write(MAGIC);
    const pour = () => {
      while (!socket.destroyed && socket.write(piece));
    };
    socket.on('drain', pour);
    pour();
  }
  await attack(scene, () => until(() => replies > 4 * MIB, 'the floods are served'));
});

test('deep JSON in lines is refused in its own line, at any depth', async (t) => {
  const scene = await startBrokerProcess(t);
  await attack(scene, async () => {
    const raw = await rawConnection(t, scene.pipe);
    const shapes = [
      (depth) => '['.repeat(depth) + ']'.repeat(depth),
      (depth) => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth),
      (depth) => '['.repeat(depth),
      (depth) => '[{"a":'.repeat(depth),
    ];
    for (const depth of [40, 1000, 100_000]) {
      for (const shape of shapes) {
        const value = shape(depth);
        raw.write(`{"action":"set","key":"deep","ttl":5000,"value":${value}}\n`);
        assert.equal((await raw.line()).error, 'invalid_json', value.slice(0, 20));
      }
    }
    raw.write('{"action":"has","key":"deep"}\n');
    assert.equal((await raw.line()).ok, true);
  });
  assert.equal(await scene.client.has('deep'), false);
});

test('deep JSON stored by somebody else ends no client', async (t) => {
  const scene = await startBrokerProcess(t);
  const raw = await rawConnection(t, scene.pipe);
  raw.write(MAGIC);
  const set = { action: actions.set, key: 'deep', flags: flags.ttl, numbers: [TTL] };
  for (const value of ['['.repeat(200_000), '['.repeat(100_000) + ']'.repeat(100_000)]) {
    raw.write(requestFrame({ ...set, value }));
    assert.equal((await raw.reply()).status, STATUS.ok);
    const outcome = await scene.client.get('deep').catch((error) => error.code);
    assert.ok(Array.isArray(outcome) || outcome === 'invalid_value');
    assert.equal(await scene.client.has('deep'), true);
  }
});

/** What a client asks for when it sets compressed bytes. */
function zippedSet(key, value) {
  const bits = flags.ttl | flags.gzip | flags.binary;
  return requestFrame({ action: actions.set, key, flags: bits, numbers: [TTL], value });
}

test('bombs: the broker unpacks none, and a client no more than a value may have', async (t) => {
  const scene = await startBrokerProcess(t);
  const raw = await rawConnection(t, scene.pipe);
  raw.write(MAGIC);
  const huge = zlib.gzipSync(Buffer.alloc(240 * MIB));
  assert.ok(huge.length < 256 * 1024);
  const lied = Buffer.from(huge);
  lied.writeUInt32LE(200_000, lied.length - 4);
  const small = zlib.gzipSync('small');
  const bombs = {
    lied,
    'of two members': Buffer.concat([huge, small]),
    'cut off': huge.subarray(0, -4),
  };
  // One that tells its size is refused; the others the broker can't know without unpacking.
  raw.write(zippedSet('honest', huge));
  assert.equal((await raw.reply()).status, STATUS.too_large);
  const before = scene.residentMib();
  for (const [key, bytes] of Object.entries(bombs)) {
    raw.write(zippedSet(key, bytes));
    const { status } = await raw.reply();
    if (key !== 'cut off') assert.equal(status, STATUS.ok, key);
    if (status !== STATUS.ok) continue;
    const peak = process.resourceUsage().maxRSS;
    await assert.rejects(scene.client.get(key), withCode('invalid_value'), key);
    assert.throws(() => scene.client.getSync(key), withCode('invalid_value'), key);
    const more = (process.resourceUsage().maxRSS - peak) / 1024;
    assert.ok(more < 80, `${key}: ${more} MiB more in the client`);
  }
  assert.ok(scene.residentMib() - before < 24, `${scene.residentMib() - before} MiB more`);
  await attack(scene, async () => {});
});

test('watchers that read nothing: their queues stay small, and nobody waits for them', async (t) => {
  const scene = await startBrokerProcess(t);
  const watchers = await Promise.all(
    Array.from({ length: 200 }, () => rawConnection(t, scene.pipe)),
  );
  for (const raw of watchers) {
    raw.socket.pause();
    raw.write(Buffer.concat([MAGIC, requestFrame({ action: actions.watch, id: 4 })]));
  }
  await until(async () => (await scene.client.stats()).watchers === 200, 'all watch');
  const before = scene.residentMib();
  const name = 'x'.repeat(400);
  await attack(scene, async () => {
    for (let i = 0; i < 10_000; i += 500) {
      const sets = Array.from({ length: 500 }, (_, j) => scene.client.set(`${name}${j}`, i, TTL));
      await Promise.all(sets);
    }
  });
  // A megabyte for each would be too much: the largest are dropped, as with any unread output.
  const { memory, maxMemory, connections } = await scene.client.stats();
  assert.ok(connections > 32 && connections < 201, `${connections} connections`);
  assert.ok(memory <= maxMemory);
  // 10,000 events of 400 bytes for each of 200 would be 800 MB.
  assert.ok(scene.residentMib() - before < 320, `${scene.residentMib() - before} MiB more`);
});

test('waiters without end: no more than allowed, the others keep what is theirs', async (t) => {
  const scene = await startBrokerProcess(t, { maxWaiters: 1000 });
  const lease = await scene.client.acquireLock('mine');
  const raw = await rawConnection(t, scene.pipe);
  raw.write(MAGIC);
  const wait = {
    action: actions.lock,
    key: 'mine',
    flags: flags.ttl | flags.wait,
    numbers: [TTL, TTL],
  };
  const ASKED = 20_000;
  await attack(scene, async () => {
    for (let id = 1; id <= ASKED; id++) {
      raw.write(requestFrame({ ...wait, id, worker: `w${id}` }));
    }
    for (let i = 0; i < ASKED - 1000; i++) {
      assert.equal((await raw.reply()).status, STATUS.max_waiters);
    }
    assert.equal((await scene.client.stats()).waiting, 1000);
  });
  raw.socket.destroy();
  await until(async () => (await scene.client.stats()).waiting === 0, 'nobody waits any more');
  await lease.release();
  const again = await scene.client.acquireLock('mine', { waitMs: 0 });
  await again.release();
});

test('leases without end: no more than maxMemory holds, and all end with their connection', async (t) => {
  const scene = await startBrokerProcess(t, { maxMemory: 4 * MIB });
  await scene.client.ping();
  const before = scene.residentMib();
  const raw = await rawConnection(t, scene.pipe);
  raw.socket.removeAllListeners('data');
  const parts = [];
  let received = 0;
  raw.socket.on('data', (bytes) => {
    parts.push(bytes);
    received += bytes.length;
  });
  const lease = { action: actions.lease, flags: flags.ttl | flags.fresh, numbers: [TTL] };
  const ASKED = 60_000;
  const asks = Array.from({ length: ASKED }, (_, i) =>
    requestFrame({ ...lease, id: i + 1, key: `k${i % 100}`, worker: `worker ${i}` }),
  );
  await attack(scene, async () => {
    raw.write(Buffer.concat([MAGIC, ...asks]));
    // A refusal has 12 bytes, a lease more: so many are there when all are.
    const all = () => received >= 12 * ASKED && repliesOf(Buffer.concat(parts)).length === ASKED;
    await until(all, 'all are answered');
  });
  const statuses = repliesOf(Buffer.concat(parts)).map(({ status }) => status);
  assert.deepEqual([...new Set(statuses)].sort(), [STATUS.ok, STATUS.max_memory].sort());
  const { leases, memory, maxMemory } = await scene.client.stats();
  assert.equal(leases, statuses.filter((status) => status === STATUS.ok).length);
  assert.ok(leases > 1000 && memory <= maxMemory, `${leases} leases, ${memory} bytes`);
  assert.ok(scene.residentMib() - before < 48, `${scene.residentMib() - before} MiB more`);
  raw.socket.destroy();
  await until(async () => (await scene.client.stats()).leases === 0, 'all leases are gone');
  assert.equal(await scene.client.lease('k0', 'somebody', TTL), 0);
});

test('a client that reads slowly gets everything, however much the others do', async (t) => {
  const scene = await startBrokerProcess(t);
  await scene.client.set('large', Buffer.alloc(100_000, 7), TTL);
  const raw = await rawConnection(t, scene.pipe);
  raw.socket.pause();
  raw.write(MAGIC);
  for (let id = 1; id <= 60; id++) {
    raw.write(requestFrame({ action: actions.get, key: 'large', id }));
  }
  await attack(scene, async () => {
    await scene.client.ping();
    raw.socket.resume();
    for (let id = 1; id <= 60; id++) {
      const reply = await raw.reply();
      assert.deepEqual([reply.id, reply.body.length], [id, 100_000]);
    }
    raw.socket.end();
    await once(raw.socket, 'close');
  });
});

'use strict';

// Somebody between a client and its broker who forwards what both say: reads along, changes, cuts,
// repeats, sends back, and replays it later. Every position of every byte is tried without sockets
// (test/c/wire/attack_session_test.c); here are real clients, sockets and a real broker.
const assert = require('node:assert/strict');
const net = require('node:net');
const path = require('node:path');
const { once } = require('node:events');
const { test } = require('node:test');
const {
  PipeClient,
  SECRET,
  startBroker,
  startClient,
  temporaryDirectory,
} = require('../helpers/broker.js');
const { stretched } = require('../helpers/time_limits.js');
const { CLIENT_HELLO_BYTES: HELLO, SERVER_HELLO_BYTES } = require('../helpers/sealed.js');
const { rawConnection } = require('../helpers/wire.js');

const TTL = 60_000;
const KEY = 'the-key-nobody-sees';
const VALUE = 'the-value-nobody-sees';
const HIDDEN = /nobody-sees|a secret for tests/;
/** Bytes of the client's proof, which comes behind its hello. */
const PROOF = 32;

/**
 * A relay before a broker. `meddle` gets each chunk, its direction ('up' to the broker, 'down'), the
 * offset of the chunk in that direction, and the two sockets; it resolves what goes on.
 */
async function startRelay(t, broker, meddle = (chunk) => chunk) {
  const pipe = path.join(temporaryDirectory(t), 'r');
  const heard = { up: [], down: [] };
  const server = net.createServer((near) => {
    const far = net.createConnection(broker.pipe);
    const offsets = { up: 0, down: 0 };
    const join = (from, to, direction) => {
      from.on('data', (chunk) => {
        heard[direction].push(chunk);
        const on = meddle(Buffer.from(chunk), { direction, at: offsets[direction], near, far });
        offsets[direction] += chunk.length;
        if (on.length > 0) to.write(on);
      });
      from.on('error', () => {});
      from.on('close', () => to.destroy());
      t.after(() => from.destroy());
    };
    join(near, far, 'up');
    join(far, near, 'down');
  });
  server.listen(pipe);
  t.after(() => server.close());
  await once(server, 'listening');
  const bytes = (direction) => Buffer.concat(heard[direction]);
  return { pipe, bytes };
}

/** A broker with one value, and somebody who reaches it directly. */
async function startScene(t) {
  const broker = startBroker(t, { secret: SECRET });
  const direct = startClient(t, broker);
  await direct.set(KEY, VALUE, TTL);
  return { broker, direct };
}

function startVictim(t, relay, options = {}) {
  const client = new PipeClient(relay.pipe, { secret: SECRET, ...options });
  t.after(() => client.close());
  return client;
}

/** PendingCalls one after the other until one fails; resolves how many succeeded, and the error. */
async function countUntilItFails(client) {
  for (let count = 0; ; count++) {
    try {
      assert.equal(await client.incr('n', 1, TTL), count + 1);
      assert.equal(await client.get(KEY), VALUE);
    } catch (error) {
      if (error.name !== 'BrokerError') throw error;
      return { count, error };
    }
    if (count === 20) return { count, error: null };
  }
}

test('who only forwards carries the session and learns nothing of it', async (t) => {
  const { broker, direct } = await startScene(t);
  const relay = await startRelay(t, broker);
  const client = startVictim(t, relay);
  assert.equal(await client.get(KEY), VALUE);
  await client.set(`${KEY} 2`, VALUE, TTL);
  assert.equal((await client.list()).length, 2);
  assert.equal(await direct.get(`${KEY} 2`), VALUE);
  for (const direction of ['up', 'down']) {
    const bytes = relay.bytes(direction);
    assert.ok(bytes.length > SERVER_HELLO_BYTES);
    assert.doesNotMatch(bytes.toString('latin1'), HIDDEN);
    assert.doesNotMatch(bytes.toString('utf16le'), HIDDEN);
  }
});

/** One changed bit of the byte at an offset of a direction. */
function flipAt(direction, offset) {
  let done = false;
  return (chunk, { direction: now, at }) => {
    if (!done && now === direction && at <= offset && offset < at + chunk.length) {
      chunk[offset - at] ^= 1;
      done = true;
    }
    return chunk;
  };
}

/** Nothing passes from an offset of a direction on. */
function cutAt(direction, offset) {
  return (chunk, { direction: now, at }) =>
    now === direction ? chunk.subarray(0, Math.max(0, offset - at)) : chunk;
}

/** Bytes that belong to the direction's first request or its reply come behind these. */
const OFFSETS = {
  up: [
    3,
    4,
    6,
    38,
    HELLO - 2,
    HELLO - 1,
    HELLO,
    HELLO + PROOF - 1,
    HELLO + PROOF,
    HELLO + PROOF + 9,
    180,
  ],
  down: [0, 4, 6, 37, 38, 41, 42, 73, 74, 78, 130],
};

for (const direction of ['up', 'down']) {
  for (const offset of OFFSETS[direction]) {
    test(`a byte changed, ${direction} at ${offset}: refused, nothing false is done or believed`, async (t) => {
      const { broker, direct } = await startScene(t);
      const relay = await startRelay(t, broker, flipAt(direction, offset));
      const { count, error } = await countUntilItFails(
        startVictim(t, relay, { timeout: stretched(300) }),
      );
      assert.ok(error !== null, 'it was not noticed');
      assert.match(
        error.code,
        /^(auth_failed|auth_required|broker_gone|version_mismatch|invalid_request|too_large|timeout)$/,
      );
      const handshake = direction === 'up' ? HELLO + PROOF : SERVER_HELLO_BYTES;
      if (offset < handshake) assert.equal(count, 0);
      // A call without an answer may have been carried out; none that was not made.
      const done = await direct.get('n', { default: 0 });
      assert.ok(done === count || done === count + 1, `${done} done, ${count} answered`);
      assert.equal(await direct.get(KEY), VALUE);
      const before = direction === 'down' && offset < SERVER_HELLO_BYTES;
      if (before) assert.equal(relay.bytes('up').length % HELLO, 0, 'more than hellos');
    });
  }
}

test('a session cut anywhere ends its calls, and nothing half is done', async (t) => {
  const { broker, direct } = await startScene(t);
  for (const [direction, offset] of [
    ['up', 20],
    ['up', HELLO + 5],
    ['up', HELLO + PROOF + 20],
    ['down', 40],
    ['down', SERVER_HELLO_BYTES + 2],
  ]) {
    const relay = await startRelay(t, broker, cutAt(direction, offset));
    const passes = direction === 'down' && offset > SERVER_HELLO_BYTES;
    const client = startVictim(t, relay, { timeout: stretched(passes ? 1500 : 150) });
    await assert.rejects(client.set(`cut ${direction} ${offset}`, VALUE, TTL), { code: 'timeout' });
  }
  const left = (await direct.list('cut')).map(({ key }) => key);
  assert.deepEqual(
    left,
    [`cut down ${SERVER_HELLO_BYTES + 2}`],
    'what reached the broker whole, only',
  );
});

/** What comes is passed on twice, sent back, or both, once the session is open. */
const REPEATERS = {
  'sends every record twice': (chunk, { direction, at }) =>
    direction === 'up' && at >= HELLO + PROOF ? Buffer.concat([chunk, chunk]) : chunk,
  'sends every reply twice': (chunk, { direction, at }) =>
    direction === 'down' && at >= HELLO ? Buffer.concat([chunk, chunk]) : chunk,
  'sends requests back as replies': (chunk, { direction, at, near }) => {
    if (direction === 'down' || at < HELLO + PROOF) return chunk;
    near.write(chunk);
    return Buffer.alloc(0);
  },
  'sends replies back as requests': (chunk, { direction, at, far }) => {
    if (direction === 'up' || at < HELLO) return chunk;
    far.write(chunk);
    return Buffer.alloc(0);
  },
};

for (const [what, meddle] of Object.entries(REPEATERS)) {
  test(`who ${what} ends the session, and nothing is done twice`, async (t) => {
    const { broker, direct } = await startScene(t);
    const relay = await startRelay(t, broker, meddle);
    const { count, error } = await countUntilItFails(
      startVictim(t, relay, { timeout: stretched(300) }),
    );
    assert.ok(error !== null, 'it was not noticed');
    const done = await direct.get('n', { default: 0 });
    assert.ok(done === count || done === count + 1, `${done} done, ${count} answered`);
  });
}

test('a recorded session, replayed as often as one likes, does nothing', async (t) => {
  const { broker, direct } = await startScene(t);
  const relay = await startRelay(t, broker);
  const client = startVictim(t, relay);
  await client.incr('n', 1, TTL);
  await client.del(KEY);
  await client.close();
  await direct.set(KEY, VALUE, TTL);
  const recorded = relay.bytes('up');
  const { authFailures: before } = await direct.stats();
  for (let round = 0; round < 5; round++) {
    const raw = await rawConnection(t, broker.pipe);
    raw.write(recorded);
    // The hello of the broker, and a refusal of 12 bytes.
    assert.equal((await raw.rest()).length, SERVER_HELLO_BYTES + 12);
  }
  assert.equal((await direct.stats()).authFailures, before + 5);
  assert.equal(await direct.get('n'), 1);
  assert.equal(await direct.get(KEY), VALUE);
});

for (const magic of ['EPB0', 'EPB1', 'EPB2', 'EPBM', 'EPB4', '{"ac']) {
  test(`a client that is made to look like one of ${magic} does not go on`, async (t) => {
    const { broker, direct } = await startScene(t);
    const relay = await startRelay(t, broker, (chunk, { direction, at }) => {
      if (direction === 'up' && at === 0) chunk.write(magic, 'latin1');
      return chunk;
    });
    const client = startVictim(t, relay, { timeout: stretched(300) });
    await assert.rejects(client.set('n', VALUE, TTL), { name: 'BrokerError' });
    assert.equal(relay.bytes('up').length % HELLO, 0, 'more than hellos');
    assert.doesNotMatch(relay.bytes('up').toString('latin1'), HIDDEN);
    assert.equal(await direct.has('n'), false);
  });
}

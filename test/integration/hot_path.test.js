/**
 * The short path of get and set (lib/client/frame.js, putSimple), and the ring of pending calls: they may be
 * told from the general way by their speed alone.
 */
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { SECRET, randomFrom, startBroker, startClient } = require('../helpers/broker.js');
const { startPair, startStranger } = require('../helpers/broker.js');
const { TimeLimit } = require('../helpers/time_limits.js');
const { requestFrame } = require('../helpers/wire.js');
const { PendingCalls } = require('../../lib/client/pending_calls.js');
const frame = require('../../lib/client/frame.js');

const ID_MAX = 0x7fffffff;
/** Less than a connection may lie unused and still count as used (STALE_MS in lib/client/connection.js). */
const IN_USE_MS = 40;
const TTL = frame.FLAGS.ttl;
/** Escaped in JSON, or not ASCII. */
const SPECIAL = ['\0', '\n', '\x1f', '"', '\\', '\x80', 'é', 'Ł', '漢', '\ud83d\ude00', '\u2028'];

function putSimple(key, ttl, text, isJson = false) {
  const buffer = Buffer.alloc(5000);
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  const end = frame.putSimple(buffer, view, 3, 77, 9, key, ttl, text, isJson);
  const bound = 3 + frame.simpleBound(key, text, isJson);
  assert.ok(end <= bound);
  assert.ok(buffer.subarray(bound).every((byte) => byte === 0));
  return end < 0 ? null : buffer.subarray(3, end);
}

/** Texts of every length to 13 with something at each place, and long ones. */
function* textsWith(something) {
  for (const at of [0, 1, 63, 64, 65, 1000, 1500 - something.length]) {
    yield 'x'.repeat(at) + something + 'x'.repeat(1500 - at - something.length);
  }
  for (let length = 0; length <= 13; length++) {
    for (let at = 0; at <= length; at++) {
      yield 'x'.repeat(at) + something + 'x'.repeat(length - at);
    }
  }
}

function isPlainString(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return frame.isPlainString(view, 0, bytes.length);
}

test('the short form of a request is the one of PROTOCOL.md', () => {
  for (const key of ['k', 'x'.repeat(40), 'a\x7f']) {
    for (const ttl of [0, 1, 2 ** 31, 2 ** 53 - 1]) {
      for (const text of [undefined, '', 'a', ...textsWith('~'), ...textsWith('\x7f')]) {
        const value = text === undefined ? '' : JSON.stringify(text);
        const common = { action: 9, id: 77, key, value };
        const numbers = ttl === 0 ? {} : { flags: TTL, numbers: [ttl] };
        assert.deepEqual(putSimple(key, ttl, text), requestFrame({ ...common, ...numbers }));
        if (text === undefined) continue;
        assert.deepEqual(putSimple(key, ttl, value, true), requestFrame({ ...common, ...numbers }));
      }
    }
  }
});

test('what JSON escapes, and what is not ASCII, has no short form', () => {
  for (const special of SPECIAL) {
    for (const text of textsWith(special)) {
      assert.equal(putSimple('k', 0, text), null, JSON.stringify(text));
      assert.equal(isPlainString(Buffer.from(`"${text}"`)), false, JSON.stringify(text));
      const value = JSON.stringify({ a: text });
      const frameOfIt = requestFrame({ action: 9, id: 77, key: 'k', value });
      assert.deepEqual(putSimple('k', 0, value, true), frameOfIt);
    }
  }
  for (const key of ['é', 'aé', 'x'.repeat(41)]) assert.equal(putSimple(key, 0, undefined), null);
  for (const json of ['', '"', 'null', '"a', 'a"', '[""]']) {
    assert.equal(isPlainString(Buffer.from(json)), false, json);
  }
  for (const text of ['', ...textsWith('y'), ...textsWith('\x7f')]) {
    assert.equal(isPlainString(Buffer.from(JSON.stringify(text))), true, text);
  }
});

test('every string comes back, by the short path or not', async (t) => {
  const { client } = await startPair(t);
  const texts = ['', ...[...SPECIAL, '~', '\x7f'].flatMap((one) => [...textsWith(one)])];
  await Promise.all(texts.map((text, i) => client.set(`key ${i}`, text, 60_000)));
  assert.deepEqual(await Promise.all(texts.map((_, i) => client.get(`key ${i}`))), texts);
});

for (const secret of [null, SECRET]) {
  const how = secret === null ? 'without a secret' : 'with a secret';
  test(`of much in one tick a part leaves before its end, ${how}`, async (t) => {
    const broker = startBroker(t, { secret });
    const client = startClient(t, broker);
    const other = startStranger(t, broker);
    const valueOf = (key) => 'x'.repeat(1_000) + key;
    let keys = [];
    let sets = [];
    // A connection that was not used for a while waits for the end of the tick: then once more.
    for (let round = 0, took = Infinity; took > IN_USE_MS; round++) {
      await Promise.all(sets);
      const began = performance.now();
      await client.ping();
      keys = Array.from({ length: 100 }, (_, i) => `key ${round}.${i}`);
      sets = keys.map((key) => client.set(key, valueOf(key), 60_000));
      took = performance.now() - began;
    }
    // The event loop has not had a turn since.
    const wait = new TimeLimit();
    let first = null;
    while (first === null && !wait.over) first = other.getSync(keys[0], { default: null });
    assert.equal(first, valueOf(keys[0]));
    assert.equal(other.getSync(keys.at(-1), { default: null }), null);
    await Promise.all(sets);
    assert.deepEqual(await Promise.all(keys.map((key) => client.get(key))), keys.map(valueOf));
  });
}

test('what is given up in a tick does not leave with its first part', async (t) => {
  const { client } = startPair(t);
  await client.ping();
  const controller = new AbortController();
  const another = client.ping();
  const lock = client.acquireLock('lock', { signal: controller.signal });
  controller.abort();
  const keys = Array.from({ length: 60 }, (_, i) => `key ${i}`);
  const sets = keys.map((key) => client.set(key, 'x'.repeat(1_000), 60_000));
  await assert.rejects(lock, { name: 'AbortError' });
  await Promise.all([another, ...sets]);
  assert.deepEqual(await client.leases(), []);
});

test('pending calls are found by their ids, whatever else waits', () => {
  const seed = 20260731;
  const random = randomFrom(seed);
  const session = { hasWatch: (id) => id === 5 };
  const calls = new PendingCalls();
  const model = new Map();
  for (let i = 0; i < 50_000; i++) {
    const growing = Math.floor(i / 5_000) % 2 === 0;
    if (model.size === 0 || random() < (growing ? 0.55 : 0.45)) {
      const call = { id: calls.newId(session), wait: null };
      assert.ok(call.id >= 1 && call.id <= ID_MAX && call.id !== 5 && !model.has(call.id));
      calls.add(call);
      model.set(call.id, call);
    } else {
      const ids = [...model.keys()];
      // Mostly a late one, so that some stay for many laps of the ring.
      const id = ids[Math.floor(ids.length * Math.sqrt(random()))];
      assert.equal(calls.take(id), model.get(id), `seed ${seed}`);
      model.delete(id);
      assert.equal(calls.take(id), undefined);
      assert.equal(calls.has(id), false);
    }
    assert.equal(calls.size, model.size);
  }
  assert.deepEqual([...calls], [...model.values()], `seed ${seed}`);
});

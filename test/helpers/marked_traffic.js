/**
 * Makes a broker do everything that it does with values and names, with marked ones (memory.js), so that a
 * search of its memory finds what it kept. When these functions return, no marked value is stored, held,
 * waited for or watched any more.
 */
'use strict';

const assert = require('node:assert/strict');
const { createHmac } = require('node:crypto');
const { until, withCode } = require('./broker.js');
const { openSession } = require('./sealed.js');
const { MAGIC, rawConnection, requestFrame } = require('./wire.js');

const TTL = 60_000;
const SHORT_TTL = 30;
const KEY_BYTES = 512;
const WORKER_BYTES = 256;
const REASON_BYTES = 1024;
const VALUE_BYTES = 256 * 1024;
const QUOTES = 2;
/** Values of every block size: some share a block size with another, some just do not. */
const SIZES = [16, 24, 100, 500, 1000, 4000, 5000, 20_000, 65_536, 100_000, VALUE_BYTES - QUOTES];
const ACTIONS = { get: 2, set: 3 };

/** A counter of the broker, for facts that no reply reports. */
const count = async (client, name) => (await client.stats())[name];

/** Sets, reads, replaces (in the same block, a smaller, a larger one) and deletes. */
async function values(client, marks) {
  for (const size of SIZES) {
    const key = marks.text('kval', Math.min(size, KEY_BYTES));
    const text = marks.text('text', size);
    await client.set(key, text, TTL);
    assert.equal(await client.get(key), text);
    await client.set(key, marks.text('over', size), TTL);
    await client.set(key, marks.text('less', size - 1), TTL);
    await client.set(key, marks.text('much', size / 2), TTL);
    const bytes = Buffer.from(marks.text('byte', size));
    await client.set(key, bytes, TTL);
    assert.deepEqual((await client.getEntry(key)).value, bytes);
    assert.equal(await client.touch(key, TTL), true);
    await client.list(key);
    assert.equal(await client.del(key), true);
  }
}

/** More replies at once than a socket takes. */
async function crowds(client, marks) {
  const key = marks.text('kmny', 40);
  await client.set(key, marks.text('many', VALUE_BYTES - QUOTES), TTL);
  await Promise.all(Array.from({ length: 40 }, () => client.get(key)));
  await Promise.all(
    Array.from({ length: 40 }, (_, i) => client.set(key, marks.text('seta', 6000 * i + 16), TTL)),
  );
  await client.del(key);
}

/** The names of what expired or was evicted are remembered until they are deleted or cleared. */
async function expiry(client, marks) {
  const before = await count(client, 'expired');
  const keys = SIZES.map((size) => `${size}${marks.text('kexp', 100)}`);
  for (const [i, size] of SIZES.entries()) {
    await client.set(keys[i], marks.text('expi', size), SHORT_TTL);
  }
  const all = async () => (await count(client, 'expired')) === before + SIZES.length;
  await until(all, 'all has expired');
  await assert.rejects(client.get(keys[0]), /expired/);
  for (const key of keys) assert.equal(await client.del(key), false);
}

/** Stores more than fits. Needs a broker that evicts. */
async function eviction(client, marks, maxItems) {
  const prefix = marks.text('kevi', 48);
  for (let i = 0; i < maxItems + 20; i++) {
    await client.set(`${prefix}${i}`, marks.text('evic', 100 + i), TTL);
  }
  assert.ok((await count(client, 'evicted')) > 0);
  await assert.rejects(client.get(`${prefix}0`), /evicted/);
  await client.clear(prefix);
}

async function refusals(client, marks) {
  const key = marks.text('kref', 60);
  const write = (value, options) => client.set(key, value, TTL, options);
  await write(marks.text('here', 40));
  const conflict = write(marks.text('conf', 9000), { ifAbsent: true });
  await assert.rejects(conflict, withCode('conflict'));
  await assert.rejects(write(marks.text('fenc', 300), { fence: 1 }), withCode('fenced'));
  await assert.rejects(
    write(Buffer.from(marks.text('larg', VALUE_BYTES + 1))),
    withCode('too_large'),
  );
  await assert.rejects(write(marks.text('huge', 3_000_000)), withCode('too_large'));
  await assert.rejects(client.incr(key, 1, TTL), withCode('not_a_number'));
  await client.del(key);
  await assert.rejects(client.get(marks.text('kmis', KEY_BYTES)), withCode('not_found'));
}

async function computations(client, marks) {
  const key = marks.text('kcmp', 200);
  const value = marks.text('comp', 7000);
  const results = await Promise.all(
    Array.from({ length: 4 }, () => client.getOrSet(key, TTL, () => value)),
  );
  assert.ok(results.every((result) => result === value));
  await client.getOrSet(key, TTL, () => value, { refreshAheadMs: 2 * TTL });
  await client.del(key);
  const reason = marks.text('reas', REASON_BYTES);
  const failing = Array.from({ length: 3 }, () =>
    client.getOrSet(key, TTL, async () => {
      await client.ping();
      throw new Error(reason);
    }),
  );
  const ends = await Promise.allSettled(failing);
  assert.ok(ends.every(({ status }) => status === 'rejected'));
  const waiting = client.waitFor(key);
  await client.set(key, value, TTL);
  assert.equal(await waiting, value);
  await client.del(key);
}

async function leases(client, marks) {
  const workerId = marks.text('work', WORKER_BYTES);
  const pool = marks.text('kpoo', 300);
  const elements = [16, 500, 5000, 20_000].map((size) => marks.text('elem', size));
  await client.pool(pool, elements);
  await client.poolAdd(pool, [Buffer.from(marks.text('more', 700))]);
  await client.withLease(pool, { workerId }, async (value) => {
    const held = await Promise.all(elements.map(() => client.acquire(pool, { workerId })));
    const waits = client.acquire(pool, { workerId: marks.text('wait', WORKER_BYTES) });
    assert.ok((await client.leases(pool)).length >= held.length);
    await held[0].release();
    held[0] = await waits;
    for (const lease of held) await lease.release();
    await client.discard(pool, value);
  });
  await client.del(pool);
  const key = marks.text('klea', 30);
  await client.set(key, marks.text('leas', 3000), TTL);
  assert.equal(await client.lease(key, { workerId, detached: true }), marks.text('leas', 3000));
  await client.renew(workerId, { detached: true });
  await client.release(workerId, key, { detached: true });
  await client.del(key);
  await client.lock(marks.text('lock', 400), { workerId }, () => client.leases());
  await client.limit(marks.text('klim', 40), 2);
  await client.withLease(marks.text('klim', 40), { workerId }, () => {});
  await client.del(marks.text('klim', 40));
  assert.equal(await client.lease(marks.text('knum', 40), { workerId }), 0);
  await client.release(workerId);
}

/** Leases that end by their TTL: one loss is reported to a detached worker, one to a session. */
async function losses(client, marks) {
  const workerId = marks.text('lost', 100);
  const key = marks.text('klos', 100);
  const end = { workerId, ttl: SHORT_TTL };
  await client.lease(key, { ...end, detached: true });
  await client.lease(key, end);
  await until(async () => (await client.leases(key)).length === 0, 'both leases have ended');
  const told = [];
  const tell = async (options) => told.push(...(await client.renew(workerId, options)).lost);
  await tell({ detached: true });
  await tell({});
  assert.ok(told.length > 0);
}

async function watches(client, marks) {
  const prefix = marks.text('watc', 300);
  const watch = client.watch(prefix);
  await watch.ready;
  const events = watch[Symbol.asyncIterator]();
  await client.set(`${prefix}1`, marks.text('seen', 2000), TTL);
  assert.equal((await events.next()).value.type, 'set');
  await client.del(`${prefix}1`);
  assert.equal((await events.next()).value.type, 'del');
  // These events are not read before the watch ends.
  await Promise.all(Array.from({ length: 3000 }, () => client.set(`${prefix}2`, 1, TTL)));
  await watch.close();
  await client.del(`${prefix}2`);
}

async function others(client, marks) {
  const name = marks.text('barr', 200);
  await Promise.all([client.barrier(name, 2), client.barrier(name, 2)]);
  const late = client.barrier(name, 2, { timeoutMs: 5 });
  await assert.rejects(late, withCode('wait_timeout'));
  const rate = { limit: 2, periodMs: SHORT_TTL };
  await client.throttle(marks.text('thro', 300), rate);
  await until(async () => (await count(client, 'throttles')) === 0, 'the limit is forgotten');
  await client.incr(marks.text('kinc', 30), 5, TTL);
  await client.del(marks.text('kinc', 30));
}

/** Everything over frames. */
async function overFrames(client, marks, { maxItems }) {
  for (const part of [values, crowds, expiry, refusals, computations, leases, losses, watches]) {
    await part(client, marks);
  }
  await others(client, marks);
  await eviction(client, marks, maxItems);
}

/** JSON lines, one request a line, signed if there is a secret. */
class Lines {
  #raw;
  #secret;

  constructor(raw, secret) {
    this.#raw = raw;
    this.#secret = secret;
  }

  send(text) {
    if (this.#secret === null) {
      this.#raw.write(`${text}\n`);
      return;
    }
    const hmac = createHmac('sha256', this.#secret).update(text).digest('hex');
    this.#raw.write(`${text.slice(0, -1)},"hmac":"${hmac}"}\n`);
  }

  /** Stops reading. */
  pause() {
    this.#raw.socket.pause();
  }

  async ask(request) {
    this.send(typeof request === 'string' ? request : JSON.stringify(request));
    return this.#raw.line();
  }

  end() {
    return end(this.#raw);
  }

  async does(request) {
    const reply = await this.ask(request);
    assert.equal(reply.ok, true, JSON.stringify(reply).slice(0, 200));
    return reply;
  }
}

/** @returns {Promise<Lines>} over a separate connection */
async function startLines(t, { pipe, secret }) {
  return new Lines(await rawConnection(t, pipe), secret);
}

/**
 * Sets and gets values of each size by lines. Leaves two connections open: one in the middle of a line, and
 * one that does not read its replies.
 */
async function lineGuests(t, broker, marks) {
  const lines = await startLines(t, broker);
  const key = (size) => `${size}${marks.text('jkey', 100)}`;
  for (const size of SIZES) {
    const value = marks.text('jval', size);
    await lines.does({ action: 'set', key: key(size), value, ttl: TTL });
    assert.equal((await lines.does({ action: 'get', key: key(size) })).value, value);
  }
  const half = await rawConnection(t, broker.pipe);
  half.write(`{"action":"set","key":"k","value":"${marks.text('half', 200_000)}`);
  const deaf = await startLines(t, broker);
  deaf.pause();
  const { hits } = (await lines.does({ action: 'stats' })).stats;
  const get = JSON.stringify({ action: 'get', key: key(VALUE_BYTES - QUOTES) });
  for (let i = 0; i < 20; i++) deaf.send(get);
  await until(() => marks.count(broker.pid, 'half') > 1000, 'half a line is there');
  const unread = async () => (await lines.does({ action: 'stats' })).stats.hits - hits >= 4;
  await until(unread, 'replies wait for who does not read them');
}

/** The text as a JSON string that escapes letters from g on, and so leaves only marks unescaped. */
const escaped = (text) =>
  `"${text.replace(/[g-z]/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`)}"`;

async function lineValues(lines, marks) {
  for (const size of SIZES) {
    const key = marks.text('jkey', Math.min(size, KEY_BYTES));
    const value = marks.text('jval', size);
    const id = marks.text('jsid', 100);
    await lines.does({ action: 'set', key, value, ttl: TTL, id });
    assert.equal((await lines.does({ action: 'get', key, id })).value, value);
    const short = marks.text('jesc', size / 6);
    await lines.does(
      `{"action":"set","key":${escaped(key)},"value":${escaped(short)},"ttl":${TTL}}`,
    );
    const bytes = Buffer.from(marks.text('jb64', (size * 3) / 4)).toString('base64');
    await lines.does({ action: 'set', key, value: bytes, encoding: 'base64', ttl: TTL });
    assert.equal((await lines.does({ action: 'getEntry', key })).value, bytes);
    const nested = JSON.stringify([{ [marks.text('name', 60)]: marks.text('deep', 1 + size / 2) }]);
    await lines.does(`{"action":"set", "key":"${key}",\t"ttl":${TTL},"value": ${nested} }`);
    await lines.does({ action: 'list', prefix: key });
    await lines.does({ action: 'del', key });
  }
}

async function lineRefusals(lines, marks) {
  const key = marks.text('jref', 60);
  const value = marks.text('jbad', 5000);
  const fails = async (error, request) => assert.equal((await lines.ask(request)).error, error);
  await fails('invalid_json', `{"action":"set","key":"${key}","value":"${value}}`);
  await fails('unknown_action', { action: marks.text('acti', 100), key, value });
  await fails('invalid_value', {
    action: 'set',
    key,
    value: `${value}!`,
    encoding: 'base64',
    ttl: TTL,
  });
  await fails('ttl_required', { action: 'set', key, value });
  await fails('not_found', { action: 'get', key });
  await fails('invalid_request', { action: 'set', key, value, ttl: TTL, by: 3 });
}

async function lineLeases(lines, marks) {
  const key = marks.text('jpoo', 60);
  const workerId = marks.text('jwrk', WORKER_BYTES);
  const elements = [16, 3000].map((size) => marks.text('jele', size));
  await lines.does({ action: 'pool', key, values: elements });
  const packed = [Buffer.from(marks.text('jbin', 99)).toString('base64')];
  await lines.does({ action: 'poolAdd', key, values: packed, encoding: 'base64' });
  assert.equal((await lines.does({ action: 'lease', key, workerId })).value, elements[0]);
  await lines.does({ action: 'leases', prefix: key });
  await lines.does({ action: 'renew', workerId });
  await lines.does({ action: 'release', workerId });
  await lines.does({ action: 'del', key });
  const asked = { action: 'getOrSet', key, workerId, ttl: TTL };
  const { token } = await lines.does(asked);
  const waiting = { ...asked, workerId: marks.text('jcan', 30), waitMs: TTL, id: 'waits' };
  lines.send(JSON.stringify(waiting));
  const reason = marks.text('jrea', REASON_BYTES);
  const replies = [await lines.does({ action: 'ping' })];
  lines.send(JSON.stringify({ action: 'release', token, workerId, reason, id: 'ends' }));
  while (replies.length < 3) replies.push(await lines.ask({ action: 'ping', id: 'more' }));
}

async function lineExpiry(lines, marks) {
  const expired = async () => (await lines.does({ action: 'stats' })).stats.expired;
  const before = await expired();
  const prefix = marks.text('jkex', 100);
  for (const size of SIZES) {
    const value = marks.text('jexp', size);
    await lines.does({ action: 'set', key: `${prefix}${size}`, value, ttl: SHORT_TTL });
  }
  await until(async () => (await expired()) === before + SIZES.length, 'all has expired');
  await lines.does({ action: 'clear', prefix });
}

/** Everything that only JSON lines have. */
async function overLines(t, broker, marks) {
  const lines = await startLines(t, broker);
  await lineValues(lines, marks);
  await lineExpiry(lines, marks);
  await lineRefusals(lines, marks);
  await lineLeases(lines, marks);
  await lines.end();
}

const end = (raw) =>
  new Promise((resolve) => {
    raw.socket.once('close', resolve);
    raw.socket.destroy();
  });

/** A session without a secret: frames are sent in the clear. */
async function openPlain(t, { pipe }) {
  const raw = await rawConnection(t, pipe);
  raw.write(MAGIC);
  return { socket: raw.socket.pause(), write: (bytes) => raw.write(bytes), seal: (bytes) => bytes };
}

const setFrame = (key, value) =>
  requestFrame({
    action: ACTIONS.set,
    flags: 1,
    numbers: [TTL],
    key,
    value: JSON.stringify({ v: value }),
  });

/**
 * Peers of one kind that can be closed in the middle: half a frame, half a record, both, and unread replies.
 */
async function brokenSessions(t, broker, kind, marks, lines) {
  const open = () => (kind === 'EPB0' ? openPlain(t, broker) : openSession(t, broker, kind));
  const frame = setFrame('k', marks.text('hfra', 150_000));
  const half = await open();
  half.write(half.seal(frame.subarray(0, 100_000)));
  const cut = await open();
  cut.write(cut.seal(setFrame('k', marks.text('hrec', 150_000))).subarray(0, 100_000));
  const both = await open();
  both.write(both.seal(frame.subarray(0, 50_000)));
  both.write(both.seal(frame.subarray(50_000)).subarray(0, 50_000));
  const deaf = await open();
  const { hits } = (await lines.does({ action: 'stats' })).stats;
  const get = requestFrame({ action: ACTIONS.get, key: 'unread' });
  const gets = Array.from({ length: 60 }, () => get);
  const whole = setFrame('unread', marks.text('deaf', 150_000));
  deaf.write(deaf.seal(Buffer.concat([whole, ...gets])));
  // The broker serves no more while this many replies are unread.
  const unread = async () => (await lines.does({ action: 'stats' })).stats.hits - hits >= 7;
  await until(unread, 'replies wait for the deaf peer');
  return [half, cut, both, deaf];
}

/** The labels of sent content that the broker's memory contains in the clear: sealed records do not count. */
const isSealed = (kind) => !['EPB0', 'EPBM', 'EPB3 HMAC'].includes(kind);
const labelsOf = (kind) => (isSealed(kind) ? ['hfra', 'deaf'] : ['hfra', 'hrec', 'deaf']);

/** Half a line, and broken sessions of each kind. */
async function brokenPeers(t, broker, kinds, marks) {
  const { pid, pipe } = broker;
  const line = await rawConnection(t, pipe);
  line.write(`{"action":"set","key":"k","value":"${marks.text('half', 200_000)}`);
  await until(() => marks.count(pid, 'half') > 1000, 'half a line is there');
  await end(line);
  const lines = await startLines(t, broker);
  for (const kind of kinds) {
    const peers = await brokenSessions(t, broker, kind, marks, lines);
    const there = () => labelsOf(kind).every((label) => marks.count(pid, label) > 1000);
    await until(there, `what was sent over ${kind} is there`);
    for (const peer of peers) await end(peer);
    await lines.does({ action: 'del', key: 'unread' });
  }
  await lines.end();
}

module.exports = { SHORT_TTL, TTL, VALUE_BYTES, brokenPeers, lineGuests, overFrames, overLines };

// A broker that answers every request at random: each call of the client ends by a value or by a
// BrokerError, in time, and nothing is thrown where nobody catches it.
'use strict';

const assert = require('node:assert/strict');
const net = require('node:net');
const path = require('node:path');
const test = require('node:test');
const { once } = require('node:events');

const { PipeClient, temporaryDirectory } = require('../helpers/broker.js');
const { dice } = require('../helpers/dice.js');

const BATCHES = 80;
const PIPES_ACTION = 28;
const INVALID_REQUEST = 7;
const LIKELY_FLAGS = [0x8, 0x5, 0x3, 0x803, 0x400, 0x1, 0x4, 0xd];
const LIKELY_BODIES = [
  '"x"',
  '{"a":1}',
  '[]',
  '{',
  'null',
  '{"__proto__":{"a":1}}',
  '1e999',
  '{"status":5}',
];
// What a call ends by when no proper reply comes.
const short = { timeout: 150 };
const waiting = { waitMs: 50, timeout: 150 };

function replyFrame({ below, oneIn, bytes }, { status, flags, id, body }) {
  const numbers = [];
  for (let bit = 0; bit < 8; bit++) {
    if ((flags & (1 << bit)) === 0) continue;
    const number = Buffer.alloc(8);
    number.writeBigUInt64LE(oneIn(2) ? BigInt(below(1000)) : bytes(8).readBigUInt64LE());
    numbers.push(number);
  }
  const header = Buffer.alloc(12);
  header[4] = oneIn(200) ? below(4) : 1;
  header[5] = status;
  header.writeUInt16LE(flags, 6);
  header.writeUInt32LE(id, 8);
  const frame = Buffer.concat([header, ...numbers, body]);
  frame.writeUInt32LE(frame.length - 4, 0);
  return frame;
}

function anyBody({ below, oneIn, pick, bytes }) {
  if (oneIn(3)) return Buffer.alloc(0);
  return oneIn(2) ? Buffer.from(pick(LIKELY_BODIES)) : bytes(below(80));
}

/** What is said to a request: an answer of some form, part of one, an event, the end. */
function answer(socket, choices, { action, id }) {
  const { below, oneIn, pick } = choices;
  const none = Buffer.alloc(0);
  if (id === 0) return;
  if (action === PIPES_ACTION) {
    socket.write(replyFrame(choices, { status: INVALID_REQUEST, flags: 0, id, body: none }));
    return;
  }
  const said = replyFrame(choices, {
    status: oneIn(4) ? below(45) : 0,
    flags: oneIn(3) ? below(0x1000) : pick(LIKELY_FLAGS),
    id: oneIn(40) ? below(2 ** 31) : id,
    body: anyBody(choices),
  });
  socket.write(oneIn(25) ? said.subarray(0, below(said.length)) : said);
  if (oneIn(60)) {
    const flags = 0x4 | (below(2) * 8);
    socket.write(replyFrame(choices, { status: below(30), flags, id: 0, body: anyBody(choices) }));
  }
  if (oneIn(80)) socket.destroy();
}

async function startHostile(t, choices) {
  const pipe = path.join(temporaryDirectory(t), 'hostile.sock');
  const sockets = new Set();
  const server = net.createServer((socket) => {
    let received = Buffer.alloc(0);
    let magic = false;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (!magic && received.length < 4) return;
      if (!magic) received = received.subarray(4);
      magic = true;
      while (received.length >= 4 && received.length >= 4 + received.readUInt32LE(0)) {
        answer(socket, choices, { action: received[5], id: received.readUInt32LE(8) });
        received = received.subarray(4 + received.readUInt32LE(0));
      }
    });
  });
  server.listen(pipe);
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await once(server, 'listening');
  return pipe;
}

const CALLS = {
  get: (client) => client.get('k', short),
  set: (client) => client.set('k', { a: 1 }, 1000, short),
  del: (client) => client.del('k', short),
  has: (client) => client.has('k', short),
  ttl: (client) => client.ttl('k', short),
  getEntry: (client) => client.getEntry('k', short),
  touch: (client) => client.touch('k', 1000, short),
  incr: (client) => client.incr('k', 1, 1000, short),
  list: (client) => client.list('', short),
  stats: (client) => client.stats(short),
  health: (client) => client.health(short),
  metrics: (client) => client.metrics(short),
  ping: (client) => client.ping(short),
  lease: (client) => client.lease('k', 'w', 1000),
  renew: (client) => client.renew('w'),
  release: (client) => client.release('w'),
  pool: (client) => client.pool('p', [1, 2]),
  poolAdd: (client) => client.poolAdd('p', [3]),
  limit: (client) => client.limit('l', 3),
  discard: (client) => client.discard('p', 1),
  leases: (client) => client.leases(),
  getOrSet: (client) => client.getOrSet('k', 1000, async () => 5, { waitMs: 50 }),
  waitFor: (client) => client.waitFor('k', { timeoutMs: 50 }),
  barrier: (client) => client.barrier('b', 2, { timeoutMs: 50 }),
  throttle: (client) => client.throttle('t', { limit: 3, periodMs: 100 }),
  acquire: async (client) => (await client.acquire('k', { ttl: 1000, ...waiting })).release(),
  lock: (client) => client.lock('n', { ttl: 1000, ...waiting }, async () => 1),
};

test('whatever a hostile broker says, calls end by a value or a BrokerError', async (t) => {
  const choices = dice(t);
  const pipe = await startHostile(t, choices);
  const client = new PipeClient(pipe, { timeout: 200 });
  t.after(() => client.close());
  const ended = { resolved: 0, rejected: 0 };
  const call = async (name) => {
    try {
      await CALLS[name](client);
      ended.resolved++;
    } catch (error) {
      ended.rejected++;
      assert.equal(error?.name, 'BrokerError', `${name}: ${error?.stack ?? error}`);
    }
  };
  for (let i = 0; i < BATCHES; i++) {
    const names = choices.times(1 + choices.below(6), () => choices.pick(Object.keys(CALLS)));
    await Promise.all(names.map(call));
  }
  t.diagnostic(JSON.stringify(ended));
  assert.ok(ended.resolved > 0 && ended.rejected > 0);
});

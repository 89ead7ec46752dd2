'use strict';

// Records of every length, held against Node's own cryptography: what it seals is opened by the
// broker, and what the broker seals by it, in every kind of session.
const assert = require('node:assert/strict');
const { test } = require('node:test');
const { SECRET, startBroker } = require('../helpers/broker.js');
const { offerHello, offersAes, openSession, ownHello } = require('../helpers/sealed.js');
const { rawConnection, requestFrame, takeReply } = require('../helpers/wire.js');

const TTL_FLAG = 0x0001;
const BINARY = 0x0400;
const SET = 3;
const GET = 2;
const LENGTHS = [...Array(1100).keys(), 4095, 4096, 4097, 65_535, 65_536, 200_000];

const bytesOf = (length) => Buffer.from(Array.from({ length }, (_, i) => (i * 31 + length) % 256));

async function ask(session, request) {
  session.write(session.seal(requestFrame(request)));
  const parts = [];
  for (;;) {
    parts.push(await session.read());
    const taken = takeReply(Buffer.concat(parts));
    if (taken !== null) return taken.reply;
  }
}

const AES = 'aes-256-gcm';
const CHACHA20 = 'chacha20-poly1305';
const KINDS = {
  EPB3: AES,
  'EPB3 ChaCha20': CHACHA20,
  'EPB3 HMAC': null,
  EPB1: CHACHA20,
  EPB2: AES,
  EPBM: null,
};

for (const [kind, cipher] of Object.entries(KINDS)) {
  test(`records of every length go both ways in ${kind}`, async (t) => {
    const broker = startBroker(t, { secret: SECRET });
    const session = await openSession(t, { pipe: broker.pipe, secret: SECRET }, kind);
    assert.equal(session.cipher, cipher === AES && !(await offersAes(t)) ? CHACHA20 : cipher);
    for (const length of LENGTHS) {
      const value = bytesOf(length);
      const flags = TTL_FLAG | BINARY;
      const set = { action: SET, flags, key: 'k', numbers: [60_000], value };
      assert.equal((await ask(session, set)).status, 0, `${length} bytes`);
      const { body } = await ask(session, { action: GET, key: 'k' });
      assert.ok(body.equals(value), `${length} bytes`);
    }
    session.socket.destroy();
  });
}

test('a client of this build offers what it can do, and no scope', async (t) => {
  const hello = await ownHello(t);
  const offered = hello.readUInt32LE(38);
  assert.ok(offered === 1 || offered === 3, `${offered}`);
  assert.equal(hello.toString('latin1', 0, 4), 'EPB3');
  assert.equal(hello.readUInt16LE(42), 0);
  assert.equal(hello.length, 44);
});

test('what a later client says behind its offer is passed over, and covered by the proofs', async (t) => {
  const { pipe } = startBroker(t, { secret: SECRET });
  const session = await openSession(t, { pipe, secret: SECRET }, 'EPB3', 'of a later version');
  assert.equal((await ask(session, { action: GET, key: 'k' })).status, 1);
  session.socket.destroy();
});

test('a scope is refused with version_mismatch, before any proof', async (t) => {
  const { pipe } = startBroker(t, { secret: SECRET });
  const raw = await rawConnection(t, pipe);
  raw.write(offerHello(3, 'get ci:*'));
  const refusal = await raw.rest();
  assert.deepEqual([...refusal], [8, 0, 0, 0, 1, 28, 0, 0, 0, 0, 0, 0]);
});

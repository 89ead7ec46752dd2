'use strict';

// Records of every length, held against Node's own cryptography: what it seals is opened by the
// broker, and what the broker seals by it, in every kind of session.
const assert = require('node:assert/strict');
const { test } = require('node:test');
const { SECRET, startBroker } = require('../helpers/broker');
const { openSession, ownKind } = require('../helpers/sealed');
const { requestFrame, takeReply } = require('../helpers/wire');

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

const KINDS = { EPB1: 'chacha20-poly1305', EPB2: 'aes-256-gcm', EPBM: null };

for (const [kind, cipher] of Object.entries(KINDS)) {
  test(`records of every length go both ways in ${kind}`, async (t) => {
    const broker = startBroker(t, { secret: SECRET });
    const session = await openSession(t, { pipe: broker.pipe, secret: SECRET }, kind);
    const hasAes = (await ownKind(t)) === 'EPB2';
    assert.equal(session.cipher, kind === 'EPB2' && !hasAes ? KINDS.EPB1 : cipher);
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

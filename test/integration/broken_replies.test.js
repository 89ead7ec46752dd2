'use strict';

// A broker that is broken, or none: whatever the body of a reply is, a call ends with a BrokerError,
// and no error quotes a byte of it.
const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { once } = require('node:events');
const { test } = require('node:test');

const { BrokerError, PipeClient } = require('../../lib');
const { load } = require('../../lib/binding.js');

const MAGIC_BYTES = 4;
const LENGTH_BYTES = 4;
const SECRET = 's3cret-of-the-reply';
const WORDS = [...SECRET.matchAll(/.{4}/g)].map(([word]) => word);
const BODIES = {
  'no JSON': SECRET,
  'cut JSON': `{"items":"${SECRET}`,
  'a string': `"${SECRET}"`,
  null: 'null',
  'a list': `["${SECRET}"]`,
  'an object of texts': `{"items":"${SECRET}"}`,
  'an object of objects': `{"items":{"${SECRET}":1}}`,
  nothing: '',
};

/** A reply frame without numbers. */
function replyFrame(id, body) {
  const frame = Buffer.alloc(12 + body.length);
  frame.writeUInt32LE(8 + body.length, 0);
  frame[4] = 1;
  frame.writeUInt32LE(id, 8);
  body.copy(frame, 12);
  return frame;
}

/** Listens, and answers every frame with success and this body. */
function listen(t, body) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'epb-broken-'));
  const pipe = path.join(folder, `broker-${'0'.repeat(32)}.sock`);
  const server = net.createServer((socket) => {
    let rest = Buffer.alloc(0);
    let begun = false;
    socket.on('error', () => {});
    socket.on('data', (data) => {
      rest = Buffer.concat([rest, data]);
      if (!begun && rest.length >= MAGIC_BYTES) {
        begun = true;
        rest = rest.subarray(MAGIC_BYTES);
      }
      while (begun && rest.length >= LENGTH_BYTES) {
        const end = LENGTH_BYTES + rest.readUInt32LE(0);
        if (rest.length < end) break;
        socket.write(replyFrame(rest.readUInt32LE(8), Buffer.from(body)));
        rest = rest.subarray(end);
      }
    });
  });
  t.after(() => {
    server.close();
    fs.rmSync(folder, { recursive: true, force: true });
  });
  return once(server.listen(pipe), 'listening').then(() => pipe);
}

const CALLS = {
  stats: (client) => client.stats(),
  health: (client) => client.health(),
};

for (const [what, body] of Object.entries(BODIES)) {
  for (const [name, call] of Object.entries(CALLS)) {
    // Of health, any object is one.
    if (name === 'health' && what.startsWith('an object')) continue;
    test(`${name} of a broker whose reply is ${what} is a BrokerError that quotes nothing`, async (t) => {
      load();
      const client = new PipeClient(await listen(t, body));
      t.after(() => client.close());
      await assert.rejects(call(client), (error) => {
        assert.ok(error instanceof BrokerError, String(error));
        assert.equal(error.code, 'version_mismatch');
        assert.equal(error.operation, name);
        const told = `${error.stack} ${error.message} ${String(error.cause)}`;
        assert.ok(
          WORDS.every((word) => !told.includes(word)),
          told,
        );
        return true;
      });
    });
  }
}

// The decoders of the client over random bytes, as a hostile broker sends them: they stay within the
// frame, and refuse by an error of ours.
'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');

const { dice } = require('../helpers/dice.js');
const frame = require('../../lib/client/frame.js');
const packed = require('../../lib/client/list_codec.js');
const values = require('../../lib/client/values.js');

const ROUNDS = 60;
const BYTES = 4096;
const REPLY_HEADER_BYTES = 12;
const { binary, gzip } = frame.FLAGS;
const FLAGS = [0, binary, gzip, binary | gzip];
const READERS = Object.entries(packed).filter(([name]) => name.startsWith('get'));

/** A buffer in which lengths are often likely ones. */
function noise({ bytes, below, oneIn }) {
  const buffer = bytes(BYTES);
  for (let at = 0; at + 8 < BYTES; at += 16) {
    if (!oneIn(5)) buffer.writeUInt32LE(below(150), at);
    if (!oneIn(3)) buffer[at + 7] = 0;
  }
  return buffer;
}

/** @returns what a decoder made of it; undefined: an error of ours. */
function decode(name, run) {
  try {
    return run();
  } catch (error) {
    assert.equal(typeof error.code, 'string', `${name}: ${error.stack}`);
    return undefined;
  }
}

test('whatever comes in frames is read within its bounds, or refused', (t) => {
  const choices = dice(t);
  const reply = new frame.Reply();
  let frames = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const buffer = noise(choices);
    for (let at = 0; at < 3000; at += 16) {
      const end = Math.min(at + choices.below(200), BYTES);
      if (!frame.getReply(buffer, at, end, reply)) continue;
      frames++;
      const { bodyAt, bodyEnd } = reply;
      assert.ok(bodyAt >= at + REPLY_HEADER_BYTES && bodyAt <= bodyEnd && bodyEnd <= end);
      assert.ok(reply.end > at);
      for (const [name, read] of READERS) decode(name, () => read(buffer, bodyAt, bodyEnd));
      for (const flags of FLAGS) {
        decode('decode', () => values.decode(buffer, bodyAt, bodyEnd, flags));
      }
    }
  }
  assert.ok(frames > 1000, `${frames} frames`);
});

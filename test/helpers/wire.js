/**
 * Frames implemented from PROTOCOL.md, independent of lib/client/frame.js, and a raw connection.
 */
'use strict';

const net = require('node:net');
const { once } = require('node:events');

const MAGIC = Buffer.from('EPB0');
const VERSION = 1;
const NUMBER_FLAGS = 8;

/** A request frame. `numbers` belong to the flags that are set, in the order of the flags. */
function requestFrame({
  action,
  id = 1,
  flags = 0,
  key = '',
  worker = '',
  numbers = [],
  value = '',
}) {
  const [keyBytes, workerBytes, valueBytes] = [key, worker, value].map((part) => Buffer.from(part));
  const numberBytes = Buffer.alloc(numbers.length * 8);
  numbers.forEach((number, i) => numberBytes.writeBigInt64LE(BigInt(number), i * 8));
  const header = Buffer.alloc(16);
  header[4] = VERSION;
  header[5] = action;
  header.writeUInt16LE(flags, 6);
  header.writeUInt32LE(id, 8);
  header.writeUInt16LE(keyBytes.length, 12);
  header.writeUInt16LE(workerBytes.length, 14);
  const frame = Buffer.concat([header, numberBytes, keyBytes, workerBytes, valueBytes]);
  frame.writeUInt32LE(frame.length - 4, 0);
  return frame;
}

/** The reply frame at the front of some bytes, and the bytes after it; null if it is not complete. */
function takeReply(bytes) {
  if (bytes.length < 4 || bytes.length < 4 + bytes.readUInt32LE(0)) return null;
  const end = 4 + bytes.readUInt32LE(0);
  const flags = bytes.readUInt16LE(6);
  let at = 12;
  const numbers = [];
  for (let bit = 0; bit < NUMBER_FLAGS; bit++) {
    if ((flags & (1 << bit)) === 0) continue;
    numbers.push(Number(bytes.readBigInt64LE(at)));
    at += 8;
  }
  const reply = { version: bytes[4], status: bytes[5], flags, id: bytes.readUInt32LE(8), numbers };
  return { reply: { ...reply, body: bytes.subarray(at, end) }, rest: bytes.subarray(end) };
}

/** A raw connection: writes bytes, reads replies or lines one at a time. */
class Raw {
  #received = Buffer.alloc(0);
  #ended = false;
  #wake = () => {};

  constructor(socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    socket.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
    // The broker may close while we write: only its replies count.
    socket.on('error', () => {});
  }

  write(bytes) {
    this.socket.write(bytes);
  }

  /** @returns {Promise<any>} null: the broker closed without another reply */
  async #next(take) {
    for (;;) {
      const taken = take(this.#received);
      if (taken !== null) {
        this.#received = taken.rest;
        return taken.reply;
      }
      if (this.#ended) return null;
      await new Promise((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  reply() {
    return this.#next(takeReply);
  }

  line() {
    return this.#next((bytes) => {
      const end = bytes.indexOf(10);
      if (end < 0) return null;
      return { reply: JSON.parse(bytes.toString('utf8', 0, end)), rest: bytes.subarray(end + 1) };
    });
  }

  /** Resolves all bytes until the broker closes. */
  async rest() {
    const bytes = await this.#next((received) =>
      this.#ended ? { reply: received, rest: Buffer.alloc(0) } : null,
    );
    return bytes ?? Buffer.alloc(0);
  }
}

async function rawConnection(t, pipe) {
  const socket = net.createConnection(pipe);
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  return new Raw(socket);
}

module.exports = { MAGIC, rawConnection, requestFrame, takeReply };

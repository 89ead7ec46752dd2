/**
 * The session with a secret, of every kind, implemented from PROTOCOL.md. A test chooses the content of each
 * record, and where the stream breaks off. The cryptography is Node's own.
 */
'use strict';

const assert = require('node:assert/strict');
const net = require('node:net');
const path = require('node:path');
const { once } = require('node:events');
const {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  hkdfSync,
  randomBytes,
} = require('node:crypto');
const { PipeClient, temporaryDirectory } = require('./broker.js');
const { MAGIC } = require('./wire.js');

const RANDOM_BYTES = 32;
const PROOF_BYTES = 32;
/** The sizes of this build's client hello, and of the broker's answer. */
const CLIENT_HELLO_BYTES = 44;
const SERVER_HELLO_BYTES = 74;
/** The bytes of the answer that contain the broker's choice of a cipher. */
const OLD_CHOICE_BYTES = { EPB1: 0, EPB2: 1, EPBM: 0 };
const HEADER_BYTES = 4;
/** The ciphers by the broker's choice; null: each record has a MAC. */
const CIPHERS = { 1: 'chacha20-poly1305', 2: 'aes-256-gcm', 4: null };
/** The offer of each kind that uses the magic EPB3. */
const OFFERS = { EPB3: 3, 'EPB3 ChaCha20': 1, 'EPB3 HMAC': 4 };
const TAG_BYTES = 16;
const MAC_BYTES = 32;

/** @typedef {'EPB1' | 'EPB2' | 'EPBM' | keyof typeof OFFERS} Kind */

const hmac = (key, ...parts) => createHmac('sha256', key).update(Buffer.concat(parts)).digest();

/** Both proofs, and the keys of both directions. */
function proofsOf(material, label, heard) {
  const [server, client, up, down] = [0, 32, 64, 96].map((at) => material.subarray(at, at + 32));
  const serverProof = hmac(server, Buffer.from(`${label} server`), heard);
  const clientProof = hmac(client, Buffer.from(`${label} client`), heard, serverProof);
  return { serverProof, clientProof, up, down };
}

const hkdf = (secret, salt, info) => Buffer.from(hkdfSync('sha256', secret, salt, info, 128));
const sha256 = (...parts) => createHash('sha256').update(Buffer.concat(parts)).digest();

/** Proofs and keys of the older kinds, from the whole hello and the broker's answer before its proof. */
function deriveOld(secret, hello, says) {
  const salt = Buffer.concat([hello.subarray(4), says.subarray(0, RANDOM_BYTES)]);
  return proofsOf(hkdf(secret, salt, 'epb1 keys'), 'epb1', sha256(hello, says));
}

/** Proofs and keys of EPB3. */
function derive(secret, hello, says) {
  const heard = sha256(hello, says);
  const info = Buffer.concat([Buffer.from('epb3 keys'), heard]);
  return proofsOf(hkdf(secret, '', info), 'epb3', heard);
}

/** The records of one direction. */
class Records {
  #count = 0n;

  /**
   * @param {string | null} cipher null: no cipher, but a MAC
   * @param {Buffer} key
   */
  constructor(cipher, key) {
    this.cipher = cipher;
    this.tagBytes = cipher === null ? MAC_BYTES : TAG_BYTES;
    this.key = key;
  }

  seal(content) {
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32LE(content.length + this.tagBytes);
    const sequence = this.#next();
    if (this.cipher === null) {
      return Buffer.concat([header, content, hmac(this.key, sequence, header, content)]);
    }
    const cipher = this.#cipher(createCipheriv, sequence, header);
    return Buffer.concat([header, cipher.update(content), cipher.final(), cipher.getAuthTag()]);
  }

  open(header, rest) {
    const end = rest.length - this.tagBytes;
    const [content, tag] = [rest.subarray(0, end), rest.subarray(end)];
    const sequence = this.#next();
    if (this.cipher === null) {
      assert.deepEqual(tag, hmac(this.key, sequence, header, content));
      return content;
    }
    const decipher = this.#cipher(createDecipheriv, sequence, header).setAuthTag(tag);
    return Buffer.concat([decipher.update(content), decipher.final()]);
  }

  #next() {
    const sequence = Buffer.alloc(8);
    sequence.writeBigUInt64LE(this.#count++);
    return sequence;
  }

  #cipher(create, sequence, header) {
    const nonce = Buffer.concat([Buffer.alloc(4), sequence]);
    const options = { authTagLength: TAG_BYTES };
    return create(this.cipher, this.key, nonce, options).setAAD(header, options);
  }
}

/** The bytes from a socket, which is read only during a call of `take`. */
class Incoming {
  #bytes = Buffer.alloc(0);
  #ended = false;
  #wake = () => {};

  constructor(socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake();
    });
    socket.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
    socket.pause();
  }

  /** Resolves this number of bytes; null: the stream ended before. */
  async take(sizeBytes) {
    this.socket.resume();
    while (this.#bytes.length < sizeBytes && !this.#ended) {
      await new Promise((resolve) => {
        this.#wake = resolve;
      });
    }
    this.socket.pause();
    if (this.#bytes.length < sizeBytes) return null;
    const taken = this.#bytes.subarray(0, sizeBytes);
    this.#bytes = this.#bytes.subarray(sizeBytes);
    return taken;
  }
}

class SealedSession {
  #incoming;
  #sending;
  #receiving;

  constructor(incoming, sending, receiving) {
    this.socket = incoming.socket;
    this.cipher = sending.cipher;
    this.#incoming = incoming;
    this.#sending = sending;
    this.#receiving = receiving;
  }

  /** Seals the next record. To break off inside it, a test writes only a part of it. */
  seal(content) {
    return this.#sending.seal(content);
  }

  write(bytes) {
    this.socket.write(bytes);
  }

  /** The content of the next record; null: there is none. Nothing is read without this call. */
  async read() {
    const header = await this.#incoming.take(HEADER_BYTES);
    const rest = header === null ? null : await this.#incoming.take(header.readUInt32LE());
    return rest === null ? null : this.#receiving.open(header, rest);
  }
}

/** The hello of an EPB3 client: its offer, a scope, and the bytes that a later version may add. */
function offerHello(offered, scope = '', more = '') {
  const numbers = Buffer.alloc(6);
  numbers.writeUInt32LE(offered);
  numbers.writeUInt16LE(Buffer.byteLength(scope), 4);
  const said = Buffer.concat([
    randomBytes(RANDOM_BYTES),
    numbers,
    Buffer.from(scope),
    Buffer.from(more),
  ]);
  const length = Buffer.alloc(2);
  length.writeUInt16LE(said.length);
  return Buffer.concat([Buffer.from('EPB3'), length, said]);
}

/** The hello of a kind, the bytes of the answer before its proof, and the choice in the answer. */
function opening(kind, more) {
  if (kind in OFFERS) {
    return {
      hello: offerHello(OFFERS[kind], '', more),
      saysBytes: SERVER_HELLO_BYTES - PROOF_BYTES,
      chosen: (says) => says.readUInt32LE(38),
      derive,
    };
  }
  return {
    hello: Buffer.concat([Buffer.from(kind), randomBytes(RANDOM_BYTES)]),
    saysBytes: RANDOM_BYTES + OLD_CHOICE_BYTES[kind],
    chosen: (says) => ({ EPB1: 1, EPB2: says[RANDOM_BYTES], EPBM: 4 })[kind],
    derive: deriveOld,
  };
}

/**
 * @param {import('node:test').TestContext} t
 * @param {{ pipe: string, secret: string }} broker
 * @param {Kind} kind
 * @param {string} [more] the bytes that a later client sends after its offer
 */
async function openSession(t, { pipe, secret }, kind, more) {
  const socket = net.createConnection(pipe).on('error', () => {});
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  const incoming = new Incoming(socket);
  const open = opening(kind, more);
  socket.write(open.hello);
  const answer = await incoming.take(open.saysBytes + PROOF_BYTES);
  assert.notEqual(answer, null, 'the broker does not answer');
  const says = answer.subarray(0, open.saysBytes);
  const proofs = open.derive(secret, open.hello, says);
  assert.deepEqual(answer.subarray(open.saysBytes), proofs.serverProof);
  socket.write(proofs.clientProof);
  const cipher = CIPHERS[open.chosen(says)];
  assert.notEqual(cipher, undefined, `the broker chose ${open.chosen(says)}`);
  return new SealedSession(
    incoming,
    new Records(cipher, proofs.up),
    new Records(cipher, proofs.down),
  );
}

/**
 * The hello that a client of this build sends to an impostor.
 * @param {import('node:test').TestContext} t
 */
async function ownHello(t) {
  const pipe = path.join(temporaryDirectory(t), 'listener');
  const server = net.createServer().listen(pipe);
  await once(server, 'listening');
  const client = new PipeClient(pipe, { secret: 'of nobody' });
  const asked = assert.rejects(client.ping(), { code: 'auth_failed' });
  const [socket] = await once(server, 'connection');
  const [hello] = await once(socket, 'data');
  socket.end(Buffer.alloc(80));
  await asked;
  await client.close();
  server.close();
  return hello;
}

/** Whether a client of this build offers AES on this machine. */
const offersAes = async (t) => ((await ownHello(t)).readUInt32LE(38) & 2) !== 0;

/** Forwards the frames of a client, without its magic, and the replies. */
async function carry(near, session) {
  let skip = MAGIC.length;
  near.on('data', (chunk) => {
    const frames = chunk.subarray(skip);
    skip = Math.max(0, skip - chunk.length);
    if (frames.length > 0) session.write(session.seal(frames));
  });
  for (;;) {
    const said = await session.read();
    if (said === null) return;
    near.write(said);
  }
}

/**
 * A proxy for a broker with a secret. It forwards the frames of clients without a secret in sessions of this
 * kind, so that a whole client can use such a session.
 * @param {import('node:test').TestContext} t
 * @param {{ pipe: string, secret: string }} broker
 * @param {Kind} kind
 * @returns {Promise<string>} the path of the proxy
 */
async function startCarrier(t, broker, kind) {
  const pipe = path.join(temporaryDirectory(t), 'carrier');
  const server = net.createServer(async (near) => {
    near.on('error', () => {});
    const session = await openSession(t, broker, kind);
    near.on('close', () => session.socket.destroy());
    await carry(near, session);
    near.destroy();
  });
  server.listen(pipe);
  t.after(() => server.close());
  await once(server, 'listening');
  return pipe;
}

module.exports = {
  CLIENT_HELLO_BYTES,
  SERVER_HELLO_BYTES,
  offerHello,
  offersAes,
  openSession,
  ownHello,
  startCarrier,
};

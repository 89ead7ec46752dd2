/**
 * The session with a secret, by hand, as PROTOCOL.md tells, in every kind: EPB1, EPB2 and EPBM. So a
 * test says what is in which record, and where it breaks off. The cryptography is Node's own.
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
const { PipeClient, temporaryDirectory } = require('./broker');
const { MAGIC } = require('./wire');

const RANDOM_BYTES = 32;
const PROOF_BYTES = 32;
/** How many bytes say which cipher the broker chose. */
const CHOICE_BYTES = { EPB1: 0, EPB2: 1, EPBM: 0 };
const HEADER_BYTES = 4;
/** By what the kind, or the broker, chose. */
const CIPHERS = { 1: 'chacha20-poly1305', 2: 'aes-256-gcm' };
const TAG_BYTES = 16;
const MAC_BYTES = 32;

/** @typedef {'EPB1' | 'EPB2' | 'EPBM'} Kind */

/**
 * Of the broker's answer to a hello.
 * @param {Kind} kind
 */
const serverHelloBytes = (kind) => RANDOM_BYTES + CHOICE_BYTES[kind] + PROOF_BYTES;

const hmac = (key, ...parts) => createHmac('sha256', key).update(Buffer.concat(parts)).digest();

/** Both proofs, and the keys of both directions. */
function derive(secret, magic, clientRandom, serverRandom, choice) {
  const salt = Buffer.concat([clientRandom, serverRandom]);
  const material = Buffer.from(hkdfSync('sha256', secret, salt, 'epb1 keys', 128));
  const [server, client, up, down] = [0, 32, 64, 96].map((at) => material.subarray(at, at + 32));
  const heard = createHash('sha256')
    .update(Buffer.concat([magic, salt, choice]))
    .digest();
  const serverProof = hmac(server, Buffer.from('epb1 server'), heard);
  const clientProof = hmac(client, Buffer.from('epb1 client'), heard, serverProof);
  return { serverProof, clientProof, up, down };
}

/** The records of one direction. */
class Records {
  #count = 0n;

  /**
   * @param {string | null} cipher null: none
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

/** What comes from a socket, which is read only while somebody waits for it. */
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

  /** So many bytes; null: it ended before. */
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

  /** The next record; who wants to break off writes only a part of it. */
  seal(content) {
    return this.#sending.seal(content);
  }

  write(bytes) {
    this.socket.write(bytes);
  }

  /** What the next record carries; null: there is none. Who does not call this does not read. */
  async read() {
    const header = await this.#incoming.take(HEADER_BYTES);
    const rest = header === null ? null : await this.#incoming.take(header.readUInt32LE());
    return rest === null ? null : this.#receiving.open(header, rest);
  }
}

/**
 * @param {import('node:test').TestContext} t
 * @param {{ pipe: string, secret: string }} broker
 * @param {Kind} kind
 */
async function openSession(t, { pipe, secret }, kind) {
  const socket = net.createConnection(pipe).on('error', () => {});
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  const incoming = new Incoming(socket);
  const magic = Buffer.from(kind);
  const random = randomBytes(RANDOM_BYTES);
  socket.write(Buffer.concat([magic, random]));
  const hello = await incoming.take(serverHelloBytes(kind));
  const proofAt = RANDOM_BYTES + CHOICE_BYTES[kind];
  const choice = hello.subarray(RANDOM_BYTES, proofAt);
  const proofs = derive(secret, magic, random, hello.subarray(0, RANDOM_BYTES), choice);
  assert.deepEqual(hello.subarray(proofAt), proofs.serverProof);
  socket.write(proofs.clientProof);
  const cipher = kind === 'EPBM' ? null : CIPHERS[choice.length === 0 ? 1 : choice[0]];
  assert.notEqual(cipher, undefined, `the broker chose ${choice[0]}`);
  return new SealedSession(
    incoming,
    new Records(cipher, proofs.up),
    new Records(cipher, proofs.down),
  );
}

/**
 * What clients of this build say on this machine: EPB2, where it has AES.
 * @param {import('node:test').TestContext} t
 * @returns {Promise<Kind>}
 */
async function ownKind(t) {
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
  return hello.toString('latin1', 0, MAGIC.length);
}

/** Carries what one client says, behind its magic, and what it is answered. */
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
 * Somebody before a broker with a secret who carries what clients without one say in sessions of this
 * kind: so a whole client speaks it.
 * @param {import('node:test').TestContext} t
 * @param {{ pipe: string, secret: string }} broker
 * @param {Kind} kind
 * @returns {Promise<string>} its path
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

module.exports = { openSession, ownKind, serverHelloBytes, startCarrier };

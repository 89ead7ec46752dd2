/**
 * Encoded requests that are not handed over to the channel yet. They leave in batches: first the full ones,
 * then the open one, to which new requests are appended.
 *
 * Invariant: bytes are wiped when they were handed over, moved or dropped.
 */
'use strict';

const { BrokerError, sentence } = require('../error.js');
const frame = require('./frame.js');

const KIB = 1024;
const FIRST_BUFFER_BYTES = 16 * KIB;
/** More bytes than this leave in several batches. */
const BATCH_BYTES = 256 * KIB;
/** Larger buffers are not kept. */
const KEPT_BYTES = 1024 * KIB;

/** @typedef {import('./pending_call').PendingCall} PendingCall */

/**
 * A buffer outside of Node's shared pool, to which other code has access. It is not zeroed: bytes are only
 * read after they were written.
 * @param {number} size
 */
function newBuffer(size) {
  return Buffer.allocUnsafeSlow(size);
}

/**
 * A DataView of a buffer.
 * @param {Buffer} buffer
 */
function viewOf(buffer) {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** Requests that leave together. */
class Batch {
  size = 0;

  /**
   * @param {number} number
   * @param {Buffer} buffer
   * @param {DataView} [view] of the buffer
   */
  constructor(number, buffer, view = viewOf(buffer)) {
    this.number = number;
    this.buffer = buffer;
    this.view = view;
  }

  /**
   * Grows the buffer if necessary; the old buffer is wiped.
   * @param {number} more
   */
  reserve(more) {
    if (this.buffer.length - this.size >= more) return;
    const larger = newBuffer(Math.max(this.buffer.length * 2, this.size + more));
    this.buffer.copy(larger, 0, 0, this.size);
    this.buffer.fill(0, 0, this.size);
    this.buffer = larger;
    this.view = viewOf(larger);
  }

  /** @param {(id: number) => boolean} isWanted */
  retain(isWanted) {
    const { buffer, size } = this;
    let kept = 0;
    for (let at = 0, end; at < size; at = end) {
      end = frame.frameEnd(buffer, at);
      if (!isWanted(frame.frameId(buffer, at))) continue;
      buffer.copyWithin(kept, at, end);
      kept += end - at;
    }
    buffer.fill(0, kept, size);
    this.size = kept;
  }
}

class SendQueue {
  #open = new Batch(1, newBuffer(FIRST_BUFFER_BYTES));
  /** @type {Batch[]} */
  #full = [];
  /** Batches up to this number are with the channel. */
  #handed = 0;
  /** It contains bytes of aborted calls, which `retain` drops. */
  stale = false;

  /**
   * @param {number} id
   * @param {frame.Request} request
   * @returns {number} the number of its batch
   * @throws {BrokerError} invalid_key
   */
  append(id, request) {
    const batch = this.#batchFor(frame.requestBound(request));
    const end = frame.putRequest(batch.buffer, batch.size, id, request);
    if (end < 0) {
      batch.buffer.fill(0, batch.size);
      throw new BrokerError('invalid_key', sentence('invalid_key'));
    }
    batch.size = end;
    return batch.number;
  }

  /**
   * Appends a request of the common form: see frame.putSimple.
   * @param {number} id
   * @param {number} action
   * @param {string} key
   * @param {number} ttl
   * @param {string | undefined} text
   * @param {boolean} isJson
   * @returns {number} the number of its batch; 0: the request has another form
   */
  appendSimple(id, action, key, ttl, text, isJson) {
    const room = frame.simpleBound(key, text, isJson);
    const batch = this.#batchFor(room);
    const { buffer, view, size } = batch;
    const end = frame.putSimple(buffer, view, size, id, action, key, ttl, text, isJson);
    if (end < 0) {
      buffer.fill(0, size, size + room);
      return 0;
    }
    batch.size = end;
    return batch.number;
  }

  /** @param {number} room */
  #batchFor(room) {
    if (this.#open.size > 0 && this.#open.size + room > BATCH_BYTES) this.#nextBatch();
    this.#open.reserve(room);
    return this.#open;
  }

  #nextBatch() {
    this.#full.push(this.#open);
    this.#open = new Batch(this.#open.number + 1, newBuffer(BATCH_BYTES));
  }

  /**
   * Whether a call was not handed over yet.
   * @param {PendingCall} call
   */
  holds(call) {
    return call.batch > this.#handed;
  }

  /** The size of the open batch in bytes. */
  get size() {
    return this.#open.size;
  }

  /** Whether full batches wait. */
  get crowded() {
    return this.#full.length > 0;
  }

  /**
   * Removes and returns the next batch; null if there is none. The caller hands it over and wipes it at once.
   * @returns {Batch | null}
   */
  take() {
    const batch = this.#full.shift() ?? this.#takeOpen();
    if (batch !== null) this.#handed = batch.number;
    return batch;
  }

  #takeOpen() {
    const batch = this.#open;
    if (batch.size === 0) return null;
    const next = batch.number + 1;
    const isKept = batch.buffer.length <= KEPT_BYTES;
    this.#open = isKept
      ? new Batch(next, batch.buffer, batch.view)
      : new Batch(next, newBuffer(FIRST_BUFFER_BYTES));
    return batch;
  }

  /**
   * Drops unwanted requests.
   * @param {(id: number) => boolean} isWanted
   */
  retain(isWanted) {
    this.stale = false;
    for (const batch of [...this.#full, this.#open]) batch.retain(isWanted);
    this.#full = this.#full.filter((batch) => batch.size > 0);
  }
}

module.exports = { KEPT_BYTES, SendQueue, newBuffer, viewOf };

'use strict';
/**
 * Requests that are encoded and not with the channel yet. They leave in batches: the open one, to which
 * is appended, and before it those that were full.
 *
 * Invariant: bytes are wiped when they were handed over, moved, or are not to leave any more.
 */

const { BrokerError, sentence } = require('./error');
const frame = require('./frame');

const KIB = 1024;
const FIRST_BUFFER_BYTES = 16 * KIB;
/** More than this leaves in several batches. */
const BATCH_BYTES = 256 * KIB;
/** Larger buffers are not kept. */
const KEPT_BYTES = 1024 * KIB;

/** @typedef {import('./call').Call} Call */

/**
 * Not from the pool, which others read too; what is in it before it is written is never looked at.
 * @param {number} size
 */
function newBuffer(size) {
  return Buffer.allocUnsafeSlow(size);
}

/** Requests that leave together. */
class Batch {
  size = 0;

  /**
   * @param {number} number
   * @param {Buffer} buffer
   */
  constructor(number, buffer) {
    this.number = number;
    this.buffer = buffer;
  }

  /**
   * Makes room; the old buffer is wiped.
   * @param {number} more
   */
  reserve(more) {
    if (this.buffer.length - this.size >= more) return;
    const larger = newBuffer(Math.max(this.buffer.length * 2, this.size + more));
    this.buffer.copy(larger, 0, 0, this.size);
    this.buffer.fill(0, 0, this.size);
    this.buffer = larger;
  }
}

class Outbox {
  #open = new Batch(1, newBuffer(FIRST_BUFFER_BYTES));
  /** @type {Batch[]} */
  #full = [];
  /** Batches up to this number are with the channel. */
  #handed = 0;

  /**
   * @param {Call} call told where its bytes are
   * @param {number} id
   * @param {frame.Request} request
   * @throws {BrokerError} invalid_key
   */
  append(call, id, request) {
    const room = frame.requestBound(request);
    if (this.#open.size > 0 && this.#open.size + room > BATCH_BYTES) this.#nextBatch();
    const batch = this.#open;
    batch.reserve(room);
    const end = frame.putRequest(batch.buffer, batch.size, id, request);
    if (end < 0) {
      batch.buffer.fill(0, batch.size);
      throw new BrokerError('invalid_key', sentence('invalid_key'));
    }
    call.id = id;
    call.batch = batch.number;
    call.at = batch.size;
    call.end = end;
    batch.size = end;
  }

  #nextBatch() {
    this.#full.push(this.#open);
    this.#open = new Batch(this.#open.number + 1, newBuffer(BATCH_BYTES));
  }

  /**
   * Whether the channel does not have it yet.
   * @param {Call} call
   */
  holds(call) {
    return call.batch > this.#handed;
  }

  /** Whether batches wait that are full. */
  get crowded() {
    return this.#full.length > 0;
  }

  /**
   * The next batch to hand over, and wiped by the caller at once; null when there is none.
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
    const isKept = batch.buffer.length <= KEPT_BYTES;
    this.#open = new Batch(batch.number + 1, isKept ? batch.buffer : newBuffer(FIRST_BUFFER_BYTES));
    return batch;
  }

  /**
   * Drops the bytes of calls that are not to leave any more.
   * @param {Iterable<Call>} pending those that are
   */
  retain(pending) {
    const batches = [...this.#full, this.#open];
    const ends = new Map(batches.map((batch) => [batch.number, { batch, end: 0 }]));
    for (const call of pending) {
      const kept = ends.get(call.batch);
      if (kept === undefined) continue;
      kept.batch.buffer.copyWithin(kept.end, call.at, call.end);
      [call.at, call.end] = [kept.end, kept.end + call.end - call.at];
      kept.end = call.end;
    }
    for (const { batch, end } of ends.values()) {
      batch.buffer.fill(0, end, batch.size);
      batch.size = end;
    }
    this.#full = this.#full.filter((batch) => batch.size > 0);
  }
}

module.exports = { KEPT_BYTES, Outbox, newBuffer };

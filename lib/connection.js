'use strict';
/**
 * One connection of this thread to a broker, shared by every PipeClient with the same pipe and
 * secret.
 *
 * Requests made in one tick are encoded into one batch, which leaves in one exchange() with the
 * native channel once the microtasks have run; that exchange often brings the replies back at once
 * (the channel looks again for a few microseconds before it gives up). So a loop of awaited calls
 * stays between nextTick and microtasks and never reaches the event loop: after a number of such
 * turns, or a millisecond of them, the next one goes through setImmediate, so that timers and other
 * I/O have their share. Replies that are not there yet are waited for by the channel's own thread,
 * which calls onReady.
 *
 * Invariants:
 * - a call is in `#pending` until it is settled; its bytes are in a batch until they are handed over;
 * - what was handed over when the channel dies is rejected, since it may have been carried out; what
 *   was not is kept, and leaves when the broker is back within the call's timeout;
 * - no user code runs inside: resolving a promise only queues its continuation;
 * - buffers that held requests or replies are wiped when they were used.
 */

const { performance } = require('node:perf_hooks');
const { clearTimeout, setImmediate, setTimeout } = require('node:timers');
const { load } = require('./binding');
const { BrokerError, inContext, sentence } = require('./error');
const frame = require('./frame');
const { sameSecret } = require('./options');

// Not the globals: test frameworks put fakes in their place, and calls would wait for ever.
const { nextTick } = process;

const KIB = 1024;
const FIRST_BUFFER_BYTES = 16 * KIB;
/** More than this leaves in several batches. */
const BATCH_BYTES = 256 * KIB;
/** Larger buffers are not kept. */
const KEPT_BYTES = 1024 * KIB;
/** While the channel holds more than this, batches wait here. */
const UNSENT_MAX_BYTES = 1024 * KIB;
const INPUT_BYTES = 64 * KIB;

/** How long an exchange looks for replies; 25 on both sides gets nearly all there is to get. */
const LOOK_US = 25;
/** Turns in a row before the event loop has its share, at most, and how soon it may. */
const TURNS_IN_A_ROW = 64;
const TURNS_BEFORE_CLOCK = 8;
const TURNS_MAX_MS = 1;
/** A connection unused for this long is looked at before it is written to. */
const STALE_MS = 50;

const BACKOFF_FIRST_MS = 5;
const BACKOFF_MAX_MS = 200;
const TIMER_MAX_MS = 0x7fffffff;
const LATE_MS = 10;
const LATE_GRACE_MS = 50;
const ID_MAX = 0xffffffff;

/** What may be over in a moment, when a broker is starting or busy. */
const RETRIED = new Set(['ENOENT', 'ECONNREFUSED', 'EAGAIN', 'EINTR', 'EMFILE', 'ENFILE']);

/** @type {Record<string, string>} */
const CONNECT_HINTS = {
  ENOENT:
    'there is no such pipe. Its broker has ended, or the path is wrong; start your command with ' +
    '`ephemeral-pipe-broker start -- <command>`',
  ECONNREFUSED: 'its broker has died',
  EAGAIN: 'its broker does not accept connections at the moment',
  ECONNRESET: 'its broker closes the connection',
  EACCES: 'this user may not use it',
  EPERM: 'its broker belongs to another user',
  ENOTSOCK: 'it is not a pipe',
  ENAMETOOLONG: 'the path is longer than a pipe can have',
};

/**
 * @callback Decode the value of a reply that is ok
 * @param {Buffer} buffer
 * @param {frame.Reply} reply
 * @returns {any}
 */

/** A request that waits for its reply. */
class Call {
  id = 0;
  deadline = 0;
  /** Its bytes: in the batch of this number, until that is handed over. */
  batch = 0;
  at = 0;
  end = 0;
  settled = false;

  /**
   * @param {string} operation
   * @param {Decode} decode
   * @param {(value: any) => void} resolve
   * @param {(error: unknown) => void} reject
   */
  constructor(operation, decode, resolve, reject) {
    this.operation = operation;
    this.decode = decode;
    this.resolve = resolve;
    this.reject = reject;
    /** @type {string | undefined} */
    this.key = undefined;
    this.timeout = 0;
    /** @type {{ value: any } | null} what a missing key resolves */
    this.missing = null;
  }
}

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

/**
 * A callback that does not keep its object alive. The binding holds callbacks for good; test runners
 * load this module once for each test file, and a connection must go with the module it belongs to.
 * What is waited for is kept alive by the timer of its deadline.
 * @template {object} T
 * @param {T} object
 * @param {(object: T) => void} callback
 */
function weakly(object, callback) {
  const reference = new WeakRef(object);
  return () => {
    const alive = reference.deref();
    if (alive !== undefined) callback(alive);
  };
}

/** @typedef {string | Uint8Array | null} Secret */

/** @type {Set<Connection>} */
const connections = new Set();

class Connection {
  #binding = load();
  /** @type {import('./binding').NativeChannel} */
  #channel;
  #secret;
  /** @type {Map<number, Call>} */
  #pending = new Map();
  #lastId = 0;
  #references = 0;
  /** @type {(() => void)[]} */
  #onDrained = [];

  #open = new Batch(1, newBuffer(FIRST_BUFFER_BYTES));
  /** @type {Batch[]} full ones that wait to be handed over, before the open one */
  #full = [];
  /** Batches up to this number are with the channel. */
  #handed = 0;
  #input = newBuffer(INPUT_BYTES);
  #reply = new frame.Reply();

  #connected = false;
  /** The broker has proved itself; at once where there is no secret. */
  #opened = false;
  #armed = false;
  #held = false;
  #failures = 0;
  #errno = '';
  /** @type {NodeJS.Timeout | null} */
  #backoff = null;

  /** A turn is due, by nextTick or setImmediate. */
  #due = false;
  #turns = 0;
  #turnsSince = 0;
  #now = 0;
  #lastUsed = 0;

  /** @type {NodeJS.Timeout | null} */
  #timer = null;
  #timerAt = Infinity;

  #turnSoon = () => this.#turn();
  #turnLater = () => {
    this.#turns = 0;
    this.#turn();
  };

  /**
   * @param {string} pipe
   * @param {Secret} secret
   */
  constructor(pipe, secret) {
    this.pipe = pipe;
    this.actions = this.#binding.actions;
    const { commands, flags } = this.#binding;
    const keyed = commands.filter(({ needs }) => (needs & flags.hasKey) !== 0);
    /** The actions that are about one key. */
    this.keyed = new Set(keyed.map(({ name: action }) => action));
    this.#secret = secret;
    const bytes = secret === null ? null : Buffer.from(secret);
    this.#channel = new this.#binding.Channel(
      pipe,
      bytes,
      weakly(this, (own) => own.#ready()),
    );
    this.#channel.unref();
    bytes?.fill(0);
  }

  /**
   * @param {string} pipe
   * @param {Secret} secret
   */
  isFor(pipe, secret) {
    return this.pipe === pipe && sameSecret(this.#secret, secret);
  }

  /**
   * @param {Call} call
   * @param {frame.Request} request
   * @throws {BrokerError} invalid_key
   */
  submit(call, request) {
    this.#enqueue(call, request);
    if (!this.#due && this.#backoff === null) this.#schedule();
  }

  /**
   * Sends and waits, blocking the thread. Other calls' replies that come meanwhile settle them.
   * @param {Call} call
   * @param {frame.Request} request
   */
  submitAndWait(call, request) {
    this.#enqueue(call, request);
    while (!call.settled) {
      this.#now = performance.now();
      if (call.deadline <= this.#now) this.#expire();
      else if (this.#connect() && !this.#exchangeAll() && !call.settled) this.#wait(call);
      if (!this.#connected && !call.settled) this.#sleep(call);
    }
    if (this.#pending.size > 0) this.#schedule();
    else this.#rest();
  }

  /**
   * @param {Call} call
   * @param {frame.Request} request
   */
  #enqueue(call, request) {
    const room = frame.requestBound(request);
    if (this.#open.size > 0 && this.#open.size + room > BATCH_BYTES) this.#nextBatch();
    const batch = this.#open;
    batch.reserve(room);
    const end = frame.putRequest(batch.buffer, batch.size, this.#newId(), request);
    if (end < 0) {
      batch.buffer.fill(0, batch.size);
      throw new BrokerError('invalid_key', sentence('invalid_key'));
    }
    if (!this.#due) this.#now = performance.now();
    call.id = this.#lastId;
    call.batch = batch.number;
    call.at = batch.size;
    call.end = end;
    call.deadline = this.#now + call.timeout;
    batch.size = end;
    this.#pending.set(call.id, call);
    if (call.deadline < this.#timerAt) this.#setTimer(call.deadline);
  }

  #nextBatch() {
    this.#full.push(this.#open);
    this.#open = new Batch(this.#open.number + 1, newBuffer(BATCH_BYTES));
  }

  /** 1 to 2^32 - 1, and none that still waits for its reply. */
  #newId() {
    do {
      this.#lastId = this.#lastId === ID_MAX ? 1 : this.#lastId + 1;
    } while (this.#pending.has(this.#lastId));
    return this.#lastId;
  }

  #schedule() {
    if (this.#due) return;
    this.#due = true;
    if (this.#turns === 0) this.#turnsSince = this.#now;
    const turns = this.#turns++;
    const long = turns >= TURNS_BEFORE_CLOCK && this.#now - this.#turnsSince > TURNS_MAX_MS;
    if (long || turns >= TURNS_IN_A_ROW) setImmediate(this.#turnLater);
    else nextTick(this.#turnSoon);
  }

  #turn() {
    this.#due = false;
    if (this.#pending.size === 0) return this.#rest();
    if (!this.#connect()) return;
    const progress = this.#exchangeAll();
    if (this.#pending.size === 0) this.#rest();
    else if (this.#backoff !== null) return;
    else if (progress) this.#schedule();
    else this.#arm();
  }

  /** The channel's thread saw something. */
  #ready() {
    this.#armed = false;
    this.#turns = 0;
    this.#now = performance.now();
    if (this.#due || !this.#connected) return;
    this.#receive(this.#channel.exchange(null, 0, this.#input, 0));
    if (this.#pending.size === 0) this.#rest();
    else if (this.#backoff === null) this.#schedule();
  }

  #arm() {
    if (!this.#held) {
      this.#held = true;
      this.#channel.ref();
    }
    // Armed before there was something unsent, it waits for reading only.
    if (this.#armed && this.#channel.unsent === 0) return;
    try {
      this.#channel.arm();
      this.#armed = true;
    } catch (error) {
      this.#channel.close();
      this.#refused(this.#error('internal', /** @type {Error} */ (error).message));
      this.#rest();
    }
  }

  /** Nothing is waited for: the process may end. */
  #rest() {
    if (this.#held) {
      this.#held = false;
      this.#channel.unref();
    }
    this.#endBackoff();
    if (this.#onDrained.length === 0) return;
    for (const drained of this.#onDrained.splice(0)) drained();
  }

  /**
   * Hands over what there is, reads what has come.
   * @returns {boolean} whether anything came or more can be done at once
   */
  #exchangeAll() {
    if (this.#now - this.#lastUsed > STALE_MS && !this.#alive()) return true;
    this.#lastUsed = this.#now;
    if (!this.#opened && !this.#shakeHands()) return !this.#connected;
    let progress = false;
    while (this.#full.length > 0 && this.#channel.unsent < UNSENT_MAX_BYTES) {
      const batch = /** @type {Batch} */ (this.#full.shift());
      if (this.#handOver(batch, 0)) progress = true;
      if (!this.#connected) return true;
    }
    if (this.#full.length > 0 || this.#open.size === 0) {
      return this.#receive(this.#channel.exchange(null, 0, this.#input, LOOK_US)) || progress;
    }
    const batch = this.#open;
    this.#open = new Batch(batch.number + 1, batch.buffer);
    const received = this.#handOver(batch, LOOK_US);
    if (batch.buffer.length > KEPT_BYTES) this.#open.buffer = newBuffer(FIRST_BUFFER_BYTES);
    return received || progress;
  }

  /**
   * Requests are kept here until the broker has proved itself: so a connection that ends before (a
   * broker with a crowd at its door closes some) costs no call its life.
   * @returns {boolean} whether they may leave
   */
  #shakeHands() {
    this.#receive(this.#channel.exchange(null, 0, this.#input, LOOK_US));
    if (!this.#connected || !this.#channel.open) return false;
    this.#opened = true;
    this.#failures = 0;
    return true;
  }

  /**
   * @param {Batch} batch
   * @param {number} lookUs
   */
  #handOver(batch, lookUs) {
    const { buffer, size, number } = batch;
    this.#handed = number;
    const received = this.#channel.exchange(buffer, size, this.#input, lookUs);
    buffer.fill(0, 0, size);
    return this.#receive(received);
  }

  /**
   * After a pause: whether the broker is still there. What it closed while nobody looked costs no
   * call its life.
   */
  #alive() {
    const received = this.#channel.exchange(null, 0, this.#input, 0);
    if (received >= 0) {
      this.#receive(received);
      return this.#connected;
    }
    if (!this.#opened || this.#anyHanded()) this.#died(-received);
    else this.#lost(this.#error('broker_gone'));
    return false;
  }

  #anyHanded() {
    for (const call of this.#pending.values()) if (call.batch <= this.#handed) return true;
    return false;
  }

  /**
   * @param {number} result of exchange()
   * @returns {boolean} whether anything came
   */
  #receive(result) {
    let received = result;
    if (received === 0 && this.#channel.needed > this.#input.length) {
      this.#input = newBuffer(this.#channel.needed);
      received = this.#channel.exchange(null, 0, this.#input, 0);
    }
    if (received < 0) {
      this.#died(-received);
      return true;
    }
    if (received > 0) this.#dispatch(received);
    return received > 0;
  }

  /**
   * @param {number} size
   */
  #dispatch(size) {
    const reply = this.#reply;
    for (let at = 0; at < size; at = reply.end) {
      if (!frame.getReply(this.#input, at, size, reply) || reply.version !== frame.VERSION) {
        this.#channel.close();
        this.#refused(this.#error('version_mismatch'));
        break;
      }
      const call = this.#pending.get(reply.id);
      if (call !== undefined) this.#settle(call, reply);
    }
    if (this.#input.length > KEPT_BYTES) this.#input = newBuffer(INPUT_BYTES);
    else this.#input.fill(0, 0, size);
  }

  /**
   * @param {Call} call
   * @param {frame.Reply} reply
   */
  #settle(call, reply) {
    this.#pending.delete(call.id);
    call.settled = true;
    if (reply.status !== 0) return this.#settleError(call, this.#codeOf(reply.status));
    try {
      call.resolve(call.decode(this.#input, reply));
    } catch (error) {
      call.reject(inContext(error, call.operation, call.key));
    }
  }

  /**
   * @param {Call} call
   * @param {string} code
   */
  #settleError(call, code) {
    if (code === 'not_found' && call.missing !== null) return call.resolve(call.missing.value);
    return call.reject(inContext(this.#error(code), call.operation, call.key));
  }

  /** @param {number} status */
  #codeOf(status) {
    return this.#binding.statuses.find(({ number }) => number === status)?.code ?? 'internal';
  }

  /**
   * @param {string} code
   * @param {string} [message]
   */
  #error(code, message) {
    return new BrokerError(code, message ?? sentence(code));
  }

  /**
   * @param {Call} call
   * @param {BrokerError} error
   */
  #reject(call, error) {
    this.#pending.delete(call.id);
    call.settled = true;
    call.reject(inContext(error, call.operation, call.key));
  }

  /**
   * The channel is dead, and says why.
   * @param {number} status
   */
  #died(status) {
    const code = this.#codeOf(status);
    if (code !== 'broker_gone') return this.#refused(this.#error(code));
    if (!this.#opened) {
      this.#errno = 'ECONNRESET';
      this.#startBackoff();
    }
    const message =
      `The broker at ${this.pipe} went away before it answered; ` +
      `the request may or may not have been carried out.`;
    return this.#lost(this.#error(code, message));
  }

  /**
   * The connection is gone: what the channel had can't be known. The rest is tried again.
   * @param {BrokerError} error
   */
  #lost(error) {
    this.#connected = false;
    this.#armed = false;
    for (const call of this.#pending.values()) {
      if (call.batch <= this.#handed) this.#reject(call, error);
    }
  }

  /**
   * This broker will not serve us: nobody has to wait to learn that.
   * @param {BrokerError} error
   */
  #refused(error) {
    this.#lost(error);
    for (const call of this.#pending.values()) this.#reject(call, error);
    this.#dropUnsent();
  }

  /** @returns {boolean} whether it is connected now; if not, that is being seen to */
  #connect() {
    if (this.#connected) return true;
    const status = this.#channel.connect();
    if (status === 0) {
      this.#endBackoff();
      this.#connected = true;
      this.#errno = '';
      this.#opened = this.#channel.open;
      if (this.#opened) this.#failures = 0;
      this.#lastUsed = this.#now;
      return true;
    }
    const { errno } = this.#channel;
    this.#errno = errno ?? '';
    if (RETRIED.has(this.#errno)) {
      this.#startBackoff();
    } else {
      this.#refused(errno === null ? this.#error(this.#codeOf(status)) : this.#unreachable());
      this.#rest();
    }
    return false;
  }

  #unreachable() {
    const hint = CONNECT_HINTS[this.#errno] ?? 'it cannot be connected to';
    return this.#error('broker_gone', `No broker at ${this.pipe}: ${hint} (${this.#errno}).`);
  }

  /** Longer each time, and never quite the same, lest a hundred workers come together. */
  #backoffMs() {
    const longest = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** this.#failures);
    return longest * (0.5 + Math.random() / 2);
  }

  #startBackoff() {
    const delay = this.#backoffMs();
    this.#failures = Math.min(this.#failures + 1, 16);
    if (this.#backoff !== null) return;
    this.#backoff = setTimeout(() => {
      this.#backoff = null;
      this.#now = performance.now();
      this.#schedule();
    }, delay);
  }

  #endBackoff() {
    if (this.#backoff !== null) clearTimeout(this.#backoff);
    this.#backoff = null;
  }

  /**
   * @param {Call} call
   */
  #sleep(call) {
    if (call.settled) return;
    const delay = Math.min(this.#backoffMs(), call.deadline - this.#now);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.max(0, delay));
  }

  /**
   * @param {Call} call
   */
  #wait(call) {
    this.#channel.wait(Math.max(1, Math.ceil(call.deadline - this.#now)));
  }

  /**
   * @param {number} deadline
   */
  #setTimer(deadline) {
    if (this.#timer !== null) clearTimeout(this.#timer);
    const delay = Math.min(TIMER_MAX_MS, Math.max(1, Math.ceil(deadline - this.#now)));
    this.#timerAt = deadline;
    // What is waited for keeps the process alive by the channel, or by the backoff's timer.
    this.#timer = setTimeout(() => this.#onTimer(), delay).unref();
  }

  #onTimer() {
    this.#now = performance.now();
    const lateMs = this.#now - this.#timerAt;
    this.#timer = null;
    this.#timerAt = Infinity;
    // The thread was busy elsewhere: what has come meanwhile must be read before it is judged late.
    if (lateMs > LATE_MS) this.#setTimer(this.#now + LATE_GRACE_MS);
    else this.#expire();
  }

  /** Rejects what is overdue, and sets the timer for what is due next. */
  #expire() {
    let next = Infinity;
    let dropped = false;
    for (const call of this.#pending.values()) {
      if (call.deadline > this.#now) {
        next = Math.min(next, call.deadline);
        continue;
      }
      dropped ||= call.batch > this.#handed;
      this.#reject(call, this.#overdue(call));
    }
    if (dropped) this.#dropUnsent();
    if (next < this.#timerAt) this.#setTimer(next);
    if (this.#pending.size === 0) this.#rest();
  }

  /**
   * @param {Call} call
   */
  #overdue(call) {
    if (!this.#connected && this.#errno !== '') return this.#unreachable();
    return this.#error('timeout', `No answer came within ${call.timeout} ms.`);
  }

  /** Takes the bytes of calls that are settled out of what is not handed over yet. */
  #dropUnsent() {
    for (const batch of [...this.#full, this.#open]) {
      let end = 0;
      for (const call of this.#pending.values()) {
        if (call.batch !== batch.number) continue;
        batch.buffer.copyWithin(end, call.at, call.end);
        [call.at, call.end] = [end, end + call.end - call.at];
        end = call.end;
      }
      batch.buffer.fill(0, end, batch.size);
      batch.size = end;
    }
    this.#full = this.#full.filter((batch) => batch.size > 0);
  }

  retain() {
    this.#references++;
    return this;
  }

  /**
   * The last user waits until what was asked is answered, then closes.
   * @returns {Promise<void>}
   */
  async release() {
    this.#references--;
    if (this.#references > 0) return;
    connections.delete(this);
    if (this.#pending.size > 0) {
      await new Promise((resolve) => {
        this.#onDrained.push(() => resolve(undefined));
      });
    }
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#channel.close();
    this.#connected = false;
  }
}

/**
 * The connection for a pipe and secret; `release()` it in the end.
 * @param {string} pipe
 * @param {Secret} secret
 * @returns {Connection}
 */
function connect(pipe, secret) {
  for (const connection of connections) {
    if (connection.isFor(pipe, secret)) return connection.retain();
  }
  const connection = new Connection(pipe, secret);
  connections.add(connection);
  return connection.retain();
}

module.exports = { Call, Connection, connect };

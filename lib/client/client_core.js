/**
 * What a PipeClient asks through: its options, its prefix and its share of a connection. Arguments
 * become requests here; whatever is wrong with them rejects.
 */
'use strict';

const { PendingCall } = require('./pending_call.js');
const check = require('./validate.js');
const { connect } = require('./connection.js');
const { inContext } = require('../error.js');
const { FOREVER_MS } = require('../duration.js');
const { holding } = require('./flow.js');
const { FLAGS, Request } = require('./frame.js');
const {
  checkNames,
  defaultWorkerId,
  resolve: resolveOptions,
  resolveSecret,
  workerFromEnv,
} = require('../options.js');
const values = require('./values.js');

/**
 * @typedef {import('./pending_call').Decode} Decode
 * @typedef {(request: Request, given: any, call: PendingCall) => void} Fill puts into a request what is its
 *   own
 *
 * @typedef {object} Question
 * @property {string} operation the method
 * @property {string} [action] when it is named otherwise
 * @property {unknown} [key]
 * @property {Decode} decode
 * @property {unknown} [options] of the call; [ttl, options] of those that take both
 * @property {readonly string[]} [known] names of options; just the timeout when not said
 * @property {Fill} [fill]
 */

const CALL_OPTIONS = ['timeout'];

class ClientCore {
  /** @type {string | Uint8Array | null} */
  #secret;
  /** @type {import('./connection').Connection | null} */
  #connection = null;
  #closed = false;
  /** @type {string | null} */
  #workerId;
  /** @type {ClientCore} a namespace's is that of the client it was made from, and lends its connection */
  #root = this;

  /**
   * @param {unknown} pipe
   * @param {Record<string, unknown>} given
   */
  constructor(pipe, given) {
    this.pipe = check.checkedPipe(pipe ?? process.env.EPHEMERAL_PIPE);
    this.options = resolveOptions('client', given);
    this.#secret = resolveSecret('client', given);
    const workerId = this.options.workerId ?? workerFromEnv();
    this.#workerId = workerId === undefined ? null : check.checkedWorker(workerId);
    this.prefix = '';
  }

  /** Made when it is first needed: it takes a module of Node that takes a millisecond to load. */
  get workerId() {
    this.#workerId ??= defaultWorkerId();
    return this.#workerId;
  }

  /**
   * @param {string} name
   * @returns {ClientCore}
   */
  namespace(name) {
    if (check.checkedText(name, 'A namespace') === '') {
      throw check.refusal('invalid_key', 'A namespace is a string that is not empty.');
    }
    const view = new ClientCore(this.pipe, { ...this.options, secret: this.#secret });
    view.#root = this.#root;
    view.prefix = `${this.prefix}${name}:`;
    return view;
  }

  /**
   * @param {string} operation
   * @param {unknown} key
   * @param {Decode} decode
   * @param {unknown} [options]
   * @param {readonly string[]} [known]
   * @param {Fill} [fill]
   * @param {string} [action]
   * @returns {Promise<any>}
   */
  ask(operation, key, decode, options, known = CALL_OPTIONS, fill = undefined, action = operation) {
    return new Promise((resolve, reject) => {
      const call = new PendingCall(operation, decode, resolve, reject);
      this.start(call, action, key, options, known, fill, false);
    });
  }

  /**
   * A call that may have the form of nearly all: a short key, a TTL at most, and a value that is no
   * bytes, if any. Whatever is wrong with an argument, or unusual, is left to `ask`.
   * @param {'get' | 'set'} operation
   * @param {unknown} key
   * @param {unknown} ttl 0: none; undefined: the default
   * @param {unknown} value undefined: none
   * @param {Decode} decode
   * @returns {Promise<any> | null} null: it has another form
   */
  tryFast(operation, key, ttl, value, decode) {
    const connection = this.#root.#connection;
    const { defaultTtl, timeout } = this.options;
    const ms = ttl === undefined ? defaultTtl : ttl;
    const isPlain =
      connection !== null &&
      !this.#closed &&
      typeof key === 'string' &&
      key !== '' &&
      Number.isSafeInteger(ms) &&
      ms >= 0;
    if (!isPlain) return null;
    const isJson = value !== undefined && typeof value !== 'string';
    const text = isJson ? this.#plainJson(value) : value;
    if (text === null || this.#isCompressed(text)) return null;
    // A toJSON may have closed the client.
    if (isJson && (this.#closed || this.#root.#connection !== connection)) return null;
    const fullKey = this.prefix === '' ? key : this.prefix + key;
    const action = connection.actions[operation];
    return connection.tryFast(operation, action, fullKey, ms, text, isJson, decode, timeout);
  }

  /**
   * @param {unknown} value
   * @returns {string | null} null: it is bytes, or there is something wrong with it
   */
  #plainJson(value) {
    return ArrayBuffer.isView(value) ? null : values.jsonOf(value);
  }

  /** @param {string | undefined} text */
  #isCompressed(text) {
    const { compression, compressionThreshold } = this.options;
    return compression && text !== undefined && text.length + 2 >= compressionThreshold;
  }

  /**
   * Blocks until the answer is there.
   * @param {string} operation
   * @param {unknown} key
   * @param {Decode} decode
   * @param {unknown} options
   * @param {readonly string[]} known
   * @param {Fill | undefined} fill
   * @param {string} action
   * @returns {any}
   */
  askSync(operation, key, decode, options, known, fill, action) {
    /** @type {{ value?: any, error?: unknown }} */
    const outcome = {};
    const call = new PendingCall(
      operation,
      decode,
      (value) => (outcome.value = value),
      (error) => (outcome.error = error),
    );
    call.sync = true;
    this.start(call, action, key, options, known, fill, true);
    if (outcome.error !== undefined) throw outcome.error;
    return outcome.value;
  }

  /**
   * Fills the request from the arguments and submits it. Throws what is wrong with them.
   * @param {PendingCall} call
   * @param {string} action
   * @param {unknown} key
   * @param {unknown} options
   * @param {readonly string[]} known
   * @param {Fill | undefined} fill
   * @param {boolean} sync
   */
  start(call, action, key, options, known, fill, sync) {
    try {
      const connection = this.connection();
      const given = Array.isArray(options) ? check.mergedOptions(options[0], options[1]) : options;
      const request = new Request();
      request.action = connection.actions[action];
      if (connection.keyed.has(action)) call.key = request.key = this.fullKey(key);
      this.#applyOptions(call, given, known);
      if (fill !== undefined) fill(request, given, call);
      if (sync) connection.submitAndWait(call, request);
      else connection.submit(call, request);
    } catch (error) {
      const shown = call.key ?? (typeof key === 'string' ? key : undefined);
      throw inContext(error, call.operation, shown);
    }
  }

  /** @returns {import('./connection').Connection} */
  connection() {
    const root = this.#root;
    if (this.#closed || root.#closed) {
      throw check.refusal('invalid_request', 'This client is closed.');
    }
    root.#connection ??= connect(root.pipe, root.#secret, root.options.connectTimeout);
    return root.#connection;
  }

  /**
   * @param {unknown} key
   * @returns {string}
   */
  fullKey(key) {
    const text = check.checkedText(key, 'A key');
    if (text === '') throw check.refusal('invalid_key');
    return this.prefix === '' ? text : check.checkedText(this.prefix + text, 'A key');
  }

  /**
   * @param {unknown} prefix
   * @returns {string}
   */
  fullPrefix(prefix) {
    return this.prefix + check.checkedText(prefix, 'A prefix');
  }

  /**
   * What a key of the broker is called here.
   * @param {string} key
   * @returns {string}
   */
  ownKey(key) {
    return key.startsWith(this.prefix) ? key.slice(this.prefix.length) : key;
  }

  /**
   * @param {PendingCall} call
   * @param {any} given
   * @param {readonly string[]} known
   */
  #applyOptions(call, given, known) {
    call.timeout = this.options.timeout;
    if (given === undefined) return;
    checkNames(`${call.operation}()`, given, known);
    if (given.timeout !== undefined) {
      call.timeout = check.checkedMs('timeout', given.timeout, 1);
    }
    if ('default' in given) call.missing = { value: given.default };
    if (given.signal !== undefined) call.waitState().signal = check.checkedSignal(given.signal);
    if (given.waitNoticeMs !== undefined) {
      const noticeMs = given.waitNoticeMs === Infinity ? 0 : given.waitNoticeMs;
      call.waitState().noticeMs = check.checkedMs('waitNoticeMs', noticeMs, 0);
    }
  }

  /**
   * @param {Request} request
   * @param {unknown} ttl
   */
  putTtl(request, ttl) {
    const { defaultTtl } = this.options;
    if (ttl === undefined || ttl === null) {
      if (defaultTtl === 0) return;
      request.ttl = defaultTtl;
    } else {
      request.ttl = check.checkedTtl(ttl);
    }
    request.flags |= FLAGS.ttl;
  }

  /**
   * @param {Request} request
   * @param {unknown} value
   */
  putValue(request, value) {
    this.putEncoded(request, values.encode(value));
  }

  /**
   * @param {Request} request
   * @param {values.Encoded} plain
   */
  putEncoded(request, plain) {
    const { compression, compressionThreshold } = this.options;
    const encoded = compression ? values.compress(plain, compressionThreshold) : plain;
    request.text = encoded.text;
    request.bytes = encoded.bytes;
    request.flags |= encoded.flags;
  }

  /**
   * @param {Request} request
   * @param {PendingCall} call
   * @param {unknown} workerId null and undefined: the client's
   */
  putWorker(request, call, workerId) {
    const given = workerId !== undefined && workerId !== null;
    call.workerId = request.worker = given ? check.checkedWorker(workerId) : this.workerId;
  }

  /**
   * @param {Request} request
   * @param {PendingCall} call
   * @param {string} name of the option
   * @param {unknown} ms
   */
  putWait(request, call, name, ms) {
    const waitMs = check.checkedWait(name, ms);
    const patience = call.waitState();
    patience.waitMs = waitMs;
    patience.noticeMs ??= this.options.waitNoticeMs;
    if (waitMs > 0) patience.owner = this;
    request.wait = Math.min(waitMs, FOREVER_MS);
    request.flags |= FLAGS.wait;
  }

  /**
   * What the caller's flow holds, of a request that may wait.
   * @param {Request} request
   * @param {readonly number[]} [more] tokens that are held for it besides
   */
  putFlow(request, more = []) {
    if (request.wait > 0) request.bytes = holding(this.pipe, more);
  }

  /**
   * Gives up what waits, releases what is held, and lets the rest be answered. A namespace only ends
   * itself.
   * @returns {Promise<void>}
   */
  async close() {
    this.#closed = true;
    const shared = this.#root.#connection;
    const connection = this.#connection;
    this.#connection = null;
    if (shared !== null) {
      const releases = this.#endHoldings(shared);
      if (releases.length > 0) await Promise.allSettled(releases);
    }
    if (connection !== null) await connection.release();
  }

  /**
   * Other clients may go on using the connection: what this one has there must not live on with it.
   * @param {import('./connection').Connection} connection
   */
  #endHoldings(connection) {
    const isIts = (/** @type {object} */ owner) =>
      owner === this || (owner instanceof ClientCore && owner.#root === this);
    for (const call of connection.waitsOf(isIts)) {
      const error = check.refusal('invalid_request', 'The client was closed while this waited.');
      connection.abort(call, inContext(error, call.operation, call.key));
    }
    const { leases, watches } = connection.session.ownedBy(isIts);
    for (const watch of watches) watch.close();
    return leases.map((lease) => lease.release());
  }
}

module.exports = { ClientCore, CALL_OPTIONS };

/**
 * The core of a PipeClient: its options, its prefix and its reference to a shared connection. It builds
 * requests from arguments; invalid arguments reject the call.
 */
'use strict';

const { PendingCall } = require('./pending_call.js');
const check = require('./validate.js');
const { connect, release } = require('./connections.js');
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
 * @typedef {(request: Request, given: any, call: PendingCall) => void} Fill sets the fields of a request that
 *   are specific to its method
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
  /** @type {ClientCore} for a namespace, the core of its original client, whose connection it uses */
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

  /** Computed on first use, since it needs a module of Node that takes a millisecond to load. */
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
   * The fast path for a call of the common form: a short key, no option but a TTL, and a value that is not
   * bytes. Invalid or unusual arguments are left to `ask`.
   * @param {'get' | 'set'} operation
   * @param {unknown} key
   * @param {unknown} ttl 0: none; undefined: the default
   * @param {unknown} value undefined: none
   * @param {Decode} decode
   * @returns {Promise<any> | null} null: the call has another form
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
   * @returns {string | null} null: bytes, or a value that jsonOf does not accept
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
   * Blocks until the reply arrives.
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
   * Builds the request from the arguments and submits it. Throws if an argument is invalid.
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
   * Removes this client's prefix from a key of the broker.
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
    const wait = call.waitState();
    wait.waitMs = waitMs;
    wait.noticeMs ??= this.options.waitNoticeMs;
    if (waitMs > 0) wait.owner = this;
    request.wait = Math.min(waitMs, FOREVER_MS);
    request.flags |= FLAGS.wait;
  }

  /**
   * Adds the tokens that the caller's flow holds to a request that may wait.
   * @param {Request} request
   * @param {readonly number[]} [more] further tokens held by the same caller
   */
  putFlow(request, more = []) {
    if (request.wait > 0) request.bytes = holding(this.pipe, more);
  }

  /**
   * Aborts waiting calls, releases leases, and waits for the other replies. Closing a namespace closes only
   * the namespace.
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
    if (connection !== null) await release(connection);
  }

  /**
   * Ends this client's waits, watches and leases: other clients may still use the connection, so they would
   * not end with it.
   * @param {import('./connection').Connection} connection
   */
  #endHoldings(connection) {
    const isIts = (/** @type {object} */ owner) =>
      owner === this || (owner instanceof ClientCore && owner.#root === this);
    connection.withdrawals.abortWaits(isIts, (call) => {
      const error = check.refusal('invalid_request', 'The client was closed while this waited.');
      return inContext(error, call.operation, call.key);
    });
    const { leases, watches } = connection.session.ownedBy(isIts);
    for (const watch of watches) watch.close();
    return leases.map((lease) => lease.release());
  }
}

module.exports = { ClientCore, CALL_OPTIONS };

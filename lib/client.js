'use strict';
/**
 * PipeClient: arguments to requests, replies to values. Everything that can be wrong with an
 * argument is found here, and rejects; no method throws before it returns its promise, except the
 * ones that end in Sync.
 */

const { performance } = require('node:perf_hooks');
const { Call, connect } = require('./connection');
const { BrokerError, describeType, inContext, sentence } = require('./error');
const { FLAGS, KEY_MAX_BYTES, Request, getEntries } = require('./frame');
const { checkNames, resolve: resolveOptions, resolveSecret } = require('./options');
const values = require('./values');

/**
 * @typedef {import('./connection').Decode} Decode
 * @typedef {(request: Request, given: any) => void} Fill puts into a request what is its own
 * @typedef {{ timeout?: number }} CallOptions
 * @typedef {{ timeout?: number, default?: any }} GetOptions
 * @typedef {{ timeout?: number, ttl?: number, ifAbsent?: boolean, ifVersion?: number }} SetOptions
 * @typedef {{ timeout?: number, ttl?: number }} IncrOptions
 */

const CALL_OPTIONS = ['timeout'];
const GET_OPTIONS = ['timeout', 'default'];
const SET_OPTIONS = ['timeout', 'ttl', 'ifAbsent', 'ifVersion'];
const INCR_OPTIONS = ['timeout', 'ttl'];

/** In a regular expression with the u flag, a surrogate that matches is one without its other half. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;

/** @type {Decode} */
const decodeValue = (buffer, reply) =>
  values.decode(buffer, reply.bodyAt, reply.bodyEnd, reply.flags);
/** @type {Decode} */
const decodeEntry = (buffer, reply) => ({
  value: decodeValue(buffer, reply),
  version: reply.itemVersion,
  ttl: reply.ttl,
});
/** @type {Decode} */
const decodeTrue = () => true;
/** @type {Decode} */
const decodeBoolean = (_buffer, reply) => reply.count !== 0;
/** @type {Decode} */
const decodeCount = (_buffer, reply) => reply.count;
/** @type {Decode} */
const decodeTtl = (_buffer, reply) => reply.ttl;
/** @type {Decode} */
const decodeText = (buffer, reply) => buffer.toString('utf8', reply.bodyAt, reply.bodyEnd);
/** @type {Decode} */
const decodeJson = (buffer, reply) => JSON.parse(decodeText(buffer, reply));

/**
 * @param {string} code
 * @param {string} [message]
 */
function refusal(code, message) {
  return new BrokerError(code, message ?? sentence(code));
}

/**
 * @param {unknown} text
 * @param {string} what
 * @returns {string}
 */
function checkedText(text, what) {
  if (typeof text !== 'string') {
    throw refusal('invalid_key', `${what} is a string, not ${describeType(text)}.`);
  }
  if (text.length > KEY_MAX_BYTES || LONE_SURROGATE.test(text)) throw refusal('invalid_key');
  return text;
}

/**
 * @param {unknown} ttl
 * @returns {number}
 */
function checkedTtl(ttl) {
  const wholeMs = typeof ttl === 'number' && ttl > 0 ? Math.ceil(ttl) : NaN;
  if (Number.isSafeInteger(wholeMs)) return wholeMs;
  const got = typeof ttl === 'number' ? String(ttl) : describeType(ttl);
  throw refusal('invalid_ttl', `${sentence('invalid_ttl').slice(0, -1)}, not ${got}.`);
}

/**
 * @param {string} name
 * @param {unknown} number
 * @param {number} least
 * @returns {number}
 */
function checkedNumber(name, number, least) {
  if (Number.isSafeInteger(number) && /** @type {number} */ (number) >= least) {
    return /** @type {number} */ (number);
  }
  const got = typeof number === 'number' ? String(number) : describeType(number);
  const bound = least > 0 ? ` of at least ${least}` : '';
  throw refusal('invalid_request', `${name} takes a whole number${bound}, not ${got}.`);
}

/**
 * `set(key, value, ttl, options)` and `set(key, value, { ttl, ... })` are the same.
 * @param {unknown} ttl
 * @param {unknown} options
 * @returns {any}
 */
function mergedOptions(ttl, options) {
  if (typeof ttl === 'object' && ttl !== null) {
    if (options === undefined) return ttl;
    throw refusal('invalid_request', 'Give the options as one argument, not as two.');
  }
  if (options === undefined) return { ttl };
  if (typeof options !== 'object' || options === null) return options;
  return ttl === undefined || ttl === null ? options : { ...options, ttl };
}

/**
 * @param {unknown} pipe
 * @returns {string}
 */
function checkedPipe(pipe) {
  if (typeof pipe === 'string' && pipe.includes('\0')) {
    throw refusal('invalid_request', "A pipe's path holds no NUL.");
  }
  if (typeof pipe === 'string' && pipe !== '') return pipe;
  if (pipe !== undefined && pipe !== null && pipe !== '') {
    const message = `A PipeClient takes the path of a pipe, then its options; not ${describeType(pipe)}.`;
    throw refusal('invalid_request', message);
  }
  const message =
    'No pipe: none was given, and EPHEMERAL_PIPE is not set. Start your command with ' +
    '`ephemeral-pipe-broker start -- <command>`, which sets it.';
  throw refusal('broker_gone', message);
}

class PipeClient {
  /** @type {string} */
  #pipe;
  /** @type {string | Uint8Array | null} */
  #secret;
  /** @type {Record<string, any>} */
  #options;
  /** @type {import('./connection').Connection | null} */
  #connection = null;
  #closed = false;
  /** @type {PipeClient} a namespace's is the client it was made from, and lends its connection */
  #root = this;
  #prefix = '';

  /**
   * @param {string} [pipe]
   * @param {object} [options]
   */
  constructor(pipe, options = {}) {
    const given = /** @type {Record<string, unknown>} */ (options);
    this.#pipe = checkedPipe(pipe ?? process.env.EPHEMERAL_PIPE);
    this.#options = resolveOptions('client', given);
    this.#secret = resolveSecret('client', given);
  }

  get pipe() {
    return this.#pipe;
  }

  /**
   * @param {string} key
   * @param {GetOptions} [options]
   * @returns {Promise<any>}
   */
  get(key, options) {
    return this.#ask('get', key, decodeValue, options, GET_OPTIONS);
  }

  /**
   * Like get, and blocks the thread until the answer is there.
   * @param {string} key
   * @param {GetOptions} [options]
   * @returns {any}
   */
  getSync(key, options) {
    /** @type {{ value?: any, error?: unknown }} */
    const outcome = {};
    const call = new Call(
      'getSync',
      decodeValue,
      (value) => (outcome.value = value),
      (error) => (outcome.error = error),
    );
    this.#start(call, 'get', key, options, GET_OPTIONS, undefined, true);
    if (outcome.error !== undefined) throw outcome.error;
    return outcome.value;
  }

  /**
   * @param {string} key
   * @param {CallOptions} [options]
   * @returns {Promise<{ value: any, version: number, ttl: number }>}
   */
  getEntry(key, options) {
    return this.#ask('getEntry', key, decodeEntry, options);
  }

  /**
   * @param {string} key
   * @param {unknown} value
   * @param {number | SetOptions | null} [ttl]
   * @param {SetOptions} [options]
   * @returns {Promise<true>}
   */
  set(key, value, ttl, options) {
    return this.#ask('set', key, decodeTrue, [ttl, options], SET_OPTIONS, (request, given) => {
      this.#putValue(request, value);
      this.#putTtl(request, given.ttl);
      if (given.ifAbsent) request.flags |= FLAGS.ifAbsent;
      if (given.ifVersion !== undefined) {
        request.version = checkedNumber('ifVersion', given.ifVersion, 1);
        request.flags |= FLAGS.version;
      }
    });
  }

  /**
   * @param {string} key
   * @param {CallOptions} [options]
   * @returns {Promise<boolean>}
   */
  del(key, options) {
    return this.#ask('del', key, decodeBoolean, options);
  }

  /**
   * @param {string} key
   * @param {CallOptions} [options]
   * @returns {Promise<boolean>}
   */
  has(key, options) {
    return this.#ask('has', key, decodeBoolean, options);
  }

  /**
   * @param {string} key
   * @param {CallOptions} [options]
   * @returns {Promise<number>}
   */
  ttl(key, options) {
    return this.#ask('ttl', key, decodeTtl, options);
  }

  /**
   * @param {string} key
   * @param {number} [by]
   * @param {number | IncrOptions | null} [ttl]
   * @param {IncrOptions} [options]
   * @returns {Promise<number>}
   */
  incr(key, by = 1, ttl, options) {
    return this.#ask('incr', key, decodeCount, [ttl, options], INCR_OPTIONS, (request, given) => {
      request.count = checkedNumber('by', by, -Infinity);
      request.flags |= FLAGS.count;
      this.#putTtl(request, given.ttl);
    });
  }

  /**
   * @param {string} [prefix]
   * @param {CallOptions} [options]
   * @returns {Promise<import('./frame').ListEntry[]>}
   */
  list(prefix = '', options) {
    const strip = this.#prefix.length;
    /** @type {Decode} */
    const decodeList = (buffer, reply) => {
      const entries = getEntries(buffer, reply.bodyAt, reply.bodyEnd);
      if (entries === null) throw refusal('version_mismatch');
      if (strip > 0) for (const entry of entries) entry.key = entry.key.slice(strip);
      return entries;
    };
    return this.#ask('list', undefined, decodeList, options, CALL_OPTIONS, (request) => {
      request.key = this.#prefix + checkedText(prefix, 'A prefix');
    });
  }

  /**
   * @param {CallOptions} [options]
   * @returns {Promise<true>}
   */
  ping(options) {
    return this.#ask('ping', undefined, decodeTrue, options);
  }

  /**
   * @param {CallOptions} [options]
   * @returns {Promise<number>}
   */
  async pingMs(options) {
    const start = performance.now();
    await this.ping(options);
    return performance.now() - start;
  }

  /**
   * @param {CallOptions} [options]
   * @returns {Promise<any>}
   */
  stats(options) {
    return this.#ask('stats', undefined, decodeJson, options);
  }

  /**
   * @param {CallOptions} [options]
   * @returns {Promise<any>}
   */
  health(options) {
    return this.#ask('health', undefined, decodeJson, options);
  }

  /**
   * @param {CallOptions} [options]
   * @returns {Promise<string>}
   */
  metrics(options) {
    return this.#ask('metrics', undefined, decodeText, options);
  }

  /**
   * The same client, with every key and prefix under `name:`.
   * @param {string} name
   * @returns {PipeClient}
   */
  namespace(name) {
    if (checkedText(name, 'A namespace') === '') {
      throw refusal('invalid_key', 'A namespace is a string that is not empty.');
    }
    const view = new PipeClient(this.#pipe, { ...this.#options, secret: this.#secret });
    view.#root = this.#root;
    view.#prefix = `${this.#prefix}${name}:`;
    return view;
  }

  /**
   * Waits for the answers that are due, then closes. A namespace only ends itself.
   * @returns {Promise<void>}
   */
  async close() {
    this.#closed = true;
    const connection = this.#connection;
    this.#connection = null;
    if (connection !== null) await connection.release();
  }

  /** @returns {Promise<void>} */
  [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    return this.close();
  }

  /**
   * A request of a method that is named after its action.
   * @param {string} operation
   * @param {string | undefined} key
   * @param {Decode} decode
   * @param {unknown} options of the call; [ttl, options] of those that take both
   * @param {readonly string[]} [known]
   * @param {Fill} [fill]
   * @returns {Promise<any>}
   */
  #ask(operation, key, decode, options, known = CALL_OPTIONS, fill = undefined) {
    return new Promise((resolve, reject) => {
      const call = new Call(operation, decode, resolve, reject);
      this.#start(call, operation, key, options, known, fill, false);
    });
  }

  /**
   * Fills the request from the arguments and submits it. Throws what is wrong with them.
   * @param {Call} call
   * @param {string} action
   * @param {string | undefined} key
   * @param {unknown} options
   * @param {readonly string[]} known
   * @param {Fill | undefined} fill
   * @param {boolean} sync
   */
  #start(call, action, key, options, known, fill, sync) {
    try {
      const connection = this.#open();
      const given = Array.isArray(options) ? mergedOptions(options[0], options[1]) : options;
      const request = new Request();
      request.action = connection.actions[action];
      if (connection.keyed.has(action)) call.key = request.key = this.#fullKey(key);
      this.#applyOptions(call, given, known);
      if (fill !== undefined) fill(request, given);
      if (sync) connection.submitAndWait(call, request);
      else connection.submit(call, request);
    } catch (error) {
      const shown = call.key ?? (typeof key === 'string' ? key : undefined);
      throw inContext(error, call.operation, shown);
    }
  }

  /** @returns {import('./connection').Connection} */
  #open() {
    const root = this.#root;
    if (this.#closed || root.#closed) throw refusal('invalid_request', 'This client is closed.');
    root.#connection ??= connect(root.#pipe, root.#secret);
    return root.#connection;
  }

  /**
   * @param {unknown} key
   * @returns {string}
   */
  #fullKey(key) {
    const text = checkedText(key, 'A key');
    if (text === '') throw refusal('invalid_key');
    return this.#prefix === '' ? text : checkedText(this.#prefix + text, 'A key');
  }

  /**
   * @param {Call} call
   * @param {any} given
   * @param {readonly string[]} known
   */
  #applyOptions(call, given, known) {
    call.timeout = this.#options.timeout;
    if (given === undefined) return;
    checkNames(`${call.operation}()`, given, known);
    if (given.timeout !== undefined) call.timeout = checkedNumber('timeout', given.timeout, 1);
    if ('default' in given) call.missing = { value: given.default };
  }

  /**
   * @param {Request} request
   * @param {unknown} ttl
   */
  #putTtl(request, ttl) {
    const { defaultTtl } = this.#options;
    if (ttl === undefined || ttl === null) {
      if (defaultTtl === 0) return;
      request.ttl = defaultTtl;
    } else {
      request.ttl = checkedTtl(ttl);
    }
    request.flags |= FLAGS.ttl;
  }

  /**
   * @param {Request} request
   * @param {unknown} value
   */
  #putValue(request, value) {
    const { compression, compressionThreshold } = this.#options;
    const plain = values.encode(value);
    const encoded = compression ? values.compress(plain, compressionThreshold) : plain;
    request.text = encoded.text;
    request.bytes = encoded.bytes;
    request.flags |= encoded.flags;
  }
}

module.exports = { PipeClient, Client: PipeClient, BrokerError };

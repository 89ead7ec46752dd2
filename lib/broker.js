/**
 * Broker: runs the native engine, with checked options, inside the current process. It never ends the
 * process and handles no signals (csrc/server/exit_hook.h).
 */
'use strict';

const { load } = require('./binding.js');
const { checkedMs } = require('./client/validate.js');
const { here } = require('./async_context.js');
const { BrokerError, inContext } = require('./error.js');
const { environmentBefore, exportVariables, withdrawVariables } = require('./exported_env.js');
const { checkNames, resolve, resolveSecret } = require('./options.js');

/** Shorter secrets can be guessed. */
const SECRET_STRONG_BYTES = 16;
const SECRET_AUTO_BYTES = 32;
/** Default time that stop() gives requests in flight to finish. */
const DRAIN_MS = 2000;
const WARNING = { type: 'EphemeralPipeBrokerWarning' };

/** Options that the engine does not know. */
const OURS = ['eviction', 'hardenProcess', 'exportEnv', 'log'];

/** Removed from a child's environment: with an unrelated secret, the broker would refuse the child. */
const CLIENT_SECRET_NAMES = ['EPHEMERAL_SECRET', 'CLIENT_SECRET'];

/** @typedef {'new' | 'running' | 'stopping' | 'stopped'} State */

/**
 * @param {string | Uint8Array | null} secret
 * @returns {string | Uint8Array | null}
 */
function madeSecret(secret) {
  if (secret !== 'auto') return secret;
  return require('node:crypto').randomBytes(SECRET_AUTO_BYTES).toString('hex');
}

/** @param {Uint8Array | null} secret */
function warnWhenWeak(secret) {
  if (secret === null || secret.length >= SECRET_STRONG_BYTES) return;
  process.emitWarning(
    `The broker's secret is shorter than ${SECRET_STRONG_BYTES} bytes and can be guessed. ` +
      `secret: 'auto' makes a good one.`,
    WARNING,
  );
}

/**
 * @param {Record<string, any>} options
 */
function nativeOptions(options) {
  const native = { ...options, evictLru: options.eviction === 'lru' };
  for (const name of OURS) Reflect.deleteProperty(native, name);
  return native;
}

class Broker {
  /** @type {Record<string, any>} */
  #options;
  /** @type {string | Uint8Array | null} */
  #secret;
  /** @type {import('./binding').NativeBroker} */
  #native;
  /** @type {State} */
  #state = 'new';
  /** @type {Promise<void> | null} */
  #stopping = null;
  /** The async context in which the `log` callback was passed. */
  #place = here();
  /** Resolves the promise of stop(). */
  #onStopped = () => {};
  /** The engine copies the bytes of the secret when it starts. */
  #wipeSecret;
  /** @type {Record<string, string | undefined>} the variables that start() exported */
  #exported = {};
  /** @type {import('./client/client').PipeClient | null} */
  #ownClient = null;

  /** The user's object (index.js), kept alive as long as this one. @type {object | null} */
  shownAs = null;

  /** @param {object} [options] */
  constructor(options = {}) {
    const given = /** @type {Record<string, unknown>} */ (options);
    this.#options = resolve('broker', given);
    this.#secret = madeSecret(resolveSecret('broker', given, environmentBefore()));
    const bytes = this.#secret === null ? null : Buffer.from(this.#secret);
    warnWhenWeak(bytes);
    const { Broker: NativeBroker } = load();
    this.#native = new NativeBroker(nativeOptions(this.#options), bytes, (type, json) =>
      this.#onEvent(type, json),
    );
    this.#wipeSecret = () => bytes?.fill(0);
  }

  /** The pipe's path while the broker runs, else null. */
  get pipe() {
    return this.#state === 'running' ? this.#native.path : null;
  }

  /** The secret, including a generated one; null without a secret. */
  get secret() {
    return this.#secret;
  }

  /** @returns {Promise<string>} the pipe's path */
  async start() {
    return this.startSync();
  }

  /** @returns {string} the pipe's path */
  startSync() {
    if (this.#state !== 'new') {
      const message = `This broker is ${this.#state} already: make a new one.`;
      throw new BrokerError('invalid_request', message, { operation: 'start' });
    }
    if (this.#options.hardenProcess) load().hardenProcess();
    const pipe = startNative(this.#native, this.#options.pipeId);
    this.#state = 'running';
    this.#wipeSecret();
    if (this.#options.exportEnv) {
      this.#exported = this.#variables(pipe);
      exportVariables(this.#exported);
    }
    return pipe;
  }

  /**
   * Lets requests in flight finish, then wipes memory and removes the pipe. All calls share one stop.
   * @param {{ drainMs?: import('./index').Duration }} [options]
   * @returns {Promise<void>}
   */
  async stop(options = {}) {
    const drainMs = checkedDrain(options);
    if (this.#state === 'new') this.#state = 'stopped';
    if (this.#state === 'stopped') return;
    this.#stopping ??= this.#stop(drainMs);
    await this.#stopping;
  }

  /**
   * Stops at once, without waiting for requests in flight. For use while the process exits.
   */
  stopSync() {
    if (this.#state === 'new') this.#state = 'stopped';
    if (this.#state === 'stopped') return;
    withdrawVariables(this.#exported);
    this.#ownClient?.close();
    this.#ownClient = null;
    this.#native.stopSync();
    this.#state = 'stopped';
    this.#onStopped();
  }

  /** @param {number} drainMs */
  async #stop(drainMs) {
    this.#state = 'stopping';
    // Keep the process alive until the caller's promise resolves.
    this.#native.ref();
    withdrawVariables(this.#exported);
    const client = this.#ownClient;
    this.#ownClient = null;
    if (client !== null) await client.close();
    if (this.#state !== 'stopping') return;
    await new Promise((done) => {
      this.#onStopped = () => done(undefined);
      this.#native.stop(drainMs, this.#onStopped);
    });
    this.#state = 'stopped';
  }

  /**
   * The environment variables with which a child process finds this broker.
   * @returns {Record<string, string>}
   */
  env() {
    const pipe = this.#running('env');
    if (this.#secret !== null && textOf(this.#secret) === null) {
      const message = 'This secret is no text that an environment variable can hold.';
      throw new BrokerError('invalid_request', message, { operation: 'env' });
    }
    return this.#variables(pipe);
  }

  /**
   * @param {string} pipe
   * @returns {Record<string, string>} without the secret if a variable can't hold it
   */
  #variables(pipe) {
    const text = this.#secret === null ? null : textOf(this.#secret);
    /** @type {Record<string, string>} */
    const variables = { EPHEMERAL_PIPE: pipe, EPHEMERAL_BROKER_PID: String(process.pid) };
    if (text !== null) variables.EPHEMERAL_SECRET = text;
    return variables;
  }

  /**
   * `child_process.spawn` with the variables of env() added.
   * @param {string} command
   * @param {readonly string[]} [args]
   * @param {import('node:child_process').SpawnOptions} [options]
   * @returns {import('node:child_process').ChildProcess}
   */
  spawn(command, args = [], options = {}) {
    const env = { ...(options.env ?? process.env) };
    for (const name of CLIENT_SECRET_NAMES) delete env[name];
    const { spawn } = require('node:child_process');
    return spawn(command, args, { ...options, env: { ...env, ...this.env() } });
  }

  /**
   * A client of this broker.
   * @param {object} [options]
   * @returns {import('./client/client').PipeClient}
   */
  client(options = {}) {
    const { PipeClient } = require('./client/client.js');
    return new PipeClient(this.#running('client'), { ...options, secret: this.#secret });
  }

  /** @returns {Promise<any>} */
  async stats() {
    this.#running('stats');
    this.#ownClient ??= this.client();
    return this.#ownClient.stats();
  }

  /** Lets the running broker keep the process alive (the default). */
  ref() {
    this.#native.ref();
    return this;
  }

  /** Lets the process exit while the broker runs. */
  unref() {
    this.#native.unref();
    return this;
  }

  /** @returns {Promise<void>} */
  [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    return this.stop();
  }

  /** @param {string} operation */
  #running(operation) {
    if (this.#state === 'running') return this.#native.path;
    const message = `The broker is not running (${this.#state}).`;
    throw new BrokerError('invalid_request', message, { operation });
  }

  /**
   * @param {string} type
   * @param {string} json
   */
  #onEvent(type, json) {
    const { time = Date.now(), ...fields } = eventRecord(type, json);
    this.#log({ time: new Date(time).toISOString(), ...fields });
    if (type === 'idle') this.stop();
  }

  /** @param {Record<string, any>} record */
  #log(record) {
    const { log, debug } = this.#options;
    if (log !== null) this.#place.runInAsyncScope(log, undefined, record);
    else if (debug || record.event === 'heartbeat')
      process.stderr.write(`${JSON.stringify(record)}\n`);
    else if (record.level === 'warn' || record.level === 'error') warnOf(record);
  }
}

/**
 * An event of the engine's thread, as a log record.
 * @param {string} type
 * @param {string} json
 * @returns {Record<string, any>}
 */
function eventRecord(type, json) {
  if (type === 'log') return JSON.parse(json);
  const record = { level: 'info', event: type };
  return type === 'heartbeat' ? { ...record, stats: JSON.parse(json) } : record;
}

/**
 * A log record as a sentence.
 * @param {Record<string, any>} record
 * @returns {string}
 */
function warningText({ event, message, reason }) {
  const why = reason === undefined ? '' : ` (${reason})`;
  return message ?? `The broker has reason to warn: ${event}${why}.`;
}

/** Warnings already emitted: each appears once per process, for all brokers. */
const warned = new Set();

/** @param {Record<string, any>} record */
function warnOf(record) {
  const message = warningText(record);
  if (warned.has(message)) return;
  warned.add(message);
  process.emitWarning(message, WARNING);
}

const isWindows = process.platform === 'win32';
const INODES = 'It takes no space, but an inode or two.';
const WRITABLE = 'That has to be a directory that this user may write to.';

/** Hints for errors of the socket's directory. @type {Record<string, string>} */
const PLACE_HINTS = {
  ENOSPC: INODES,
  EDQUOT: INODES,
  EACCES: WRITABLE,
  EROFS: WRITABLE,
  ENOENT: WRITABLE,
  ENOTDIR: WRITABLE,
};

/**
 * @param {import('./binding').NativeBroker} native
 * @param {string | null} pipeId
 */
function startNative(native, pipeId) {
  try {
    return native.start();
  } catch (cause) {
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (cause);
    if (code !== 'EADDRINUSE') {
      const hint = isWindows ? undefined : PLACE_HINTS[code ?? ''];
      const place =
        hint === undefined
          ? ''
          : `. Its socket is made in TMPDIR, /tmp or XDG_RUNTIME_DIR. ${hint}`;
      throw new BrokerError('internal', message + place, { operation: 'start', cause });
    }
    const left = isWindows
      ? ''
      : ` If none runs, here or on a machine that shares the folder, one ran before a restart: remove broker-${pipeId}.sock.`;
    const taken = `Another broker has the pipe id ${JSON.stringify(pipeId)}: end it, or take another.`;
    throw new BrokerError('conflict', taken + left, { operation: 'start', cause });
  }
}

/**
 * @param {{ drainMs?: import('./index').Duration }} options
 * @returns {number}
 */
function checkedDrain(options) {
  checkNames('stop()', options, ['drainMs']);
  try {
    return checkedMs('drainMs', options.drainMs ?? DRAIN_MS, 0);
  } catch (error) {
    throw inContext(error, 'stop', undefined);
  }
}

/**
 * @param {string | Uint8Array} secret
 * @returns {string | null} null: an environment variable can't hold it
 */
function textOf(secret) {
  const text = typeof secret === 'string' ? secret : Buffer.from(secret).toString();
  const exact = Buffer.compare(Buffer.from(text), Buffer.from(secret)) === 0;
  return exact && !text.includes('\0') ? text : null;
}

module.exports = { Broker };

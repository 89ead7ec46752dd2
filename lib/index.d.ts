/// <reference types="node" />

import type { ChildProcess, SpawnOptions } from 'node:child_process';

/**
 * Every way a call can fail. `timeout` and `broker_gone` are of the client, most others of the
 * broker; PROTOCOL.md says what each of them means.
 */
export type ErrorCode =
  | 'not_found'
  | 'ttl_required'
  | 'invalid_ttl'
  | 'invalid_key'
  | 'invalid_value'
  | 'invalid_json'
  | 'invalid_request'
  | 'unknown_action'
  | 'too_large'
  | 'max_items'
  | 'max_memory'
  | 'max_connections'
  | 'max_waiters'
  | 'auth_failed'
  | 'auth_required'
  | 'conflict'
  | 'fenced'
  | 'not_a_number'
  | 'kind_mismatch'
  | 'lease_held'
  | 'lease_lost'
  | 'wait_timeout'
  | 'draining'
  | 'timeout'
  | 'broker_gone'
  | 'key_and_worker_required'
  | 'worker_required'
  | 'version_mismatch'
  | 'internal';

/**
 * What every failed call rejects with. Neither the message nor any property ever holds a value or a
 * secret.
 */
export class BrokerError extends Error {
  constructor(
    code: ErrorCode,
    message: string,
    details?: { operation?: string; key?: string; cause?: unknown },
  );
  readonly name: 'BrokerError';
  /** What to test for: stable, unlike the message. */
  readonly code: ErrorCode;
  /** The method that failed. */
  readonly operation: string | undefined;
  /** The key it was about, as the broker knows it: with its namespace. */
  readonly key: string | undefined;
}

/** What `set` takes: any JSON value (checked when it is encoded), or bytes. */
export type Value = unknown;

export interface CallOptions {
  /** Milliseconds for this call, connecting included; default: the client's `timeout`. */
  timeout?: number;
}

export interface GetOptions<D = unknown> extends CallOptions {
  /** What to resolve when the key does not exist, instead of rejecting with `not_found`. */
  default?: D;
}

export interface SetOptions extends CallOptions {
  /** Milliseconds, > 0; default: the client's `defaultTtl`. */
  ttl?: number;
  /** Only when the key does not exist; else `conflict`. */
  ifAbsent?: boolean;
  /** Only when the key has this version (from `getEntry`); else `conflict`. */
  ifVersion?: number;
}

export interface IncrOptions extends CallOptions {
  /** Milliseconds, > 0, for the counter that this call creates; one that exists keeps its TTL. */
  ttl?: number;
}

export interface Entry<T = any> {
  value: T;
  /** Grows with every write to the broker; for `ifVersion`. */
  version: number;
  /** Milliseconds until it expires. */
  ttl: number;
}

export interface ListEntry {
  key: string;
  /** Milliseconds until it expires. */
  ttl: number;
  version: number;
  /** Bytes of the value as it is stored. */
  size: number;
}

/** All numbers; sizes in bytes, times in milliseconds. */
export interface Stats {
  items: number;
  leases: number;
  /** Bytes that everything stored takes. */
  memory: number;
  /** Milliseconds since the broker started. */
  uptime: number;
  [name: string]: number;
}

export interface Health {
  /** `warning` from 90 % of maxItems or maxMemory, `degraded` at 100 % or while shutting down. */
  status: 'healthy' | 'warning' | 'degraded';
  items: number;
  maxItems: number;
  memory: number;
  maxMemory: number;
  /** The fuller of items and memory, 0 to 1. */
  utilization: number;
  uptime: number;
  draining: boolean;
  [name: string]: unknown;
}

/** Each option can also come from the environment: `CLIENT_TIMEOUT` and so on. */
export interface ClientOptions {
  /** Bounds every call, connecting included. Milliseconds; default 5,000. */
  timeout?: number;
  /** TTL of writes without one. Milliseconds; default 0: none, each write says its own. */
  defaultTtl?: number;
  /** Compress values where that saves a tenth or more: less memory, more time. Default false. */
  compression?: boolean;
  /** Smaller values are not compressed. Bytes; default 1,024. */
  compressionThreshold?: number;
  /**
   * The broker's secret. Default: `EPHEMERAL_SECRET` or `CLIENT_SECRET` from the environment; null
   * says that there is none, whatever the environment holds.
   */
  secret?: string | Uint8Array | null;
  /** Another name of `secret`. */
  auth?: string | Uint8Array | null;
}

/**
 * A client of a broker. Clients of one thread with the same pipe and secret share one connection; it
 * is made at the first call, made again when the broker was restarted, and never keeps the process
 * alive while no call waits.
 *
 * Every method rejects with a BrokerError. Beside what its own text names, any can fail with
 * `timeout`, `broker_gone`, `auth_failed`, `auth_required`, `version_mismatch`, `draining`,
 * `max_connections` and `invalid_request`, and those that take a key with `invalid_key` (a key is a
 * string of 1 to 512 bytes).
 */
export class PipeClient {
  /**
   * @param pipe path of the pipe; default: `EPHEMERAL_PIPE` from the environment
   * @throws {BrokerError} `broker_gone` without a pipe, `invalid_request` when an option is wrong
   */
  constructor(pipe?: string | null, options?: ClientOptions);

  /** Path of the pipe. */
  readonly pipe: string;

  /**
   * The value of a key; bytes come as a Buffer. Rejects with `not_found` when the key does not exist
   * or has expired, unless there is a `default`.
   */
  get<T = any>(key: string, options?: CallOptions): Promise<T>;
  get<T = any, D = T>(key: string, options: GetOptions<D> & { default: D }): Promise<T | D>;

  /**
   * Like `get`, and blocks the thread until the answer is there: for configuration files that can't
   * await. Throws what `get` rejects with.
   */
  getSync<T = any>(key: string, options?: CallOptions): T;
  getSync<T = any, D = T>(key: string, options: GetOptions<D> & { default: D }): T | D;

  /** Value, version and remaining time of a key; `not_found`. */
  getEntry<T = any>(key: string, options?: CallOptions): Promise<Entry<T>>;

  /**
   * Stores any JSON value, or bytes, until its TTL (milliseconds) has passed. Resolves true.
   * `ttl_required`, `invalid_ttl`, `invalid_value`, `too_large`, `max_items`, `max_memory`,
   * `conflict`.
   */
  set(key: string, value: Value, ttl?: number | null, options?: SetOptions): Promise<true>;
  set(key: string, value: Value, options: SetOptions): Promise<true>;

  /** Resolves whether there was something to delete. */
  del(key: string, options?: CallOptions): Promise<boolean>;

  /** Resolves whether the key exists. */
  has(key: string, options?: CallOptions): Promise<boolean>;

  /** Milliseconds until the key expires; `not_found`. */
  ttl(key: string, options?: CallOptions): Promise<number>;

  /**
   * Adds to a counter and resolves its new value, over all processes. A counter that does not exist
   * starts at 0 and gets the TTL (milliseconds). `not_a_number`, `ttl_required`, `invalid_ttl`.
   */
  incr(key: string, by?: number, ttl?: number | null, options?: IncrOptions): Promise<number>;
  incr(key: string, by: number | undefined, options: IncrOptions): Promise<number>;

  /** What is stored under keys that start so, sorted by key; never the values. */
  list(prefix?: string, options?: CallOptions): Promise<ListEntry[]>;

  /** Resolves true when the broker answers. */
  ping(options?: CallOptions): Promise<true>;

  /** Like `ping`; resolves how many milliseconds it took. */
  pingMs(options?: CallOptions): Promise<number>;

  stats(options?: CallOptions): Promise<Stats>;

  health(options?: CallOptions): Promise<Health>;

  /** The metrics in Prometheus' text format. */
  metrics(options?: CallOptions): Promise<string>;

  /**
   * A client that puts `name:` before every key and prefix, and takes it off what it lists. It uses
   * this client's connection, and ends with it.
   */
  namespace(name: string): PipeClient;

  /** Waits for the answers that are due, then closes; later calls reject with `invalid_request`. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Another name of PipeClient. */
export { PipeClient as Client };

/** One line of the log: never a value or a secret. */
export interface LogRecord {
  level: 'debug' | 'info' | 'warn' | 'error';
  event: string;
  [name: string]: unknown;
}

/**
 * Sizes in bytes, times in milliseconds. Each option but `log` and `exportEnv` can also come from
 * the environment: `BROKER_MAX_ITEMS` and so on.
 */
export interface BrokerOptions {
  /**
   * Only clients with the same secret are served. `'auto'` makes one of 256 random bits. Default:
   * `EPHEMERAL_SECRET` or `BROKER_SECRET` from the environment; null says that there is none.
   */
  secret?: 'auto' | (string & {}) | Uint8Array | null;
  /** Another name of `secret`. */
  auth?: string | Uint8Array | null;
  /** A fixed name, `broker-<pipeId>.sock`, instead of a random one. */
  pipeId?: string | null;
  /** Largest request; default 1 MiB. */
  maxRequestSize?: number;
  /** Largest value, before compression; default 256 KiB; 0: only maxRequestSize limits. */
  maxValueSize?: number;
  /** Most items; default 10,000; 0: no limit. */
  maxItems?: number;
  /** Most memory for everything stored; default 256 MiB; 0: no limit. */
  maxMemory?: number;
  /** Most connections; default 1,024; 0: no limit. */
  maxConnections?: number;
  /** When full: refuse the write, or drop the least recently used item. Default 'none'. */
  eviction?: 'none' | 'lru';
  /** Refuse writes without a TTL; default true. */
  requireTTL?: boolean;
  /** TTL of writes without one, when requireTTL is off; default 30 minutes. */
  defaultTTL?: number;
  /** A read restarts the item's TTL; default false. */
  refreshTTLOnGet?: boolean;
  /** Longest time between two sweeps; default 30 seconds. */
  sweeperInterval?: number;
  /** Stop after this long without a connection or a request; default 0: never. */
  idleTimeout?: number;
  /** Log the statistics this often; default 0: off. */
  heartbeatInterval?: number;
  /** Refuse to start when memory cannot be locked; default false. */
  requireMlock?: boolean;
  /** With a secret, also serve signed JSON lines; default false. */
  legacyHmac?: boolean;
  /** No core dumps and no tracing of the whole process; default false. */
  hardenProcess?: boolean;
  /** Log every request to stderr, as JSON lines; default false. */
  debug?: boolean;
  /** start() sets EPHEMERAL_PIPE in process.env; default true. */
  exportEnv?: boolean;
  /** Called with each log record; replaces stderr. */
  log?: ((record: LogRecord) => void) | null;
}

/**
 * A broker in this process. It runs in a thread of its own, installs no signal handler and never ends
 * the process; while it runs it keeps the process alive, unless `unref()` says otherwise. At the end
 * of the process its memory is wiped and its pipe removed.
 */
export class Broker {
  /** @throws {BrokerError} `invalid_request` when an option is wrong */
  constructor(options?: BrokerOptions);

  /** Path of the pipe while the broker runs, else null. */
  readonly pipe: string | null;
  /** The secret, also one that `'auto'` made; null without. */
  readonly secret: string | Uint8Array | null;

  /**
   * Resolves the path of the pipe, also exported as `EPHEMERAL_PIPE`. `conflict` when another broker
   * has the `pipeId`; `invalid_request` when this one was started before.
   */
  start(): Promise<string>;
  /** Like `start`, and throws what it rejects with. */
  startSync(): string;

  /**
   * Lets requests in flight finish, for at most `drainMs` milliseconds (default 2,000), then wipes
   * memory and removes the pipe. To call it again is harmless.
   */
  stop(options?: { drainMs?: number }): Promise<void>;
  /** Stops at once, for use while the process ends. */
  stopSync(): void;

  /** The variables by which a child process finds this broker. */
  env(): Record<string, string>;
  /** `child_process.spawn` with the variables of `env()` added. */
  spawn(command: string, args?: readonly string[], options?: SpawnOptions): ChildProcess;
  /** A client of this broker. */
  client(options?: Omit<ClientOptions, 'secret' | 'auth'>): PipeClient;
  /** As `PipeClient.stats()`. */
  stats(): Promise<Stats>;

  /** The running broker keeps the process alive: the default. */
  ref(): this;
  /** The process may end while the broker runs. */
  unref(): this;

  [Symbol.asyncDispose](): Promise<void>;
}

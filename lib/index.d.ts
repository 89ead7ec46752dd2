/// <reference types="node" />

import type { ChildProcess, SpawnOptions } from 'node:child_process';

/**
 * Every reason why a call can fail. The client itself raises `timeout` and `broker_gone`, the broker most
 * of the others. PROTOCOL.md explains each code.
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
  | 'internal'
  | 'compute_failed'
  | 'worker_already_has_lease'
  | 'deadlock';

/** One holder of the resource that a call asked for. */
export interface Holder {
  /** The full key, including its namespace. */
  key: string;
  kind: LeaseInfo['kind'];
  workerId: string;
  /** The process that holds it; null when unknown: a detached lease, or a client that uses JSON lines. */
  pid: number | null;
  session: number | null;
  /** True for a shared lock. */
  shared: boolean;
  token: number | null;
  /** When it was granted, in milliseconds since 1970 (as `Date.now()`). */
  since: number;
  heldMs: number;
}

/**
 * Every failed call rejects with this error. Its message and properties never contain a value or a
 * secret.
 */
export class BrokerError extends Error {
  constructor(
    code: ErrorCode,
    message: string,
    details?: { operation?: string; key?: string; cause?: unknown },
  );
  readonly name: 'BrokerError';
  /** Test for this: the code is stable, the message is not. */
  readonly code: ErrorCode;
  /**
   * The page of the code: what it means, its usual causes, what to do. A path in the package, such as
   * `ephemeral-pipe-broker/docs/errors/not_found.md`, which `require.resolve` finds.
   */
  readonly docs: string;
  /** The method that failed. */
  readonly operation: string | undefined;
  /** The full key that the call was about, including its namespace. */
  readonly key: string | undefined;
  /**
   * With `lease_held` and `wait_timeout`: the first 8 holders of the key. With `deadlock`: the cycle. Its
   * first element is held by the refused call's own flow; each holder waits for the next element, and the
   * last holder waits for the first element.
   */
  readonly holders?: readonly Holder[];
  /** With `wait_timeout`: the call's place in the queue when it gave up, counted from 1, if known. */
  readonly place?: number;
  /** With `lease_held` and `wait_timeout`: the number of requests in the queue. */
  readonly waiting?: number;
}

/**
 * A value for `set`: bytes (a Buffer or Uint8Array), or any JSON value.
 *
 * Anything that JSON would lose, at any depth, is refused, and the error names its path: a Map, a Set, a
 * promise, NaN, undefined in an array, a function, bytes or an Error inside an object, an object of a class
 * without `toJSON`, a circular reference.
 *
 * As in JSON, a Date comes back as its text, and an object with `toJSON` is stored as the JSON value that
 * `toJSON` returns. Properties that are undefined, not enumerable or keyed by a symbol are left out, as are
 * an array's properties other than its elements. An object whose only keys are symbols is refused.
 */
export type Value = unknown;

/** Types that JSON cannot represent, or only in part. */
type Lossy =
  | ((...args: never[]) => unknown)
  | symbol
  | bigint
  | ReadonlyMap<unknown, unknown>
  | ReadonlySet<unknown>
  | WeakMap<object, unknown>
  | WeakSet<object>
  | PromiseLike<unknown>
  | Error
  | RegExp
  | ArrayBuffer
  | ArrayBufferView;

/** T where JSON represents it completely; a part that JSON cannot represent becomes never. */
export type Json<T> = unknown extends T
  ? T
  : T extends string | number | boolean | null | undefined
    ? T
    : T extends Lossy
      ? never
      : T extends { toJSON(...args: never[]): unknown }
        ? T
        : { [K in keyof T]: Json<T[K]> };

/** T where `set` accepts it, else never. */
export type Storable<T> = unknown extends T
  ? T
  : T extends Uint8Array
    ? T
    : T extends undefined
      ? never
      : Json<T>;

/**
 * The keys of a schema. A schema is an interface that maps each key to the type of its value: for a pool the
 * type of its elements, for numbers and semaphores `number`. Without a schema, any key is allowed.
 */
export type KeyOf<Schema> = Extract<keyof Schema, string>;
/** The type of a key's value, or T if the caller names it. T is never inferred from the call's context. */
export type ValueOf<Schema, K, T = never> = [T] extends [never]
  ? K extends keyof Schema
    ? Schema[K]
    : never
  : [T][T extends any ? 0 : never];
type NamesIn<Schema, Name extends string> = unknown extends Schema
  ? Schema
  : { [K in keyof Schema as K extends `${Name}:${infer Rest}` ? Rest : never]: Schema[K] };
/** The last parameters of `set` and `touch`; a TTL is required when the client has no defaultTtl. */
type TtlRest<DefaultTtl, Options> = [DefaultTtl] extends [null]
  ? | [ttl: Ttl, options?: Options]
    | [ttl: null | undefined, options: Options & { ttl: Ttl }]
    | [options: Options & { ttl: Ttl }]
  : [ttl?: Ttl | null, options?: Options] | [options: Options];

/** Milliseconds, or text with a unit: `'250ms'`, `'60s'`, `'1.5m'`, `'1h'`, `'7d'`. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`;

/** A lifetime: a duration greater than 0, or Infinity, which means until the broker ends. */
export type Ttl = Duration;

export interface CallOptions {
  /** Timeout of this call, including the time to connect. Default: the client's `timeout`. */
  timeout?: Duration;
}

export interface GetOptions<D = unknown> extends CallOptions {
  /** Resolves to this when the key does not exist, instead of rejecting with `not_found`. */
  default?: D;
}

export interface SetOptions extends CallOptions {
  /** Milliseconds, > 0. Default: the client's `defaultTtl`. */
  ttl?: Ttl;
  /** Writes only if the key does not exist, else rejects with `conflict`. */
  ifAbsent?: boolean;
  /** Writes only if the key has this version (from `getEntry`), else rejects with `conflict`. */
  ifVersion?: number;
  /**
   * Writes only while the lease with this token (`Lease.token`, of any key) is held, else rejects with
   * `fenced`. A worker that was suspended while its lease ended can't overwrite its successor's value.
   */
  fence?: number;
}

export interface TouchOptions extends CallOptions {
  /** The new TTL: milliseconds, > 0, or text with a unit. */
  ttl?: Ttl;
}

export interface IncrOptions extends CallOptions {
  /** Milliseconds, > 0, for a counter that this call creates. An existing counter keeps its TTL. */
  ttl?: Ttl;
}

export interface Entry<T = any> {
  value: T;
  /** For `ifVersion`. Every write to the broker, to any key, increases it. */
  version: number;
  /** Milliseconds until it expires. */
  ttl: number;
}

/** A counter after `incrEntry`. */
export interface Counter {
  value: number;
  /** Milliseconds until it expires. */
  ttl: number;
}

export interface ListEntry {
  key: string;
  /** Milliseconds until it expires. */
  ttl: number;
  version: number;
  /** Size of the stored value in bytes, after compression if any. */
  size: number;
}

/** Options of calls that can wait. */
export interface WaitOptions extends CallOptions {
  /**
   * Cancels the call: it rejects with the signal's reason at once and loses its place in the queue. A lease
   * that the broker granted in the meantime is released.
   */
  signal?: AbortSignal;
  /** When to warn about a long wait; 0 or Infinity: never. Default: the client's `waitNoticeMs`. */
  waitNoticeMs?: Duration;
}

export interface LeaseOptions extends WaitOptions {
  /** The worker that holds the lease, 1 to 256 bytes. Default: the client's `workerId`. */
  workerId?: string;
  /**
   * Milliseconds, > 0, after which the lease ends unless `renew` extends it. Default: no TTL, and native
   * code renews the lease; with `detached`, 30 minutes.
   */
  ttl?: Ttl;
  /**
   * Milliseconds to wait in the queue when nothing is free, then rejects with `wait_timeout`. 0 (the
   * default) doesn't wait and rejects with `lease_held`; Infinity waits without a limit.
   */
  waitMs?: Duration;
  /**
   * Ties the lease to the worker id only: it outlives this connection, and ends by release or TTL.
   * Default false.
   */
  detached?: boolean;
}

export interface RenewOptions extends CallOptions {
  /** Renews only leases of this key. Default: all leases of the worker. */
  key?: string;
  /** New TTL in milliseconds from now, > 0, also for leases without a TTL. Default: each lease's own. */
  ttl?: Ttl;
  /** Renews the worker's detached leases instead of those of this connection. Default false. */
  detached?: boolean;
}

export interface Renewal {
  /** How many leases were renewed. */
  renewed: number;
  /** The leases that the worker lost since the last report. A lost lease never comes back. */
  lost: { key: string; token: number }[];
}

export interface ReleaseOptions extends CallOptions {
  /**
   * Also releases leases of other connections: all leases of the worker id, or, without a worker id, all
   * leases of the key. For a launcher that saw a worker die. Default false.
   */
  force?: boolean;
  /** Removes the released elements from their pool, for example a broken account. Default false. */
  discard?: boolean;
  /** Releases the worker's detached leases instead of those of this connection. Default false. */
  detached?: boolean;
}

export interface AcquireOptions extends WaitOptions {
  /** The worker that holds the lease, 1 to 256 bytes. Default: the client's `workerId`. */
  workerId?: string;
  /**
   * Milliseconds; default 60,000. Native code renews the lease every third of it, even while this thread
   * is busy.
   */
  ttl?: Ttl;
  /**
   * Milliseconds to wait in the queue when nothing is free, then rejects with `wait_timeout`. 0 doesn't
   * wait and rejects with `lease_held`. Default Infinity: no limit.
   */
  waitMs?: Duration;
  /** `'number'` leases the lowest free number of a key without a definition, like `number()`. */
  kind?: 'number';
  /**
   * Leases this many elements at once, 1 to 10,000; `value` is then an array. The call waits until all of
   * them are free, and no request behind it in the queue overtakes it. Rejects with `conflict` when the key
   * has fewer.
   */
  count?: number;
}

/** Options of `pool` and `limit`. */
export interface DefineOptions extends CallOptions {
  /**
   * Replaces a different definition: elements of the old one that are free are removed at once, held ones
   * when their lease ends. Elements in both stay. Default false: a different definition is a `conflict`.
   */
  replace?: boolean;
  /** Keeps a different definition as it is and resolves false. Default false. */
  ifAbsent?: boolean;
}

/** The kind of a key, and how much of it is free. */
export type Description =
  | {
      kind: 'pool' | 'semaphore';
      /** Number of elements or permits. */
      size: number;
      /** Number of elements or permits that are not held. */
      free: number;
      /** Number of requests in the queue. */
      waiting: number;
    }
  | {
      kind: 'value';
      /** 0 while the value is leased, else 1. */
      free: number;
      /** Number of requests that wait to lease it. */
      waiting: number;
    }
  /** The key has no definition, and numbers of it are held. */
  | { kind: 'numbers' };

/** Options of `number`. There is always a free number, so it never waits. */
export type NumberOptions = Omit<AcquireOptions, 'kind' | 'waitMs'>;

export interface LockOptions extends Omit<AcquireOptions, 'kind'> {
  /** `exclusive` (default): one holder; `shared`: any number of holders that also ask for `shared`. */
  mode?: 'exclusive' | 'shared';
}

/**
 * A held lease, until `release()`. Native code renews it every third of its TTL, so a blocked event loop or a
 * pause in a debugger does not lose it. It never keeps the process alive, and it ends when the process ends,
 * for any reason.
 */
export interface Lease<T = any> {
  /** The key as the caller passed it, without the namespace. */
  readonly key: string;
  /** The leased element, value or number; undefined for a lock. */
  readonly value: T;
  /** For `set(..., { fence })`. Each lease that the broker grants has a greater token than the one before. */
  readonly token: number;
  readonly workerId: string;
  /** When the lease would end without another renewal, in milliseconds since 1970 (as `Date.now()`). */
  readonly expiresAt: number;
  /**
   * Aborts when the lease is lost. The reason is a BrokerError: `lease_lost` (this process was suspended for
   * longer than the TTL, or the lease was released by force) or `broker_gone`. `release()` does not abort it.
   * Listeners run in the async context (AsyncLocalStorage) in which `signal` was first read.
   */
  readonly signal: AbortSignal;
  /** Whether the lease was lost. */
  readonly lost: boolean;
  /** Renews the lease now, for its TTL. Rejects with `lease_lost`. Rarely needed. */
  renew(options?: CallOptions): Promise<void>;
  /**
   * Releases the lease; the next request in the queue gets it. `discard: true` removes its elements from
   * the pool instead, and a list of elements removes only those. Resolves whether there was something to
   * release. Further calls are harmless.
   */
  release(options?: { discard?: boolean | readonly Value[]; timeout?: Duration }): Promise<boolean>;
  /** Like `release()`, but does not fail when the broker is gone, since the lease ended with it. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The leases of `acquireAll`, in the order of its keys. */
export interface Leases<T = any> extends Array<Lease<T>> {
  /** Releases all leases. Resolves to how many were still held. */
  release(options?: { discard?: boolean; timeout?: Duration }): Promise<number>;
  [Symbol.asyncDispose](): Promise<void>;
}

interface LeaseInfoBase {
  key: string;
  /** What is leased: a number, a permit, an element, the value, a lock, or a `getOrSet` computation. */
  kind: 'numbers' | 'semaphore' | 'pool' | 'value' | 'lock' | 'compute';
  workerId: string;
  /** True for a shared lock. */
  shared: boolean;
  /** How many elements, permits or numbers are held or requested. */
  count: number;
  /** The session that the lease ends with; null for a detached lease. */
  session: number | null;
  /** The process that holds it; null when unknown: a detached lease, or a client that uses JSON lines. */
  pid: number | null;
  /** When it was granted or began to wait, in milliseconds since 1970 (as `Date.now()`). */
  since: number;
}

/** A granted lease. */
export interface HeldLease extends LeaseInfoBase {
  state: 'held';
  token: number;
  /** Milliseconds until it ends unless renewed; Infinity: never. */
  ttl: number;
  waitMs?: undefined;
}

/** A request that waits in the queue. */
export interface WaitingLease extends LeaseInfoBase {
  state: 'waiting';
  token: null;
  /** Milliseconds until the request times out; Infinity: never. */
  waitMs: number;
  ttl?: undefined;
}

export type LeaseInfo = HeldLease | WaitingLease;

export interface GetOrSetOptions extends WaitOptions {
  /**
   * Milliseconds that one worker may compute. After that the next caller computes, and the broker refuses
   * the late value of the first. Default 60,000.
   */
  computeTtlMs?: Duration;
  /**
   * When the value expires in less than this many milliseconds, the next caller computes a new value while
   * all others still get the old one. Default: no refresh before the value expires.
   */
  refreshAheadMs?: Duration;
  /** Milliseconds to wait for another worker's value, then rejects with `wait_timeout`. Default Infinity. */
  waitMs?: Duration;
}

export interface WaitForOptions extends WaitOptions {
  /** Milliseconds to wait, then rejects with `wait_timeout`; 0 only checks. Default Infinity. */
  timeoutMs?: Duration;
}

/** A change of a key. `overflow` means that events were dropped here: read the watched keys again. */
export type WatchEvent =
  | {
      type: 'set' | 'del' | 'expire' | 'evict';
      key: string;
      /** The new version after `set`, else the version of the removed value. */
      version: number;
    }
  | { type: 'overflow'; key?: undefined; version?: undefined };

/**
 * The events of `watch()`, for `for await`. It ends with `close()`, when the loop is left, or with an
 * error. It keeps the process alive only while a call of `next()` waits for an event.
 */
export interface Watch extends AsyncIterableIterator<WatchEvent> {
  /** Resolves when the broker has started the watch: every later change causes an event. */
  readonly ready: Promise<void>;
  /** Ends the watch; pending calls of `next()` resolve with `done: true`. */
  close(): void;
  next(): Promise<IteratorResult<WatchEvent, undefined>>;
  return(): Promise<IteratorResult<WatchEvent, undefined>>;
  [Symbol.asyncIterator](): Watch;
}

export interface ThrottleOptions extends WaitOptions {
  /** Units per period, 1 to 1,000,000. */
  limit: number;
  /** Length of the period in milliseconds. */
  periodMs: Duration;
  /** Units that can be taken at once after a pause, 1 to 1,000,000. Default: `limit`. */
  burst?: number;
  /** Units that this call takes, at most `burst` (else `invalid_request`); 0 only checks. Default 1. */
  cost?: number;
  /**
   * Milliseconds to wait for the units, in order of arrival across all processes. Rejects with
   * `wait_timeout` at once when they cannot become free in time. Default 0: doesn't wait, and may resolve
   * `allowed: false`.
   */
  waitMs?: Duration;
}

export interface Throttled {
  /** Whether the units were taken. */
  allowed: boolean;
  /** Units that can be taken at once now. */
  remaining: number;
  /** Milliseconds until the same call would be allowed, after all queued calls; 0 when this call was. */
  retryAfterMs: number;
  /** Milliseconds until all of `burst` can be taken at once again. */
  resetAfterMs: number;
}

/** Statistics of the broker. Sizes in bytes, times in milliseconds. */
export interface Stats {
  items: number;
  leases: number;
  /** Bytes used by everything stored. */
  memory: number;
  /** Milliseconds since the broker started. */
  uptime: number;
  waiting: number;
  watchers: number;
  maxItems: number;
  maxMemory: number;
  reservedMemory: number;
  tableMemory: number;
  /** The part of `reservedMemory` that never reaches swap. */
  lockedMemory: number;
  /** The part of `lockedMemory` that neither root nor a debugger can read. 0: the kernel has no secret memory. */
  secretMemory: number;
  /** 1 when some memory could not be locked. */
  mlockFailed: number;
  connections: number;
  connectionsTotal: number;
  connectionsRefused: number;
  authFailures: number;
  requests: number;
  errors: number;
  hits: number;
  misses: number;
  expired: number;
  evicted: number;
  poolElements: number;
  leasesGranted: number;
  leasesExpired: number;
  leasesLost: number;
  throttles: number;
  bytesIn: number;
  bytesOut: number;
  draining: number;
}

export interface Health {
  /** `warning` from 90 % of maxItems or maxMemory, `degraded` at 100 % or during shutdown. */
  status: 'healthy' | 'warning' | 'degraded';
  items: number;
  maxItems: number;
  memory: number;
  maxMemory: number;
  /** The greater of items / maxItems and memory / maxMemory, 0 to 1. */
  utilization: number;
  uptime: number;
  draining: boolean;
  /** Milliseconds since 1970. */
  timestamp: number;
  capacity: {
    items: number;
    maxItems: number;
    utilization: number;
    nearCapacity: boolean;
    atCapacity: boolean;
    warning: 'near_capacity' | 'at_capacity' | null;
  };
  connections: { open: number; inFlight: number; draining: boolean };
}

/** Each option can also come from the environment: `CLIENT_TIMEOUT` and so on. */
export interface ClientOptions {
  /** Timeout of every call, including the time to connect. Milliseconds; default 5,000. */
  timeout?: Duration;
  /**
   * A call that waits for this long emits a warning (`process.emitWarning`, code `EPB_WAIT`) that names the
   * holders of the key and since when they hold it. The warning repeats after 6 and 24 times as long.
   * Milliseconds; default 5,000; 0 or Infinity: never.
   */
  waitNoticeMs?: Duration;
  /**
   * Timeout of connecting, including the authentication; calls then reject with `broker_gone`.
   * Milliseconds; default 0: only `timeout` applies. Before the first connection, the client gives up
   * within 100 ms on a pipe that does not exist or refuses. After it, calls wait up to `connectTimeout` for
   * the next broker at the same path.
   */
  connectTimeout?: Duration;
  /** TTL of writes without one. Milliseconds; default 0: none, each write passes its own. */
  defaultTtl?: Ttl;
  /**
   * The worker that holds this client's leases, 1 to 256 bytes. Default: `CLIENT_WORKER_ID`, `WORKER_ID`,
   * `WDIO_WORKER_ID`, `TEST_PARALLEL_INDEX`, `VITEST_POOL_ID`, `JEST_WORKER_ID`, `MOCHA_WORKER_ID`,
   * `CUCUMBER_WORKER_ID` or `NODE_TEST_WORKER_ID` from the environment, else the process id
   * (`<pid>-<thread id>` in a worker thread).
   */
  workerId?: string;
  /** @deprecated An option of `@ephemeral-broker/core`: ignored with a warning. */
  debug?: boolean;
  /** @deprecated Of `@ephemeral-broker/core`: ignored with a warning. The broker's requireTTL decides. */
  allowNoTtl?: boolean;
  /** Compresses values if this saves a tenth or more: less memory, more time. Default false. */
  compression?: boolean;
  /** Smaller values are not compressed. Bytes; default 1,024. */
  compressionThreshold?: number;
  /**
   * The broker's secret. Default: `EPHEMERAL_SECRET` or `CLIENT_SECRET` from the environment. null means
   * no secret, even if the environment contains one.
   */
  secret?: string | Uint8Array | null;
  /** Alias of `secret`. */
  auth?: string | Uint8Array | null;
}

/**
 * A client of a broker.
 *
 * A schema, an interface of keys and their values, makes TypeScript check both:
 * `new PipeClient<{ user: User; [key: `job:${string}`]: Job }>()`. Without a `defaultTtl`, `set` without a
 * TTL is a type error. With a schema and a `defaultTtl`, name its type:
 * `new PipeClient<Schema, Ttl>(pipe, { defaultTtl: '5m' })`.
 *
 * Clients of one thread with the same pipe and secret share one connection. The first call opens it, and
 * calls after a restart of the broker open it again. It keeps the process alive only while a call waits.
 * It holds the leases, which end with it.
 *
 * Every method rejects with a BrokerError. In addition to the codes in its own description, every method
 * can fail with `timeout`, `broker_gone`, `auth_failed`, `auth_required`, `version_mismatch`, `draining`,
 * `max_connections` and `invalid_request`. Methods with a key can fail with `invalid_key`: a key is a string
 * of 1 to 512 bytes.
 */
export class PipeClient<Schema extends object = any, DefaultTtl extends Ttl | null = null> {
  /**
   * @param pipe Path of the pipe. Default: `EPHEMERAL_PIPE` from the environment.
   * @throws {BrokerError} `broker_gone` without a pipe, `invalid_request` when an option is wrong
   */
  constructor(pipe?: string | null, options?: ClientOptions & { defaultTtl?: DefaultTtl });

  /** Path of the pipe. */
  readonly pipe: string;

  /**
   * Resolves to the value of a key; bytes come as a Buffer. Rejects with `not_found` when the key does not
   * exist or has expired, unless the options contain a `default`.
   */
  get<T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    options?: CallOptions,
  ): Promise<ValueOf<Schema, K, T>>;
  get<T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    options: CallOptions & { default: null },
  ): Promise<ValueOf<Schema, K, T> | null>;
  get<T = never, K extends KeyOf<Schema> = KeyOf<Schema>, D = ValueOf<Schema, K, T>>(
    key: K,
    options: CallOptions & { default: D },
  ): Promise<ValueOf<Schema, K, T> | D>;
  get<T, D>(key: KeyOf<Schema>, options: CallOptions & { default: D }): Promise<T | D>;

  /**
   * Like `get`, but blocks the thread until the reply arrives: for configuration files that can't await.
   * Throws the errors that `get` rejects with.
   */
  getSync<T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    options?: CallOptions,
  ): ValueOf<Schema, K, T>;
  getSync<T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    options: CallOptions & { default: null },
  ): ValueOf<Schema, K, T> | null;
  getSync<T = never, K extends KeyOf<Schema> = KeyOf<Schema>, D = ValueOf<Schema, K, T>>(
    key: K,
    options: CallOptions & { default: D },
  ): ValueOf<Schema, K, T> | D;
  getSync<T, D>(key: KeyOf<Schema>, options: CallOptions & { default: D }): T | D;

  /** Resolves to the value, version and remaining lifetime of a key. Rejects with `not_found`. */
  getEntry<T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    options?: CallOptions,
  ): Promise<Entry<ValueOf<Schema, K, T>>>;

  /**
   * Stores any JSON value, or bytes, until the TTL (milliseconds) has passed. Resolves true.
   *
   * Rejects with `ttl_required`, `invalid_ttl`, `invalid_value`, `too_large`, `max_items`, `max_memory`,
   * `conflict`, `fenced`, `kind_mismatch` (the key is a pool or a semaphore, or its numbers are held).
   */
  set<K extends KeyOf<Schema>, V extends ValueOf<Schema, K>>(
    key: K,
    value: V & Storable<V>,
    ...rest: TtlRest<DefaultTtl, SetOptions>
  ): Promise<true>;

  /**
   * Deletes a value, or the definition of a pool or semaphore. Resolves whether the key existed. Rejects
   * with `lease_held` while a pool or semaphore has leases or waiting requests.
   */
  del(key: KeyOf<Schema>, options?: CallOptions): Promise<boolean>;

  /** Resolves whether the key exists. */
  has(key: KeyOf<Schema>, options?: CallOptions): Promise<boolean>;

  /** Resolves to the milliseconds until the key expires. Rejects with `not_found`. */
  ttl(key: KeyOf<Schema>, options?: CallOptions): Promise<number>;

  /**
   * Gives a value another TTL (milliseconds), which starts now; the value and its version stay. Resolves
   * whether there was a value.
   *
   * Rejects with `ttl_required`, `invalid_ttl`, `kind_mismatch` (the key is a pool or a semaphore).
   */
  touch(key: KeyOf<Schema>, ...rest: TtlRest<DefaultTtl, TouchOptions>): Promise<boolean>;

  /**
   * Adds to a counter, atomically across all processes, and resolves to its new value. A counter that does
   * not exist starts at 0 and gets the TTL (milliseconds).
   *
   * Rejects with `not_a_number`, `ttl_required`, `invalid_ttl`, `kind_mismatch`.
   */
  incr(key: KeyOf<Schema>, by?: number, ttl?: Ttl | null, options?: IncrOptions): Promise<number>;
  incr(key: KeyOf<Schema>, by: number | undefined, options: IncrOptions): Promise<number>;

  /** Like `incr`, and resolves also to the milliseconds until the counter expires: one request for a window. */
  incrEntry(
    key: KeyOf<Schema>,
    by?: number,
    ttl?: Ttl | null,
    options?: IncrOptions,
  ): Promise<Counter>;
  incrEntry(key: KeyOf<Schema>, by: number | undefined, options: IncrOptions): Promise<Counter>;

  /** Resolves to the stored keys that start with the prefix, sorted, never their values. */
  list(prefix?: string, options?: CallOptions): Promise<ListEntry[]>;

  /**
   * Leases a key and resolves to what the worker got: an element of a pool, the stored value, the number of
   * a permit, or, for a key without a definition, the lowest free number from 0 (a worker number, a port
   * offset). A second call by the same worker renews its lease and resolves to the same.
   *
   * The lease lasts until `release` or until this process ends, and native code renews it. With a TTL, the
   * lease lasts for that time, and `renew` extends it.
   *
   * Rejects with `lease_held`, `wait_timeout`, `kind_mismatch`, `invalid_ttl`, `max_waiters`, `max_memory`,
   * `not_found` (the value was removed while the call waited), `worker_already_has_lease` (the broker has
   * the option `singleLease`).
   */
  lease<T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    options?: LeaseOptions,
  ): Promise<ValueOf<Schema, K, T>>;
  lease<T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    workerId: string | null | undefined,
    ttl?: Ttl | null,
    options?: LeaseOptions,
  ): Promise<ValueOf<Schema, K, T>>;
  lease<T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    workerId: string | null | undefined,
    options: LeaseOptions,
  ): Promise<ValueOf<Schema, K, T>>;

  /**
   * Like `lease`, but blocks the thread, also while it waits. Throws the errors that `lease` rejects with.
   */
  leaseSync<T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    options?: Omit<LeaseOptions, 'signal'>,
  ): ValueOf<Schema, K, T>;
  leaseSync<T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    workerId: string | null | undefined,
    ttl?: Ttl | null,
    options?: Omit<LeaseOptions, 'signal'>,
  ): ValueOf<Schema, K, T>;
  leaseSync<T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    workerId: string | null | undefined,
    options: Omit<LeaseOptions, 'signal'>,
  ): ValueOf<Schema, K, T>;

  /** Restarts the TTL of all leases of a worker (default: the client's `workerId`). */
  renew(workerId?: string | null, options?: RenewOptions): Promise<Renewal>;
  renew(options: RenewOptions): Promise<Renewal>;

  /**
   * Releases all leases of a worker (default: the client's `workerId`), or those of one key. Resolves
   * whether there were any. Without a key it includes leases of other namespaces and leases from `acquire`.
   *
   * Rejects with `lease_held` when another connection holds them: only that connection can release them,
   * unless the options contain `force`.
   */
  release(
    workerId?: string | null,
    key?: string | null,
    options?: ReleaseOptions,
  ): Promise<boolean>;

  /**
   * Leases an element of a pool, a permit of a semaphore, or a value. Resolves to a handle that renews
   * itself and reports when the lease is lost. Waits without a limit unless `waitMs` sets one. Every call is
   * a separate lease, even by the same worker.
   *
   * Rejects with `not_found` for a key without a definition; the message names similar keys.
   */
  acquire(
    key: string,
    options: AcquireOptions & { kind: 'number'; count: number },
  ): Promise<Lease<number[]>>;
  acquire(key: string, options: AcquireOptions & { kind: 'number' }): Promise<Lease<number>>;
  acquire<T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    options: AcquireOptions & { count: number },
  ): Promise<Lease<ValueOf<Schema, K, T>[]>>;
  acquire<T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    options?: AcquireOptions,
  ): Promise<Lease<ValueOf<Schema, K, T>>>;

  /**
   * Leases the lowest free number from 0, as a handle: a port offset, a database shard. The key needs no
   * definition. Rejects with `kind_mismatch` when the key is a pool, a semaphore or a value.
   */
  number(key: string, options: NumberOptions & { count: number }): Promise<Lease<number[]>>;
  number(key: string, options?: NumberOptions): Promise<Lease<number>>;

  /**
   * Acquires a lease, runs `fn` with it, always releases it, and resolves to the result of `fn`. Rejects
   * with the error of `fn`, else with `lease_lost` or `broker_gone` when the lease was lost meanwhile.
   */
  withLease<R, T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    fn: (value: ValueOf<Schema, K, T>, lease: Lease<ValueOf<Schema, K, T>>) => R,
  ): Promise<Awaited<R>>;
  withLease<R, T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    options: AcquireOptions | undefined,
    fn: (value: ValueOf<Schema, K, T>, lease: Lease<ValueOf<Schema, K, T>>) => R,
  ): Promise<Awaited<R>>;

  /** `withLease` for a lock. The names of locks are separate from keys. */
  lock<R>(name: string, fn: (lease: Lease<undefined>) => R): Promise<Awaited<R>>;
  lock<R>(
    name: string,
    options: LockOptions | undefined,
    fn: (lease: Lease<undefined>) => R,
  ): Promise<Awaited<R>>;

  /** `acquire` for a lock. */
  acquireLock(name: string, options?: LockOptions): Promise<Lease<undefined>>;

  /**
   * Acquires one lease of every key, or of none: a failure releases the others. All workers take keys in the
   * same order, so they cannot deadlock each other. `waitMs` limits the whole call.
   *
   * A key that appears several times is one lease of that many different elements: each handle has its own
   * value, but they share the token and end together. Rejects with `conflict` when the key has fewer.
   */
  acquireAll<T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    keys: readonly K[],
    options?: Omit<AcquireOptions, 'count'>,
  ): Promise<Leases<ValueOf<Schema, K, T>>>;

  /**
   * Defines a key as a pool of these elements (JSON values or bytes, all different). The element that was
   * released longest ago is leased next.
   *
   * Resolves true, or false when the key already is a pool of the same elements in any order: those of its
   * definition, or those that it has now. A different list is a `conflict`, unless the options contain
   * `replace` or `ifAbsent`. Rejects with `invalid_value`, `kind_mismatch`, `max_memory`.
   */
  pool<K extends KeyOf<Schema>>(
    key: K,
    values: readonly ValueOf<Schema, K>[],
    options?: DefineOptions,
  ): Promise<boolean>;

  /**
   * Adds elements to a pool, or creates the pool. Resolves to how many elements it has now. Rejects with
   * `conflict` when the pool already has one of them, `invalid_value`, `kind_mismatch`, `max_memory`.
   */
  poolAdd<K extends KeyOf<Schema>>(
    key: K,
    values: readonly ValueOf<Schema, K>[],
    options?: CallOptions,
  ): Promise<number>;

  /**
   * Defines a key as a semaphore of n permits, 1 to 1,000,000. Resolves true, or false when it already is a
   * semaphore of n permits. A different n is a `conflict`, unless the options contain `replace` or
   * `ifAbsent`. After a `replace`, no permit is granted while more than n are held. Rejects with
   * `kind_mismatch`, `max_memory`.
   */
  limit(key: string, n: number, options?: DefineOptions): Promise<boolean>;

  /**
   * Removes an element from a pool; a held element is removed when its lease ends. Resolves true. Rejects
   * with `not_found` when there is no such pool or element, or it was discarded before.
   *
   * The broker compares the stored text, so the keys of an object must have the same order as in the pool.
   * `lease.release({ discard: [element] })` has no such restriction.
   */
  discard<K extends KeyOf<Schema>>(
    key: K,
    value: ValueOf<Schema, K>,
    options?: CallOptions,
  ): Promise<true>;

  /**
   * Deletes all values, pools, semaphores and rate limits whose keys start with the prefix. Resolves to how
   * many were deleted (`cleared`), and how many remain because of leases or waiting requests (`held`).
   */
  clear(prefix?: string, options?: CallOptions): Promise<{ cleared: number; held: number }>;

  /** Resolves to the kind of a key: a pool, a semaphore, a value, or held numbers; null if none of them. */
  describe(key: string, options?: CallOptions): Promise<Description | null>;

  /** Resolves to the leases and waiting requests of keys that start with the prefix, sorted by key. */
  leases(prefix?: string, options?: CallOptions): Promise<LeaseInfo[]>;

  /**
   * Resolves to the value of a key. If there is none, `fn` computes it, and the client stores it for the TTL
   * (milliseconds). All callers get the value as stored. `undefined` is stored, too, so a set-up function
   * without a result runs once.
   *
   * One caller across all processes computes while the others wait for its value. When that caller dies, is
   * aborted, or takes longer than `computeTtlMs`, the next one computes. When `fn` fails, its caller gets the
   * thrown error, and the waiting callers get `compute_failed` with an Error of the same message as `cause`.
   *
   * Rejects also with `wait_timeout` and the errors of `set`.
   */
  getOrSet<T extends ValueOf<Schema, K>, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    ttl: Ttl | null | undefined,
    fn: () => T | Promise<T>,
    options?: GetOrSetOptions,
  ): Promise<T>;

  /** Resolves to the value of a key as soon as it has one. Rejects with `wait_timeout`, `max_waiters`. */
  waitFor<T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    options?: WaitForOptions,
  ): Promise<ValueOf<Schema, K, T>>;

  /**
   * Watches keys that start with the prefix (default: all keys). Events begin when `ready` resolves. A slow
   * reader misses events and gets an `overflow` event in their place. Rejects with `max_waiters`,
   * `broker_gone`.
   */
  watch(prefix?: string, options?: WaitOptions): Watch;

  /**
   * Waits until n callers (1 to 100,000) have arrived. Resolves to this caller's order of arrival, 0 to
   * n - 1. The next n callers form the next round. Rejects with `wait_timeout` (the caller then does not
   * count as arrived), `kind_mismatch` (a different n in the same round), `max_waiters`.
   */
  barrier(name: string, n: number, options?: WaitForOptions): Promise<number>;

  /**
   * Takes units of a rate limit that all processes share. The algorithm is GCRA: units become free evenly,
   * not all at the end of a period. With `waitMs` the call waits for its turn. The names of rate limits are
   * separate from keys. Rejects with `wait_timeout`, `max_waiters`, `invalid_request`.
   */
  throttle(key: string, options: ThrottleOptions): Promise<Throttled>;

  /** Resolves true when the broker replies. */
  ping(options?: CallOptions): Promise<true>;

  /** Like `ping`, but resolves to the round-trip time in milliseconds. */
  pingMs(options?: CallOptions): Promise<number>;

  stats(options?: CallOptions): Promise<Stats>;

  health(options?: CallOptions): Promise<Health>;

  /** Resolves to the metrics in the Prometheus text format. */
  metrics(options?: CallOptions): Promise<string>;

  /**
   * Returns a client that adds `name:` to every key and prefix, and removes it from the keys that it lists.
   * It uses this client's connection and closes with this client.
   */
  namespace<Name extends string>(name: Name): PipeClient<NamesIn<Schema, Name>, DefaultTtl>;

  /**
   * Waits for outstanding replies, releases all leases, then closes. Later calls reject with
   * `invalid_request`.
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Resolves whether a broker replies within the timeout (default 2 s) and has capacity left. For readiness
 * probes. Never rejects.
 */
export function checkReadiness(pipe?: string | null, timeout?: Duration): Promise<boolean>;

/** Alias of PipeClient. */
export { PipeClient as Client };

/** One log record. It never contains a value or a secret. */
export interface LogRecord {
  level: 'debug' | 'info' | 'warn' | 'error';
  event: string;
  [name: string]: unknown;
}

/**
 * Sizes in bytes, times in milliseconds. Each option except `log` and `exportEnv` can also come from the
 * environment: `BROKER_MAX_ITEMS` and so on.
 */
export interface BrokerOptions {
  /**
   * The broker serves only clients with the same secret. `'auto'` generates a secret of 256 random bits.
   * Default: `EPHEMERAL_SECRET` or `BROKER_SECRET` from the environment. null means no secret.
   */
  secret?: 'auto' | (string & {}) | Uint8Array | null;
  /** Alias of `secret`. */
  auth?: string | Uint8Array | null;
  /** A fixed name, `broker-<pipeId>.sock`, instead of a random one. */
  pipeId?: string | null;
  /** Largest request; default 1 MiB. */
  maxRequestSize?: number;
  /** Largest value, before compression; default 256 KiB; 0: limited by maxRequestSize only. */
  maxValueSize?: number;
  /** Most items; default 10,000; 0: no limit. */
  maxItems?: number;
  /** Most memory for everything stored; default 256 MiB; 0: no limit. */
  maxMemory?: number;
  /**
   * Most connections, not counting the one with which each process renews leases; default 1,024; 0: no limit.
   */
  maxConnections?: number;
  /** Most requests that wait at the same time, including watches; default 10,000; 0: no limit. */
  maxWaiters?: number;
  /** Each worker can hold only one lease, of one key, at a time; default false. */
  singleLease?: boolean;
  /** When full, refuse the write (`'none'`, the default) or remove the least recently used item (`'lru'`). */
  eviction?: 'none' | 'lru';
  /** Refuse writes without a TTL; default true. */
  requireTTL?: boolean;
  /** TTL of writes without one, when requireTTL is off; default 30 minutes. */
  defaultTTL?: Ttl;
  /** A read restarts the item's TTL; default false. */
  refreshTTLOnGet?: boolean;
  /** Longest time between two sweeps; default 30 seconds. */
  sweeperInterval?: Duration;
  /** Stop after this long without a connection or a request; default 0: never. */
  idleTimeout?: Duration;
  /** Log the statistics this often; default 0: off. */
  heartbeatInterval?: Duration;
  /** Refuse to start when memory cannot be locked; default false. */
  requireMlock?: boolean;
  /** With a secret, also serve signed JSON lines; default false. */
  legacyHmac?: boolean;
  /** No core dumps and no tracing of the whole process; default false. */
  hardenProcess?: boolean;
  /** Log every request to stderr as JSON lines; default false. */
  debug?: boolean;
  /**
   * start() sets EPHEMERAL_PIPE, EPHEMERAL_SECRET and EPHEMERAL_BROKER_PID in process.env, and stop()
   * restores the previous values; default true.
   */
  exportEnv?: boolean;
  /** Called with each log record instead of writing to stderr, in the async context of `new Broker`. */
  log?: ((record: LogRecord) => void) | null;
  /** @deprecated An option of `@ephemeral-broker/core`: ignored with a warning. Clients compress. */
  compression?: boolean;
  /** @deprecated An option of `@ephemeral-broker/core`: ignored with a warning. Clients compress. */
  compressionThreshold?: number;
  /** @deprecated An option of `@ephemeral-broker/core`: `'debug'` means `debug: true`, others are ignored. */
  logLevel?: string;
  /** @deprecated An option of `@ephemeral-broker/core`: ignored with a warning. The log is always JSON. */
  structuredLogging?: boolean;
  /** @deprecated An option of `@ephemeral-broker/core`: ignored with a warning. Metrics are always on. */
  metrics?: boolean;
}

/**
 * A broker in this process. It runs in a separate thread and never ends the process. While it runs it keeps
 * the process alive, unless `unref()` was called.
 *
 * When the process exits, the broker wipes its memory and removes its pipe. A signal without a listener ends
 * the process as it would without a broker: the pipe's name is removed first, and the memory is freed with
 * the process.
 */
export class Broker {
  /** @throws {BrokerError} `invalid_request` when an option is wrong */
  constructor(options?: BrokerOptions);

  /** Path of the pipe while the broker runs, else null. */
  readonly pipe: string | null;
  /** The secret, including one generated by `'auto'`; null without a secret. */
  readonly secret: string | Uint8Array | null;

  /**
   * Starts the broker. Resolves to the path of the pipe, also exported as `EPHEMERAL_PIPE`. Rejects with
   * `conflict` when another broker uses the `pipeId`, and with `invalid_request` when this broker was
   * started before.
   */
  start(): Promise<string>;
  /** Like `start`, but synchronous: throws the errors that `start` rejects with. */
  startSync(): string;

  /**
   * Lets requests in flight finish, for at most `drainMs` milliseconds (default 2,000), then wipes the
   * memory and removes the pipe. Further calls are harmless.
   */
  stop(options?: { drainMs?: Duration }): Promise<void>;
  /** Stops at once, without waiting for requests in flight. For use while the process exits. */
  stopSync(): void;

  /** The environment variables with which a child process finds this broker. */
  env(): Record<string, string>;
  /** `child_process.spawn` with the variables of `env()` added. */
  spawn(command: string, args?: readonly string[], options?: SpawnOptions): ChildProcess;
  /** A client of this broker. */
  client<Schema extends object = any, DefaultTtl extends Ttl | null = null>(
    options?: Omit<ClientOptions, 'secret' | 'auth'> & { defaultTtl?: DefaultTtl },
  ): PipeClient<Schema, DefaultTtl>;
  /** Like `PipeClient.stats()`. */
  stats(): Promise<Stats>;

  /** Lets the running broker keep the process alive, which is the default. */
  ref(): this;
  /** Lets the process exit while the broker runs. */
  unref(): this;

  [Symbol.asyncDispose](): Promise<void>;
}

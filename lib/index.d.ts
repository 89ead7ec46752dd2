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
  | 'internal'
  | 'compute_failed'
  | 'worker_already_has_lease'
  | 'deadlock';

/** A holder of what a call wanted. */
export interface Holder {
  /** As the broker knows it: with its namespace. */
  key: string;
  kind: LeaseInfo['kind'];
  workerId: string;
  /** null: not known, as of what is detached or of JSON lines. */
  pid: number | null;
  session: number | null;
  /** A lock that others may share. */
  shared: boolean;
  token: number | null;
  /** When it was granted: milliseconds, as `Date.now()` counts. */
  since: number;
  heldMs: number;
}

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
  /**
   * Of `lease_held` and `wait_timeout`: who holds it, the first 8. Of `deadlock`: the cycle; the first
   * is what the refused call's own flow holds, each waits for what the next one holds, the last one for
   * what the first one holds.
   */
  readonly holders?: readonly Holder[];
  /** Of `wait_timeout`: its place in the queue when it gave up, from 1, if that is known. */
  readonly place?: number;
  /** Of `lease_held` and `wait_timeout`: how many wait. */
  readonly waiting?: number;
}

/**
 * What `set` takes: bytes (a Buffer or Uint8Array), or any JSON value. What JSON would lose is refused
 * with its path, at any depth: a Map, a Set, a promise, NaN, undefined in an array, a function, bytes or
 * an Error inside an object, an object of a class without `toJSON`, what contains itself. JSON's way are a
 * Date (it comes back as its text) and whatever has a `toJSON`, which has to give JSON. A property that is
 * undefined, not enumerable, or has a symbol as its key is left out (an object whose only keys are symbols
 * is refused), and so is what an array has besides its elements.
 */
export type Value = unknown;

/** What JSON has nothing for, or only a part of. */
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

/** T itself where JSON tells it by whole; else never, at the place that it does not tell. */
export type Json<T> = unknown extends T
  ? T
  : T extends string | number | boolean | null | undefined
    ? T
    : T extends Lossy
      ? never
      : T extends { toJSON(...args: never[]): unknown }
        ? T
        : { [K in keyof T]: Json<T[K]> };

/** T itself where `set` takes it. */
export type Storable<T> = unknown extends T
  ? T
  : T extends Uint8Array
    ? T
    : T extends undefined
      ? never
      : Json<T>;

/**
 * The keys of a schema, an interface that has for each key the type of its value; of a pool, that of its
 * elements, and of a key whose numbers or permits are leased, number. Without a schema: any.
 */
export type KeyOf<Schema> = Extract<keyof Schema, string>;
/** What is stored under a key, unless the caller says T (which is not inferred from what it is put into). */
export type ValueOf<Schema, K, T = never> = [T] extends [never]
  ? K extends keyof Schema
    ? Schema[K]
    : never
  : [T][T extends any ? 0 : never];
type NamesIn<Schema, Name extends string> = unknown extends Schema
  ? Schema
  : { [K in keyof Schema as K extends `${Name}:${infer Rest}` ? Rest : never]: Schema[K] };
/** What follows the value in `set`: without a defaultTtl, a TTL is among it. */
type SetRest<DefaultTtl> = [DefaultTtl] extends [null]
  ? | [ttl: Ttl, options?: SetOptions]
    | [ttl: null | undefined, options: SetOptions & { ttl: Ttl }]
    | [options: SetOptions & { ttl: Ttl }]
  : [ttl?: Ttl | null, options?: SetOptions] | [options: SetOptions];

/** Milliseconds, or text with a unit: `'250ms'`, `'60s'`, `'1.5m'`, `'1h'`, `'7d'`. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`;

/** How long something lives: a duration greater than 0, or Infinity: as long as the broker. */
export type Ttl = Duration;

export interface CallOptions {
  /** For this call, connecting included; default: the client's `timeout`. */
  timeout?: Duration;
}

export interface GetOptions<D = unknown> extends CallOptions {
  /** What to resolve when the key does not exist, instead of rejecting with `not_found`. */
  default?: D;
}

export interface SetOptions extends CallOptions {
  /** Milliseconds, > 0; default: the client's `defaultTtl`. */
  ttl?: Ttl;
  /** Only when the key does not exist; else `conflict`. */
  ifAbsent?: boolean;
  /** Only when the key has this version (from `getEntry`); else `conflict`. */
  ifVersion?: number;
  /**
   * Only while the lease of this token (`Lease.token`, of whatever key) has not ended; else `fenced`.
   * A worker that was asleep when its lease ended can't overwrite what its successor wrote.
   */
  fence?: number;
}

export interface IncrOptions extends CallOptions {
  /** Milliseconds, > 0, for the counter that this call creates; one that exists keeps its TTL. */
  ttl?: Ttl;
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

/** What a call that waits takes. */
export interface WaitOptions extends CallOptions {
  /**
   * Gives up: the call rejects with the signal's reason at once, loses its place in the queue, and
   * what may have been granted at that moment is given back.
   */
  signal?: AbortSignal;
  /** As the client's: when to warn of a wait that takes long; 0 or Infinity: never. */
  waitNoticeMs?: Duration;
}

export interface LeaseOptions extends WaitOptions {
  /** Who holds it: 1 to 256 bytes; default: the client's `workerId`. */
  workerId?: string;
  /**
   * Milliseconds until it ends unless `renew` extends it, > 0. Default: none, native code renews it;
   * with `detached`, 30 minutes.
   */
  ttl?: Ttl;
  /**
   * Milliseconds to wait in the queue when nothing is free, then `wait_timeout`; 0 (the default)
   * doesn't wait: `lease_held`. Infinity waits as long as it takes.
   */
  waitMs?: Duration;
  /**
   * Held in the name of the worker id alone: it does not end with this connection, only by release
   * or TTL. Default false.
   */
  detached?: boolean;
}

export interface RenewOptions extends CallOptions {
  /** Only leases of this key; default: all of the worker. */
  key?: string;
  /** Milliseconds from now, > 0, also for leases that had no TTL; default: each lease's own. */
  ttl?: Ttl;
  /** The worker's detached leases, instead of those of this connection. Default false. */
  detached?: boolean;
}

export interface Renewal {
  /** How many leases were renewed. */
  renewed: number;
  /** What the worker has lost since it was last told; such a lease never comes back. */
  lost: { key: string; token: number }[];
}

export interface ReleaseOptions extends CallOptions {
  /**
   * Also what others hold: everything of the worker id, or, without one, whoever holds the key. For
   * a launcher that saw a worker die. Default false.
   */
  force?: boolean;
  /** The elements leave their pool (a broken account, say). Default false. */
  discard?: boolean;
  /** The worker's detached leases, instead of those of this connection. Default false. */
  detached?: boolean;
}

export interface AcquireOptions extends WaitOptions {
  /** Who holds it: 1 to 256 bytes; default: the client's `workerId`. */
  workerId?: string;
  /** Milliseconds; default 60,000. Renewed every third of it, however busy this thread is. */
  ttl?: Ttl;
  /**
   * Milliseconds to wait in the queue when nothing is free, then `wait_timeout`; 0 doesn't wait:
   * `lease_held`. Default Infinity: as long as it takes.
   */
  waitMs?: Duration;
  /** `'number'`: the lowest free number of a key that nothing is defined for, as `number()`. */
  kind?: 'number';
  /**
   * This many in one lease, 1 to 10,000: `value` is an array. All of them are granted at once, or the
   * call waits; none behind it in the queue overtakes it. `conflict` when there are fewer.
   */
  count?: number;
}

/** What the definition of a pool or a semaphore takes. */
export interface DefineOptions extends CallOptions {
  /**
   * In place of another definition: what is free of that goes at once, what is held when its lease
   * ends; what is in both stays. Default false: another definition is a `conflict`.
   */
  replace?: boolean;
  /** Leaves another definition as it is, and resolves false. Default false. */
  ifAbsent?: boolean;
}

/** What a key is. */
export type Description =
  | {
      kind: 'pool' | 'semaphore';
      /** Its elements, or permits. */
      size: number;
      /** How many of these are not held. */
      free: number;
      /** Requests that wait for it. */
      waiting: number;
    }
  | {
      kind: 'value';
      /** 0 while the value is leased, else 1. */
      free: number;
      /** Requests that wait to lease it. */
      waiting: number;
    }
  /** Nothing is defined, and numbers of it are held. */
  | { kind: 'numbers' };

/** What `number` takes. There is always a free number, so it never waits. */
export type NumberOptions = Omit<AcquireOptions, 'kind' | 'waitMs'>;

export interface LockOptions extends Omit<AcquireOptions, 'kind'> {
  /** `exclusive` (default): alone; `shared`: together with others that share it. */
  mode?: 'exclusive' | 'shared';
}

/**
 * Something held, until `release()`. It is renewed every third of its TTL by native code, so a blocked
 * event loop or a pause in a debugger does not lose it. It never keeps the process alive, and ends
 * with it, however it ends.
 */
export interface Lease<T = any> {
  /** As it was asked for, without the namespace. */
  readonly key: string;
  /** The element, the value or the number that is held; undefined of a lock. */
  readonly value: T;
  /** Grows with every lease of the broker; for `set(..., { fence })`. */
  readonly token: number;
  readonly workerId: string;
  /** When it would end if it were not renewed again: milliseconds, as `Date.now()` counts. */
  readonly expiresAt: number;
  /**
   * Aborts when the lease is lost, with a BrokerError: `lease_lost` (this process stood still for
   * longer than the TTL, or it was released by force) or `broker_gone`. Not by `release()`.
   * Listeners run in the async context (AsyncLocalStorage) in which `signal` was first read.
   */
  readonly signal: AbortSignal;
  /** Whether it was lost. */
  readonly lost: boolean;
  /** Renews it now, for its TTL; `lease_lost`. There is seldom a need to. */
  renew(options?: CallOptions): Promise<void>;
  /**
   * Gives it back; the next in the queue has it. With `discard`, its element leaves the pool instead:
   * of a lease of several, all of them, or those that are named. Resolves whether there was something
   * to release; to call it again is harmless.
   */
  release(options?: { discard?: boolean | readonly Value[]; timeout?: Duration }): Promise<boolean>;
  /** As `release()`; what fails because the broker is gone, which ended the lease too, is no error. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** All of `acquireAll`, in the order of its keys. */
export interface Leases<T = any> extends Array<Lease<T>> {
  /** Releases all of them; resolves how many were still held. */
  release(options?: { discard?: boolean; timeout?: Duration }): Promise<number>;
  [Symbol.asyncDispose](): Promise<void>;
}

interface LeaseInfoBase {
  key: string;
  /** What a lease of it is: a number, a permit, an element, the value, a lock, or a computation. */
  kind: 'numbers' | 'semaphore' | 'pool' | 'value' | 'lock' | 'compute';
  workerId: string;
  /** A lock that others may share. */
  shared: boolean;
  /** How many things are held by it, or waited for. */
  count: number;
  /** The connection it ends with; null: detached. */
  session: number | null;
  /** The process it was granted to; null: not known, as of what is detached or of JSON lines. */
  pid: number | null;
  /** When it was granted, or began to wait: milliseconds, as `Date.now()` counts. */
  since: number;
}

/** A lease that is held. */
export interface HeldLease extends LeaseInfoBase {
  state: 'held';
  token: number;
  /** Milliseconds until it ends unless renewed; Infinity: never. */
  ttl: number;
  waitMs?: undefined;
}

/** A request that waits. */
export interface WaitingLease extends LeaseInfoBase {
  state: 'waiting';
  token: null;
  /** Milliseconds until it gives up; Infinity: never. */
  waitMs: number;
  ttl?: undefined;
}

export type LeaseInfo = HeldLease | WaitingLease;

export interface GetOrSetOptions extends WaitOptions {
  /**
   * Milliseconds that one worker may compute; then another one does, and what the first writes late
   * is refused. Default 60,000.
   */
  computeTtlMs?: Duration;
  /**
   * When the value has less than this left (milliseconds), the next caller computes a new one while
   * all others still get the old one. Default: no refresh before it expires.
   */
  refreshAheadMs?: Duration;
  /** Milliseconds to wait for another worker's value, then `wait_timeout`. Default Infinity. */
  waitMs?: Duration;
}

export interface WaitForOptions extends WaitOptions {
  /** Milliseconds to wait, then `wait_timeout`; 0 only looks. Default Infinity. */
  timeoutMs?: Duration;
}

/** What happened to a key. `overflow` stands where events were left out: look again at what you watch. */
export type WatchEvent =
  | {
      type: 'set' | 'del' | 'expire' | 'evict';
      key: string;
      /** The version that it got, or had. */
      version: number;
    }
  | { type: 'overflow'; key?: undefined; version?: undefined };

/**
 * The events of `watch()`, for `for await`. It ends by `close()`, by leaving the loop, or by an error.
 * It keeps the process alive while somebody waits for its next event.
 */
export interface Watch extends AsyncIterableIterator<WatchEvent> {
  /** Resolves when the broker watches: every later change gives an event. */
  readonly ready: Promise<void>;
  /** Ends it; whoever waits for the next event gets `done`. */
  close(): void;
  next(): Promise<IteratorResult<WatchEvent, undefined>>;
  return(): Promise<IteratorResult<WatchEvent, undefined>>;
  [Symbol.asyncIterator](): Watch;
}

export interface ThrottleOptions extends WaitOptions {
  /** So many units, 1 to 1,000,000, */
  limit: number;
  /** in so many milliseconds. */
  periodMs: Duration;
  /** Units that may come at once after a pause, 1 to 1,000,000; default: `limit`. */
  burst?: number;
  /** Units that this call takes, at most `burst` (`invalid_request`); 0 only looks. Default 1. */
  cost?: number;
  /**
   * Waits for the units so long, in order of arrival over all processes; `wait_timeout`, at once, when
   * they could not come in time. Default 0: it doesn't wait, and may resolve `allowed: false`.
   */
  waitMs?: Duration;
}

export interface Throttled {
  /** Whether the units were taken. */
  allowed: boolean;
  /** Units that can be taken at once now. */
  remaining: number;
  /** Milliseconds until the same call would be allowed, behind those who wait; 0 when it was. */
  retryAfterMs: number;
  /** Milliseconds until all of `burst` can be taken at once again. */
  resetAfterMs: number;
}

/** All numbers; sizes in bytes, times in milliseconds. */
export interface Stats {
  items: number;
  leases: number;
  /** Bytes that everything stored takes. */
  memory: number;
  /** Milliseconds since the broker started. */
  uptime: number;
  waiting: number;
  watchers: number;
  maxItems: number;
  maxMemory: number;
  reservedMemory: number;
  tableMemory: number;
  lockedMemory: number;
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
  /** Bounds every call, connecting included. Milliseconds; default 5,000. */
  timeout?: Duration;
  /**
   * A call that waits for so long, for 6 and for 24 times as long, warns (`process.emitWarning`, code
   * `EPB_WAIT`) who holds what it wants, and since when. Default 5,000 ms; 0 or Infinity: never.
   */
  waitNoticeMs?: Duration;
  /**
   * Bounds connecting, with the proof of the secret: `broker_gone`. Milliseconds; default 0: no other
   * bound than `timeout`. The first time, a pipe that does not exist, or that refuses, is given up within
   * 100 ms anyway. Later, calls wait so long for the next broker at that path.
   */
  connectTimeout?: Duration;
  /** TTL of writes without one. Milliseconds; default 0: none, each write says its own. */
  defaultTtl?: Ttl;
  /**
   * Who holds this client's leases, 1 to 256 bytes. Default: `CLIENT_WORKER_ID`, `WORKER_ID`,
   * `WDIO_WORKER_ID`, `TEST_PARALLEL_INDEX`, `VITEST_POOL_ID`, `JEST_WORKER_ID`, `MOCHA_WORKER_ID` or
   * `CUCUMBER_WORKER_ID` from the environment, else the process id (`<pid>-<thread id>` in a worker
   * thread).
   */
  workerId?: string;
  /** @deprecated Of `@ephemeral-broker/core`: left out, with a warning. */
  debug?: boolean;
  /** @deprecated Of `@ephemeral-broker/core`: left out, with a warning; the broker's requireTTL decides. */
  allowNoTtl?: boolean;
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
 * A client of a broker. With a schema, an interface of keys and their values, keys and values are
 * checked: `new PipeClient<{ user: User; [key: `job:${string}`]: Job }>()`. In a client without a
 * `defaultTtl`, `set` without a TTL is a type error; with a schema as well, name the type of the
 * default: `new PipeClient<Schema, Ttl>(pipe, { defaultTtl: '5m' })`. Clients of one thread with the same pipe and secret share one connection; it
 * is made at the first call, made again when the broker was restarted, and never keeps the process
 * alive while no call waits. It is what holds leases: they end with it.
 *
 * Every method rejects with a BrokerError. Beside what its own text names, any can fail with
 * `timeout`, `broker_gone`, `auth_failed`, `auth_required`, `version_mismatch`, `draining`,
 * `max_connections` and `invalid_request`, and those that take a key with `invalid_key` (a key is a
 * string of 1 to 512 bytes).
 */
export class PipeClient<Schema extends object = any, DefaultTtl extends Ttl | null = null> {
  /**
   * @param pipe path of the pipe; default: `EPHEMERAL_PIPE` from the environment
   * @throws {BrokerError} `broker_gone` without a pipe, `invalid_request` when an option is wrong
   */
  constructor(pipe?: string | null, options?: ClientOptions & { defaultTtl?: DefaultTtl });

  /** Path of the pipe. */
  readonly pipe: string;

  /**
   * The value of a key; bytes come as a Buffer. Rejects with `not_found` when the key does not exist
   * or has expired, unless there is a `default`.
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
   * Like `get`, and blocks the thread until the answer is there: for configuration files that can't
   * await. Throws what `get` rejects with.
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

  /** Value, version and remaining time of a key; `not_found`. */
  getEntry<T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    options?: CallOptions,
  ): Promise<Entry<ValueOf<Schema, K, T>>>;

  /**
   * Stores any JSON value, or bytes, until its TTL (milliseconds) has passed. Resolves true.
   * `ttl_required`, `invalid_ttl`, `invalid_value`, `too_large`, `max_items`, `max_memory`,
   * `conflict`, `fenced`, `kind_mismatch` (the key is a pool or a semaphore, or its numbers are held).
   */
  set<K extends KeyOf<Schema>, V extends ValueOf<Schema, K>>(
    key: K,
    value: V & Storable<V>,
    ...rest: SetRest<DefaultTtl>
  ): Promise<true>;

  /**
   * Resolves whether there was something to delete: a value, or the definition of a pool or
   * semaphore; `lease_held` while something of that is held or waited for.
   */
  del(key: KeyOf<Schema>, options?: CallOptions): Promise<boolean>;

  /** Resolves whether the key exists. */
  has(key: KeyOf<Schema>, options?: CallOptions): Promise<boolean>;

  /** Milliseconds until the key expires; `not_found`. */
  ttl(key: KeyOf<Schema>, options?: CallOptions): Promise<number>;

  /**
   * Adds to a counter and resolves its new value, over all processes. A counter that does not exist
   * starts at 0 and gets the TTL (milliseconds). `not_a_number`, `ttl_required`, `invalid_ttl`,
   * `kind_mismatch`.
   */
  incr(key: KeyOf<Schema>, by?: number, ttl?: Ttl | null, options?: IncrOptions): Promise<number>;
  incr(key: KeyOf<Schema>, by: number | undefined, options: IncrOptions): Promise<number>;

  /** What is stored under keys that start so, sorted by key; never the values. */
  list(prefix?: string, options?: CallOptions): Promise<ListEntry[]>;

  /**
   * Leases something of a key, and resolves what: an element of its pool, its stored value, a permit's
   * number, or, of a key that nothing is defined for, the lowest number from 0 that is free (a worker
   * number, a port offset). The same worker asking again renews what it has and gets the same. It
   * lasts until `release` or until this process ends, renewed by native code; or, with a TTL, for that
   * (`renew` extends it). `lease_held`, `wait_timeout`, `kind_mismatch`, `invalid_ttl`, `max_waiters`,
   * `max_memory`, `not_found` (waited for a value that is gone by then), `worker_already_has_lease`
   * (the broker has the option `singleLease`).
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

  /** Like `lease`, and blocks the thread, also while it waits. Throws what `lease` rejects with. */
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

  /** Extends all leases of a worker (default: the client's `workerId`) from now on. */
  renew(workerId?: string | null, options?: RenewOptions): Promise<Renewal>;
  renew(options: RenewOptions): Promise<Renewal>;

  /**
   * Ends all leases of a worker (default: the client's `workerId`), or those of one key. Resolves
   * whether there were any. `lease_held` when another connection holds them: only that one may release
   * them, or `force`. Without a key, those of other namespaces, too, and what `acquire` gave.
   */
  release(
    workerId?: string | null,
    key?: string | null,
    options?: ReleaseOptions,
  ): Promise<boolean>;

  /**
   * Something of a pool, a semaphore or a value, as a handle that renews itself and says when it is
   * lost; waits as long as it takes unless told otherwise. Every call is a separate lease, also by
   * the same worker. `not_found` for a key that was not defined; the message names keys near it.
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
   * The lowest number from 0 that is free, as a handle: a port's offset, a database's shard. The key
   * needs no definition. `kind_mismatch` when it is a pool, a semaphore or a value.
   */
  number(key: string, options: NumberOptions & { count: number }): Promise<Lease<number[]>>;
  number(key: string, options?: NumberOptions): Promise<Lease<number>>;

  /**
   * Runs `fn` with what `acquire` gives, releases it whatever happens, and resolves what `fn` resolves.
   * Rejects with what `fn` rejects with; else `lease_lost` or `broker_gone` when it was lost meanwhile.
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

  /** `withLease` of a lock. Locks have names of their own, apart from keys. */
  lock<R>(name: string, fn: (lease: Lease<undefined>) => R): Promise<Awaited<R>>;
  lock<R>(
    name: string,
    options: LockOptions | undefined,
    fn: (lease: Lease<undefined>) => R,
  ): Promise<Awaited<R>>;

  /** `acquire` of a lock. */
  acquireLock(name: string, options?: LockOptions): Promise<Lease<undefined>>;

  /**
   * One lease of each key, or none: whatever stands in the way of one gives the others back. They are
   * taken in one order everywhere, so that workers can't block each other. `waitMs` is for all together.
   * A key that is named several times gives as many different things, in one lease: each handle has the
   * value of its place, and they share the token and end together. `conflict` when there are fewer.
   */
  acquireAll<T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    keys: readonly K[],
    options?: Omit<AcquireOptions, 'count'>,
  ): Promise<Leases<ValueOf<Schema, K, T>>>;

  /**
   * Makes a key a pool of these elements (any JSON values or bytes, all different); what was given
   * back longest ago is leased next. Resolves true, or false when it is a pool of this list already, in
   * whatever order: of the list it was defined by, or of what it has now. Another list is a `conflict`,
   * unless the options say `replace` or `ifAbsent`. `invalid_value`, `kind_mismatch`, `max_memory`.
   */
  pool<K extends KeyOf<Schema>>(
    key: K,
    values: readonly ValueOf<Schema, K>[],
    options?: DefineOptions,
  ): Promise<boolean>;

  /**
   * Adds elements to a pool, or makes one. Resolves how many it has now. `conflict` when it has one of
   * them; `invalid_value`, `kind_mismatch`, `max_memory`.
   */
  poolAdd<K extends KeyOf<Schema>>(
    key: K,
    values: readonly ValueOf<Schema, K>[],
    options?: CallOptions,
  ): Promise<number>;

  /**
   * Makes a key a semaphore of n permits, 1 to 1,000,000. Resolves true, or false when it is one of n
   * already. Another n is a `conflict`, unless the options say `replace` or `ifAbsent`; while more are
   * held than there are then, none is granted. `kind_mismatch`, `max_memory`.
   */
  limit(key: string, n: number, options?: DefineOptions): Promise<boolean>;

  /**
   * Takes an element out of a pool; when it is held, at the end of that lease. Resolves true.
   * `not_found`: no such pool or element, or discarded before. The broker compares the text: an object has
   * its keys in the order of the pool's. What a lease gave is known however it was written:
   * `release({ discard: [element] })`.
   */
  discard<K extends KeyOf<Schema>>(
    key: K,
    value: ValueOf<Schema, K>,
    options?: CallOptions,
  ): Promise<true>;

  /**
   * Deletes what a run has left under keys that start so: values, pools, semaphores and rate limits.
   * Resolves how many, and how many stay because they are held or waited for.
   */
  clear(prefix?: string, options?: CallOptions): Promise<{ cleared: number; held: number }>;

  /** What a key is: a pool, a semaphore, a value, or numbers that are held; null: nothing. */
  describe(key: string, options?: CallOptions): Promise<Description | null>;

  /** Who holds and who waits, of keys that start so, sorted by key; never values. */
  leases(prefix?: string, options?: CallOptions): Promise<LeaseInfo[]>;

  /**
   * The value of a key; where there is none, `fn` computes it, and it is stored for the TTL
   * (milliseconds). All callers get it as it is stored; `undefined` is stored, too: a set-up that has
   * nothing to give runs once. Over all processes one caller computes while the others wait for its value; when
   * it dies, is aborted, or takes longer than `computeTtlMs`, the next one computes. When `fn` fails, its caller
   * gets what it threw, and those who wait `compute_failed` with an Error of its message as `cause`.
   * `wait_timeout`, what `set` rejects with.
   */
  getOrSet<T extends ValueOf<Schema, K>, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    ttl: Ttl | null | undefined,
    fn: () => T | Promise<T>,
    options?: GetOrSetOptions,
  ): Promise<T>;

  /** The value of a key as soon as it has one. `wait_timeout`, `max_waiters`. */
  waitFor<T = never, K extends KeyOf<Schema> = KeyOf<Schema>>(
    key: K,
    options?: WaitForOptions,
  ): Promise<ValueOf<Schema, K, T>>;

  /**
   * What happens to keys that start so (default: to all), from `ready` on. Whoever reads too slowly
   * misses events and is told so by `overflow`. `max_waiters`, `broker_gone`.
   */
  watch(prefix?: string, options?: WaitOptions): Watch;

  /**
   * Waits until n callers are here, 1 to 100,000; resolves the order of arrival, 0 to n - 1. The next
   * n make the next round. `wait_timeout` (then it counts as not arrived), `kind_mismatch` (another n
   * in the same round), `max_waiters`.
   */
  barrier(name: string, n: number, options?: WaitForOptions): Promise<number>;

  /**
   * Asks for units of a rate limit that holds over all processes (GCRA: they become free again evenly,
   * not all at the end of a period). With `waitMs` it waits for its turn. Limits have names of their own,
   * apart from keys. `wait_timeout`, `max_waiters`, `invalid_request`.
   */
  throttle(key: string, options: ThrottleOptions): Promise<Throttled>;

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
  namespace<Name extends string>(name: Name): PipeClient<NamesIn<Schema, Name>, DefaultTtl>;

  /**
   * Waits for the answers that are due, gives back what was leased and acquired, then closes; later calls
   * reject with `invalid_request`.
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Whether a broker answers within the timeout (default 2 s) and has room: for readiness probes. It never
 * rejects.
 */
export function checkReadiness(pipe?: string | null, timeout?: Duration): Promise<boolean>;

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
  /** Most connections, but for one that renews leases for each process; default 1,024; 0: no limit. */
  maxConnections?: number;
  /** Most requests that wait at one time, watches included; default 10,000; 0: no limit. */
  maxWaiters?: number;
  /** A worker holds one lease at a time, of one key; default false. */
  singleLease?: boolean;
  /** When full: refuse the write, or drop the least recently used item. Default 'none'. */
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
  /** Log every request to stderr, as JSON lines; default false. */
  debug?: boolean;
  /**
   * start() sets EPHEMERAL_PIPE, EPHEMERAL_SECRET and EPHEMERAL_BROKER_PID in process.env, stop() puts
   * back what was there; default true.
   */
  exportEnv?: boolean;
  /** Called with each log record, in the async context of `new Broker`; replaces stderr. */
  log?: ((record: LogRecord) => void) | null;
  /** @deprecated Of `@ephemeral-broker/core`: left out, with a warning; clients compress. */
  compression?: boolean;
  /** @deprecated Of `@ephemeral-broker/core`: left out, with a warning; clients compress. */
  compressionThreshold?: number;
  /** @deprecated Of `@ephemeral-broker/core`: `'debug'` is `debug: true`, others are left out. */
  logLevel?: string;
  /** @deprecated Of `@ephemeral-broker/core`: left out, with a warning; the log is always JSON. */
  structuredLogging?: boolean;
  /** @deprecated Of `@ephemeral-broker/core`: left out, with a warning; there are always metrics. */
  metrics?: boolean;
}

/**
 * A broker in this process. It runs in a thread of its own and never ends the process; while it runs
 * it keeps the process alive, unless `unref()` says otherwise. At the end of the process its memory is
 * wiped and its pipe removed. A signal that nobody listens to ends the process as it would without a
 * broker: the pipe's name is removed first, and the memory goes with the process.
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
  stop(options?: { drainMs?: Duration }): Promise<void>;
  /** Stops at once, for use while the process ends. */
  stopSync(): void;

  /** The variables by which a child process finds this broker. */
  env(): Record<string, string>;
  /** `child_process.spawn` with the variables of `env()` added. */
  spawn(command: string, args?: readonly string[], options?: SpawnOptions): ChildProcess;
  /** A client of this broker. */
  client<Schema extends object = any, DefaultTtl extends Ttl | null = null>(
    options?: Omit<ClientOptions, 'secret' | 'auth'> & { defaultTtl?: DefaultTtl },
  ): PipeClient<Schema, DefaultTtl>;
  /** As `PipeClient.stats()`. */
  stats(): Promise<Stats>;

  /** The running broker keeps the process alive: the default. */
  ref(): this;
  /** The process may end while the broker runs. */
  unref(): this;

  [Symbol.asyncDispose](): Promise<void>;
}

/// <reference types="node" />

// The types of `ephemeral-pipe-broker/adapter`, for authors of adapters.

import type {
  AcquireOptions,
  BrokerOptions,
  Duration,
  Lease,
  PipeClient,
  Ttl,
  Value,
} from './index';

/** The elements of a pool. */
export type Elements = readonly Value[];

/**
 * How tokens become environment variables. `true`: `BROKER_TOKEN_<ALIAS>`. A text: this prefix in place of
 * `BROKER_TOKEN_`. An object: the variable of each alias; the other aliases have none.
 */
export type EnvVars = boolean | string | Record<string, string>;

/** A part of a test run, counted from 1. */
export interface Shard {
  index: number;
  total: number;
}

export interface RunOptions<T extends TokenSpecs = TokenSpecs> {
  /** Pools and their elements. A function is called once, in the main process. */
  pools?: Record<string, Elements | (() => Elements | Promise<Elements>)>;
  /** Values, stored unless the broker has one. A function is called once, and only if it has none. */
  values?: Record<string, Value | (() => Value | Promise<Value>)>;
  /** Semaphores and their permits. */
  limits?: Record<string, number>;
  /** The TTL of `values`. Default Infinity: as long as the broker. */
  ttl?: Ttl;
  /** What each worker, test file or test gets; the adapter says which. */
  tokens?: T;
  /** Whether tokens are also environment variables, which every child process inherits. Default false. */
  envVars?: EnvVars;
  /** Splits the pools: element j, counted from 0, belongs to shard j % total + 1. `true`: the runner's shard. */
  shard?: boolean | Shard;
  /** How long to wait for tokens. Default Infinity. */
  waitMs?: Duration;
  /** When a wait warns and names the holders (the client option `waitNoticeMs`). Default 5,000; 0: never. */
  noticeMs?: Duration;
  /** Options of the broker, if this run starts one. */
  broker?: BrokerOptions;
  /** Called at the end of each run, before what the run stored is deleted. */
  cleanup?: (client: PipeClient) => unknown;
}

export type TokenSpec =
  | string
  | {
      key: string;
      /** For a value. Default true: all workers read it. False: a lease, so one worker at a time has it. */
      shared?: boolean;
      /** The lowest free number from 0; the key needs no definition. */
      slot?: boolean;
      /** TTL of the lease. The shortest TTL of the aliases counts for all of them. */
      ttl?: Duration;
      /** How long to wait. The shortest wait of the aliases counts for all of them. */
      waitMs?: Duration;
      /** The environment variable of this token, whatever `envVars` is. */
      env?: string;
    };

export type TokenSpecs = Record<string, TokenSpec>;

/** The tokens by alias. */
export type TokenValues<T> = { [Alias in keyof T]: any };

/** One use of the run. Every call of `ensureRun` makes one; all of them share the broker. */
export interface Run {
  /** Whether the run has started its broker. False: it uses the broker of EPHEMERAL_PIPE. */
  readonly owned: boolean;
  readonly pipe: string;
  readonly client: PipeClient;
  /** Stores pools, limits and values; once, all callers share it. `shard`: what the runner says only now. */
  ready(options?: { shard?: Shard | null }): Promise<void>;
  /** Rejects with `not_found` if a token names a key that nothing has. */
  check(): Promise<void>;
  /**
   * Ends one run of a watch mode: `cleanup`, then everything in an own broker is deleted and stored again.
   * A broker that was there before the run keeps what it has. Once a run, however many adapters call it.
   */
  endRun(): Promise<void>;
  /** Ends this use. The last one stops an own broker and puts the environment back. */
  stop(): Promise<void>;
  /** Like `stop`, while the process exits. */
  stopSync(): void;
}

/**
 * The run of this process: its first call uses the broker of EPHEMERAL_PIPE, or starts one and exports its
 * variables. For the main process of a runner only.
 *
 * @throws {BrokerError} `invalid_request` when an option is wrong; `auth_failed`, `auth_required`
 */
export function ensureRun(options: RunOptions, who: { adapter: string; shard?: Shard | null }): Run;

/**
 * A worker's client. The worker id names runner and worker, such as `jest:2`.
 *
 * @throws {BrokerError} `broker_gone` without EPHEMERAL_PIPE; the message says how to configure the adapter
 */
export function worker(who: { adapter: string; workerId: string }): PipeClient;

export interface TakeOptions extends Pick<RunOptions, 'waitMs' | 'noticeMs'> {
  workerId: string;
  signal?: AbortSignal;
  /** Names for the error about an unknown key, in addition to the stored values. */
  known?: readonly string[];
}

/** The tokens of one worker, file or test. */
export interface Taken<T = TokenSpecs> {
  readonly values: TokenValues<T>;
  /** Aborts when one of the leases is lost. */
  readonly signal: AbortSignal;
  /** The environment variables of the tokens. Text as it is, anything else as JSON. */
  env(envVars?: EnvVars): Record<string, string>;
  /** Throws `lease_lost` or `broker_gone` if a lease was lost. `during`: the test that used it. */
  check(during?: string): void;
  /**
   * Releases all leases; `discard` removes the elements from their pools. Rejects like `check` if one was
   * lost. Further calls return the same promise.
   */
  release(options?: { discard?: boolean; during?: string }): Promise<void>;
}

/**
 * Takes all tokens or none: an element of each pool or semaphore, a value, or a number. Workers that take the
 * same keys cannot deadlock, and two aliases of one pool get two elements.
 *
 * Rejects with `not_found`, `conflict` (a pool has fewer elements than aliases), `wait_timeout`.
 */
export function takeTokens<T extends TokenSpecs>(
  client: PipeClient,
  specs: T,
  options: TakeOptions,
): Promise<Taken<T>>;

/** `acquire` with the notice and the `wait_timeout` of adapters. */
export function acquireNoticed<V = any>(
  client: PipeClient,
  key: string,
  options: AcquireOptions & { workerId: string; noticeMs?: Duration },
): Promise<Lease<V>>;

/**
 * The token of an alias.
 *
 * @throws {BrokerError} `invalid_request` without tokens, or without this alias
 */
export function getToken(
  taken: { readonly values: Record<string, any> } | null | undefined,
  alias: string,
  from?: string,
): any;

/**
 * What one test has taken, until `end`. A runner may end a test that still waits: `end` then ends the wait, so
 * that no lease is granted to a test that is over.
 */
export class TestScope {
  constructor(client: PipeClient, options: Omit<TakeOptions, 'signal'>);
  /** Aborts when the test is over. */
  readonly signal: AbortSignal;
  /** `takeTokens`; resolves to the values. */
  take<T extends TokenSpecs>(specs: T): Promise<TokenValues<T>>;
  /** `Taken.env` of what `take` has taken. */
  env(envVars?: EnvVars): Record<string, string>;
  /** `acquireNoticed`; resolves to the value. */
  lease<V = any>(key: string, options?: Omit<AcquireOptions, 'workerId' | 'signal'>): Promise<V>;
  /** Throws `lease_lost` or `broker_gone` if a lease was lost. `during`: the test that used it. */
  check(during?: string): void;
  /**
   * Ends waits and releases all. Rejects with `lease_lost` or `broker_gone` if a lease was lost. Further calls
   * return the same promise.
   */
  end(options?: { during?: string }): Promise<void>;
}

/**
 * A client for the exports of an adapter, which a test file may load before there is a broker. Its first use
 * calls `worker`. `close` closes the client, and the next use makes a new one.
 */
export function lazyWorker(who: () => { adapter: string; workerId: string }): {
  readonly client: PipeClient;
  close(): Promise<void>;
};

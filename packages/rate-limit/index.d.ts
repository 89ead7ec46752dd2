import type { PipeClient } from 'ephemeral-pipe-broker/client';

/** The state of a key. A refused call rejects with it; it is no Error. */
export class RateLimiterRes {
  constructor(
    remainingPoints?: number,
    msBeforeNext?: number,
    consumedPoints?: number,
    isFirstInDuration?: boolean,
  );
  /** Milliseconds until the window, or the block, ends; -1: never. */
  readonly msBeforeNext: number;
  /** Points that the window still has. */
  readonly remainingPoints: number;
  /** Points that the window has counted, refused ones included. */
  readonly consumedPoints: number;
  /** Whether this call began the window. */
  readonly isFirstInDuration: boolean;
  toString(): string;
  toJSON(): {
    remainingPoints: number;
    msBeforeNext: number;
    consumedPoints: number;
    isFirstInDuration: boolean;
  };
}

export interface RateLimiterOptions {
  /** Points of a window. */
  points: number;
  /** Length of a window in seconds, which begins with the first point; 0: it never ends. */
  duration: number;
  /** Prefix of the keys in the broker. Default `rlflx`. */
  keyPrefix?: string;
  /** A call that is refused first blocks the key for these seconds. Default 0: no block. */
  blockDuration?: number;
  /** Delays calls so that they spread evenly over the window. Default false. */
  execEvenly?: boolean;
  /** Shortest delay of `execEvenly`. Milliseconds; default: the window divided by its points. */
  execEvenlyMinDelayMs?: number;
  /** Default: one client for all limiters of the process, which finds the pipe in `EPHEMERAL_PIPE`. */
  client?: PipeClient;
}

export interface ConsumeOptions {
  /** Length in seconds of the window that this call begins, in place of `duration`. */
  customDuration?: number;
}

export interface WaitOptions {
  /** Ends the wait: the call rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Milliseconds, then rejects with `wait_timeout`. Default Infinity. */
  waitMs?: number;
}

/**
 * A fixed window of points over all processes, with the methods and results of rate-limiter-flexible. Where
 * that package is installed, an instance is one of its RateLimiterCompatibleAbstract, so its Union, Queue and
 * wrappers take it. Points are integers. A failure of the broker rejects with a BrokerError.
 */
export class RateLimiter {
  constructor(options: RateLimiterOptions);
  points: number;
  duration: number;
  blockDuration: number;
  execEvenly: boolean;
  execEvenlyMinDelayMs: number | undefined;
  readonly keyPrefix: string;
  readonly msDuration: number;
  readonly msBlockDuration: number;
  /** Takes points. Rejects with a RateLimiterRes when the window has fewer; they count all the same. */
  consume(key: string | number, points?: number, options?: ConsumeOptions): Promise<RateLimiterRes>;
  /** Takes points and never refuses. */
  penalty(key: string | number, points?: number, options?: ConsumeOptions): Promise<RateLimiterRes>;
  /** Gives points back. */
  reward(key: string | number, points?: number, options?: ConsumeOptions): Promise<RateLimiterRes>;
  /** Resolves to the state of a key; null: no window has begun. */
  get(key: string | number): Promise<RateLimiterRes | null>;
  /** Sets the consumed points, for `secDuration` seconds (default `duration`; 0: without an end). */
  set(key: string | number, points: number, secDuration?: number): Promise<RateLimiterRes>;
  /** Refuses all calls for these seconds; 0: until `delete`. */
  block(key: string | number, secDuration: number): Promise<RateLimiterRes>;
  /** Resolves whether there was a window. */
  delete(key: string | number): Promise<boolean>;
  /**
   * Like `consume`, but waits until a window has the points, in order of arrival over all processes. Calls of
   * `consume` don't queue. Rejects with `wait_timeout`, `invalid_request` (more points than a window has), or
   * with a RateLimiterRes when the window is full and never ends.
   */
  wait(key: string | number, points?: number, options?: WaitOptions): Promise<RateLimiterRes>;
  /** The key in the broker. */
  getKey(key: string | number): string;
  /** The inverse of `getKey`. */
  parseKey(rlKey: string): string;
}

export interface SchedulerOptions {
  /** All schedulers with the same id and broker share their limits, and must have the same ones. */
  id: string;
  /** Jobs that run at the same time. A job of a process that ends is over. Default: no limit. */
  maxConcurrent?: number;
  /** Milliseconds between the starts of two jobs. Default 0. */
  minTime?: number;
  /**
   * Jobs until the first refill. Without a refill, further jobs reject with `conflict`. Default:
   * `reservoirRefreshAmount`.
   */
  reservoir?: number;
  /** Jobs of each later window. */
  reservoirRefreshAmount?: number;
  /** Length of a window in milliseconds, which begins with its first job. */
  reservoirRefreshInterval?: number;
  /** Default: one client for all limiters of the process, which finds the pipe in `EPHEMERAL_PIPE`. */
  client?: PipeClient;
}

export interface JobOptions {
  /** How many jobs it counts as. Default 1; 0: as none. */
  weight?: number;
  /** Milliseconds that the function may take; then the call rejects with `timeout` and the slot is free. */
  expiration?: number;
  /** Takes a job that waits out of the queue. A job that runs is not affected. */
  signal?: AbortSignal;
}

/** Runs jobs of all processes within shared limits, in order of arrival: what most programs use Bottleneck for. */
export class Scheduler {
  constructor(options: SchedulerOptions);
  /**
   * Runs a function when the limits allow it, and resolves to its result. Rejects with its error, else with
   * `lease_lost` when the process was suspended and its slot went to another job.
   */
  schedule<A extends unknown[], R>(fn: (...args: A) => R, ...args: A): Promise<Awaited<R>>;
  schedule<A extends unknown[], R>(
    options: JobOptions,
    fn: (...args: A) => R,
    ...args: A
  ): Promise<Awaited<R>>;
  /** A function that schedules its calls. */
  wrap<A extends unknown[], R>(fn: (...args: A) => R): (...args: A) => Promise<Awaited<R>>;
  /**
   * Jobs that have a slot, and jobs that wait for one, over all processes; without `maxConcurrent` those of
   * this scheduler.
   */
  counts(): Promise<{ running: number; queued: number }>;
  /** Refuses further jobs and those that wait (`draining`). Resolves when all running jobs have ended. */
  stop(): Promise<void>;
}

import type {
  PlaywrightTestArgs,
  PlaywrightTestConfig,
  PlaywrightTestOptions,
  PlaywrightWorkerArgs,
  PlaywrightWorkerOptions,
  TestFixture,
  TestType,
  WorkerFixture,
} from '@playwright/test';
import type { AcquireOptions, PipeClient } from 'ephemeral-pipe-broker';
import type { RunOptions } from 'ephemeral-pipe-broker/adapter';

export { defineConfig, expect, mergeTests } from '@playwright/test';
export type { RunOptions } from 'ephemeral-pipe-broker/adapter';

/** The tokens of the configuration. Augment it with the type of each alias. */
export interface BrokerTokens {
  [alias: string]: any;
}

/** Options of one lease. The wait has no limit unless `waitMs` is set here or in the configuration. */
export type LeaseOptions = Omit<AcquireOptions, 'workerId' | 'signal'>;

/** Takes an element until the end of the test. Waiting does not use up the time limit of the test. */
export interface LeaseFn {
  <T = any>(key: string, options?: LeaseOptions): Promise<T>;
}

export interface BrokerTestArgs {
  lease: LeaseFn;
}

export interface BrokerWorkerArgs {
  /** A client of this worker. */
  broker: PipeClient;
  /** `tokens` of the configuration, taken when the first test of the worker asks for them. */
  tokens: BrokerTokens;
}

export const test: TestType<
  PlaywrightTestArgs & PlaywrightTestOptions & BrokerTestArgs,
  PlaywrightWorkerArgs & PlaywrightWorkerOptions & BrokerWorkerArgs
>;

/**
 * Adds a broker to a configuration: it starts with Playwright's main process, or is the one of
 * `ephemeral-pipe-broker start`.
 */
export function withBroker<T extends PlaywrightTestConfig<any, any>>(
  config: T,
  options?: RunOptions,
): T;

/** A fixture that has an element of a pool for the time of a test, or of a worker. */
export function leased<T = any>(
  key: string,
  options: LeaseOptions & { scope: 'worker' },
): [WorkerFixture<T, { broker: PipeClient }>, { scope: 'worker'; timeout: 0; title: string }];
export function leased<T = any>(
  key: string,
  options?: LeaseOptions & { scope?: 'test' },
): [TestFixture<T, { broker: PipeClient }>, { scope: 'test'; timeout: 0; title: string }];

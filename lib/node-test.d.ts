/// <reference types="node" />

// The types of `ephemeral-pipe-broker/node-test`.

import type { TestContext } from 'node:test';

import type { AcquireOptions, PipeClient } from './index';
import type { RunOptions } from './adapter';

/**
 * The exports of a file for `node --test --test-global-setup=<file>` (Node 24 and later). `tokens`, `envVars`,
 * `waitMs` and `noticeMs` have no effect: a test calls `lease`.
 */
export function withBroker(
  options?: Omit<RunOptions, 'tokens' | 'envVars' | 'waitMs' | 'noticeMs'>,
): {
  globalSetup(): Promise<void>;
  globalTeardown(): Promise<void>;
};

/** A client of this test file, which connects when it is first used. */
export const broker: PipeClient;

/** Takes an element until the end of the test. The test fails if the lease was lost meanwhile. */
export function lease<V = any>(
  test: Pick<TestContext, 'name' | 'after'>,
  key: string,
  options?: Omit<AcquireOptions, 'workerId' | 'signal'>,
): Promise<V>;

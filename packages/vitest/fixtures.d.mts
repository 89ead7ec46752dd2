import type { AcquireOptions, PipeClient } from 'ephemeral-pipe-broker';
import type { TestAPI } from 'vitest';

export * from 'vitest';

/**
 * The tokens of a test file. Name their types once:
 * `declare module '@ephemeral-broker/vitest/test' { interface BrokerTokens { account: Account } }`.
 */
export interface BrokerTokens {
  [alias: string]: any;
}

/** Vitest's `test` with a client and the tokens of the file. */
export const test: TestAPI<{ broker: PipeClient; tokens: BrokerTokens }>;
export { test as it };

/**
 * The token of an alias, without a fixture.
 *
 * @throws {BrokerError} `invalid_request` if the file has no such token
 */
export function getToken<A extends keyof BrokerTokens>(alias: A): BrokerTokens[A];

type Fixture<T> = (context: any, use: (value: T) => Promise<void>) => Promise<void>;
type LeasedOptions = Omit<AcquireOptions, 'signal'> & { noticeMs?: number };

/**
 * A fixture: an element of a pool, a permit of a semaphore, or a value, for a test. The wait uses up the time
 * limit of the test, unless a hook without a limit asks for it first:
 * `test.beforeEach(({ account }) => {}, 0)`.
 */
export function leased<T = any>(key: string, options?: LeasedOptions): Fixture<T>;
/** For all tests of a file, or of a worker. */
export function leased<T = any, S extends 'file' | 'worker' = 'file'>(
  key: string,
  options: LeasedOptions & { scope: S },
): [Fixture<T>, { scope: S }];

import type { PipeClient } from 'ephemeral-pipe-broker';
import type { RunOptions } from 'ephemeral-pipe-broker/adapter';
import type { Config } from 'jest';

export type { RunOptions, TokenSpec, TokenSpecs } from 'ephemeral-pipe-broker/adapter';

/**
 * The tokens of a test file. Name their types once:
 * `declare module '@ephemeral-broker/jest' { interface BrokerTokens { account: Account } }`.
 */
export interface BrokerTokens {
  [alias: string]: any;
}

/**
 * A configuration whose run has a broker, and whose test files have tokens. Hooks and the environment of the
 * configuration stay: its globalSetup runs after the broker has started, its globalTeardown before it ends.
 * Options belong to the configuration that lists the projects.
 */
export function withBroker<C extends Config | ((...args: any[]) => Config | Promise<Config>)>(
  config: C,
  options?: RunOptions,
): C;

/** An environment of your own, with tokens. */
export function withBrokerEnvironment<E extends new (...args: any[]) => object>(Base: E): E;

/** The client of a test file, loaded at its first use. The environment ends it, and what it holds. */
export const broker: PipeClient;

/** The tokens of a test file. */
export const brokerTokens: BrokerTokens;

/**
 * The token of an alias.
 *
 * @throws {BrokerError} `invalid_request` if the file has no such token
 */
export function getToken<A extends keyof BrokerTokens>(alias: A): BrokerTokens[A];

declare global {
  var broker: PipeClient;
  var brokerTokens: import('@ephemeral-broker/jest').BrokerTokens;
}

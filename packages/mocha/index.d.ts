/// <reference types="node" />

import type { AcquireOptions, PipeClient } from 'ephemeral-pipe-broker';
import type { RunOptions } from 'ephemeral-pipe-broker/adapter';

export type { RunOptions, TokenSpec, TokenSpecs } from 'ephemeral-pipe-broker/adapter';

/** The tokens by alias. Add yours: `declare module '@ephemeral-broker/mocha' { interface BrokerTokens { … } }` */
export interface BrokerTokens {
  [alias: string]: any;
}

type Hook = (this: any) => Promise<void>;
type SyncHook = (this: any) => void;

export interface BrokerPlugin {
  mochaGlobalSetup(): Promise<void>;
  mochaGlobalTeardown(): Promise<void>;
  mochaHooks(): { beforeAll: Hook; beforeEach: SyncHook; afterEach: SyncHook; afterAll: Hook };
}

/** The exports of a file for `--require`. */
export function plugin(options?: RunOptions): BrokerPlugin;

/** `plugin()`, for `--require @ephemeral-broker/mocha`: a broker without tokens. */
export const mochaGlobalSetup: BrokerPlugin['mochaGlobalSetup'];
export const mochaGlobalTeardown: BrokerPlugin['mochaGlobalTeardown'];
export const mochaHooks: BrokerPlugin['mochaHooks'];

/** A client of this process. It connects when it is first used, in a hook or a test. */
export const broker: PipeClient;

/**
 * The tokens of the present file (`--parallel`), or of the run. They are there from the root `beforeAll` hook on.
 *
 * @throws {BrokerError} `invalid_request` when an alias is read before, or does not exist
 */
export const tokens: BrokerTokens;

/** One lease for each test. */
export interface Leased<V> {
  /** The element of the present test. */
  readonly value: V;
  beforeEach: Hook;
  afterEach: Hook;
  /** Registers both hooks in the present suite. */
  install(): this;
}

/** Leases an element of the key before each test, without a time limit, and releases it after the test. */
export function leased<V = any>(
  key: string,
  options?: Omit<AcquireOptions, 'workerId' | 'signal'>,
): Leased<V>;

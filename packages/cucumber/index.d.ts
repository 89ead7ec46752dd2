/// <reference types="node" />

import type { AcquireOptions, PipeClient } from 'ephemeral-pipe-broker';
import type { RunOptions } from 'ephemeral-pipe-broker/adapter';

export type { RunOptions, TokenSpec, TokenSpecs } from 'ephemeral-pipe-broker/adapter';

/** The tokens by alias. Add yours: `declare module '@ephemeral-broker/cucumber' { interface BrokerTokens { … } }` */
export interface BrokerTokens {
  [alias: string]: any;
}

/** What the hooks add to the World of each scenario: `this` in steps and hooks. */
export interface BrokerWorld {
  brokerTokens: BrokerTokens;
  /** One more lease. It is released after the scenario. */
  lease<V = any>(key: string, options?: Omit<AcquireOptions, 'workerId' | 'signal'>): Promise<V>;
  /** A client of the worker. */
  broker: PipeClient;
}

/** What the plugin uses of Cucumber's context. */
export interface CoordinatorContext {
  operation: string;
  on(
    event: 'paths:resolve',
    handler: (paths: { readonly requirePaths: string[]; readonly importPaths: string[] }) => void,
  ): void;
  options: RunOptions;
}

export const type: 'plugin';
/** The name of our options in `pluginOptions`. */
export const optionsKey: 'broker';
export function coordinator(
  context: CoordinatorContext,
): Promise<(() => Promise<void>) | undefined>;

/// <reference types="@wdio/types" />

import type { Duration, PipeClient } from 'ephemeral-pipe-broker';
import type { RunOptions, TokenSpec } from 'ephemeral-pipe-broker/adapter';

export type { EnvVars, RunOptions, TokenSpec, TokenSpecs } from 'ephemeral-pipe-broker/adapter';

/** The tokens by alias. Declare yours: `declare module '@ephemeral-broker/wdio' { interface BrokerTokens { … } }` */
export interface BrokerTokens {
  [alias: string]: any;
}

/** What each worker gets (`tokens`), and where it comes from (`pools`, `values`, `limits`). */
export interface WdioOptions extends RunOptions {
  /** @deprecated An option of version 0.1: use `values`. */
  seedData?: { cache?: Record<string, any>; ephemeral?: Record<string, any> };
  /** @deprecated An option of version 0.1 without effect. */
  debug?: boolean;
  /** @deprecated An option of version 0.1 without effect: values live as long as the run. */
  refreshTTLOnGet?: boolean;
}

/**
 * A copy of the configuration with the broker. Each worker has its tokens from your `beforeSession` to the end of
 * your `afterSession`.
 */
export function withBrokerTokens<C extends object>(options: WdioOptions, config: C): C;

/**
 * The token of an alias.
 *
 * @throws {BrokerError} `invalid_request` before `beforeSession`, or without this alias
 */
export function getToken<A extends keyof BrokerTokens>(alias: A): BrokerTokens[A];

/** Resolves when this worker has its tokens: for hooks next to a service, which run at the same time. */
export function tokensReady(): Promise<BrokerTokens>;

export interface WithTokenOptions extends Omit<Exclude<TokenSpec, string>, 'key' | 'env'> {
  /** How long to wait. Default: as the configuration says. */
  waitMs?: Duration;
  signal?: AbortSignal;
}

/**
 * One more element, for one test: it is released when `use` is over. Rejects with `lease_lost` if it was lost
 * meanwhile.
 */
export function withToken<R, V = any>(
  key: string,
  use: (value: V) => R,
  options?: WithTokenOptions,
): Promise<Awaited<R>>;

/** The client of this process. It connects when it is first used. */
export const broker: PipeClient;

/** The service of a worker: `services: [['@ephemeral-broker/wdio', options]]`. */
export default class BrokerWorkerService {
  constructor(options: WebdriverIO.ServiceOption, capabilities: unknown, config: unknown);
}

/** The service of the launcher, which WebdriverIO finds by its name. */
export class launcher {
  constructor(options: WebdriverIO.ServiceOption, capabilities: unknown, config: unknown);
}

/** Both services, as a class: `services: [[EphemeralBrokerService, options]]`. */
export class EphemeralBrokerService {
  constructor(options: WebdriverIO.ServiceOption, capabilities: unknown, config: unknown);
}

declare global {
  namespace WebdriverIO {
    interface Browser {
      brokerTokens: BrokerTokens;
    }
    interface MultiRemoteBrowser {
      brokerTokens: BrokerTokens;
    }
    interface ServiceOption extends WdioOptions {}
  }
}

/// <reference types="node" />

import type { AcquireOptions } from 'ephemeral-pipe-broker';
import type { RunOptions } from 'ephemeral-pipe-broker/adapter';

export type { RunOptions, TokenSpec, TokenSpecs } from 'ephemeral-pipe-broker/adapter';

/** The tokens by alias. Add yours: `declare module '@ephemeral-broker/testcafe' { interface BrokerTokens { … } }` */
export interface BrokerTokens {
  [alias: string]: any;
}

/** What the hooks add to `t.ctx`, which TestCafe types as `any`. */
export interface BrokerContext {
  tokens: BrokerTokens;
  /** One more lease. It is released after the test. */
  lease<V = any>(key: string, options?: Omit<AcquireOptions, 'workerId' | 'signal'>): Promise<V>;
}

/** What the hooks use of TestCafe's test controller. */
export interface TestController {
  ctx: { [key: string]: any };
  testRun?: any;
}

/** The global hooks of TestCafe, which its own types leave out. */
export interface TestCafeHooks {
  testRun?: { before?: (ctx: any) => unknown; after?: (ctx: any) => unknown };
  fixture?: { before?: (ctx: any) => unknown; after?: (ctx: any) => unknown };
  test?: { before?: (t: any) => unknown; after?: (t: any) => unknown };
  request?: unknown;
  reporter?: unknown;
}

/** Hooks for the configuration. They run yours, too: after ours before a test, and before ours after it. */
export function brokerHooks(options: RunOptions, hooks?: TestCafeHooks): TestCafeHooks;

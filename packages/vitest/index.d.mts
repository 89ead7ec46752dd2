import type { Plugin } from 'vitest/config';
import type { RunOptions, TokenSpecs } from 'ephemeral-pipe-broker/adapter';

export type { RunOptions, TokenSpec, TokenSpecs } from 'ephemeral-pipe-broker/adapter';

/**
 * A plugin for `plugins` of the configuration: the run has a broker, and each test file has `tokens`, taken
 * before its first test, where no time limit of Vitest applies.
 */
export function broker(options?: RunOptions): Plugin;

declare module 'vitest' {
  interface ProvidedContext {
    /** The pipe of the broker. The secret is only in the environment. */
    ephemeralPipe: string;
    ephemeralBroker: Pick<RunOptions, 'envVars' | 'waitMs' | 'noticeMs'> & {
      tokens: TokenSpecs;
      known: string[];
      hasRealms: boolean;
    };
  }
}

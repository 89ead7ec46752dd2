/** The launcher: the process that starts the workers. It has the broker. */
import { ensureRun } from 'ephemeral-pipe-broker/adapter';
import { closeClient } from './session.js';

/**
 * An error of a service ends the run only with this name: WebdriverIO logs all others and goes on.
 * @param {unknown} error
 * @returns {never}
 */
function endRun(error) {
  if (error instanceof Error) {
    Object.defineProperty(error, 'name', { value: 'SevereServiceError', configurable: true });
    // The stack repeats the name and the message.
    error.stack = `${error.message}\n${(error.stack ?? '').split('\n').slice(1).join('\n')}`;
  }
  throw error;
}

export class Launch {
  #run;
  /** @type {Promise<void> | null} */
  #ready = null;

  /**
   * @param {import('ephemeral-pipe-broker/adapter').RunOptions} options
   * @param {{ shard?: { current: number, total: number } }} config
   */
  constructor(options, { shard }) {
    const own = shard && { index: shard.current, total: shard.total };
    // Before any onPrepare, so that all of them can use the broker.
    this.#run = ensureRun(options, { adapter: 'wdio', shard: own });
  }

  /** Stores pools and values, for the user's onPrepare. A failure is reported by `prepare`. */
  ready() {
    this.#ready ??= this.#run.ready();
    return this.#ready;
  }

  /** After the user's onPrepare, which may define keys, too. */
  async prepare() {
    try {
      await this.ready();
      await this.#run.check();
    } catch (error) {
      endRun(error);
    }
  }

  async complete() {
    try {
      await this.#run.endRun();
    } catch (error) {
      endRun(error);
    } finally {
      await closeClient();
      await this.#run.stop();
    }
  }
}

/**
 * What one process of Playwright knows. Playwright may load this package twice, and loads the configuration
 * again in each worker: the state is a property of the global object.
 */
'use strict';

const { ensureRun } = require('ephemeral-pipe-broker/adapter');

const STATE = Symbol.for('@ephemeral-broker/playwright');

/** @typedef {import('ephemeral-pipe-broker/adapter').RunOptions} RunOptions */

class Main {
  /** Of the configuration. @type {RunOptions} */
  options = {};
  /** @type {import('ephemeral-pipe-broker/adapter').Run | null} */
  #run = null;
  /** Whether tests ran since the last end of a run. */
  #isDirty = false;

  /**
   * Uses a broker with these options. A UI loads a configuration again when it has changed.
   * @param {RunOptions} options
   */
  open(options) {
    const before = this.#run;
    this.#run = ensureRun(options, { adapter: 'playwright' });
    this.options = options;
    // The count of users never reaches zero, so the broker stays.
    void before?.stop();
  }

  /** @param {{ current: number, total: number } | null | undefined} shard as Playwright says it */
  async ready(shard) {
    this.begin();
    await this.#run?.ready(shard ? { shard: { index: shard.current, total: shard.total } } : {});
  }

  async check() {
    await this.#run?.check();
  }

  begin() {
    this.#isDirty = true;
  }

  async endRun() {
    if (!this.#isDirty) return;
    this.#isDirty = false;
    await this.#run?.endRun();
  }
}

/** @returns {Main} */
function main() {
  const realm = /** @type {Record<symbol, Main>} */ (/** @type {unknown} */ (globalThis));
  realm[STATE] ??= new Main();
  return realm[STATE];
}

module.exports = { main };

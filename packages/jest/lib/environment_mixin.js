/** Adds the tokens of the broker to a test environment of Jest. */
'use strict';

const { TestFile } = require('./test_file.js');

/**
 * Our part of `testEnvironmentOptions`, and the configuration without it for the environment below.
 * @param {any} config
 */
function split(config) {
  const { projectConfig } = config;
  const { ephemeralBroker = {}, ...rest } = projectConfig.testEnvironmentOptions ?? {};
  const below = { ...config, projectConfig: { ...projectConfig, testEnvironmentOptions: rest } };
  return { options: ephemeralBroker, below };
}

/** @param {any} Base a class of environments */
function withBrokerEnvironment(Base) {
  return class BrokerEnvironment extends Base {
    #file;

    /**
     * @param {any} config
     * @param {any} context
     */
    constructor(config, context) {
      const { options, below } = split(config);
      super(below, context);
      this.#file = new TestFile(options, context.testPath, this.global);
    }

    async setup() {
      await super.setup();
      // Jest limits the time of tests and their hooks only, so this may wait.
      await this.#file.begin(this.global);
    }

    /**
     * @param {any} event
     * @param {any} state
     */
    async handleTestEvent(event, state) {
      await super.handleTestEvent?.(event, state);
      this.#file.onEvent(event);
    }

    async teardown() {
      try {
        await this.#file.end();
      } finally {
        await super.teardown();
      }
    }
  };
}

module.exports = { split, withBrokerEnvironment };

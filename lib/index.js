'use strict';

const { PipeClient, Client, BrokerError } = require('./client');

/** Loaded when it is asked for: most processes are clients alone, and start for one answer. */
const broker = {
  get Broker() {
    return require('./broker').Broker;
  },
};

module.exports = { PipeClient, Client, BrokerError };
// In a form that importers of ES modules find the name in (cjs-module-lexer).
Object.defineProperty(module.exports, 'Broker', {
  enumerable: true,
  get() {
    return broker.Broker;
  },
});

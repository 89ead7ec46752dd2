'use strict';

const { PipeClient, Client, BrokerError } = require('./client');

/** Loaded when it is asked for: most processes are clients alone, and start for one answer. */
const broker = {
  get Broker() {
    return require('./broker').Broker;
  },
};

/**
 * Whether a broker answers and has room: for readiness probes.
 * @param {string | null} [pipe]
 * @param {import('./index').Duration} [timeout]
 */
async function checkReadiness(pipe, timeout = 2000) {
  try {
    const client = new PipeClient(pipe, { timeout });
    try {
      return (await client.health()).status === 'healthy';
    } finally {
      await client.close();
    }
  } catch {
    return false;
  }
}

module.exports = { PipeClient, Client, BrokerError, checkReadiness };
// In a form that importers of ES modules find the name in (cjs-module-lexer).
Object.defineProperty(module.exports, 'Broker', {
  enumerable: true,
  get() {
    return broker.Broker;
  },
});

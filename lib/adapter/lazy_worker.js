/** A client that connects when it is first used. */
'use strict';

const { PipeClient } = require('../client/client.js');
const { worker } = require('./tokens.js');

/**
 * @param {() => { adapter: string, workerId: string }} who
 * @returns {{ client: import('../index').PipeClient, close: () => Promise<void> }}
 */
function lazyWorker(who) {
  /** @type {import('../index').PipeClient | null} */
  let made = null;
  /** @param {string | symbol} name */
  const member = (name) => {
    made ??= worker(who());
    const value = Reflect.get(made, name, made);
    return typeof value === 'function' ? value.bind(made) : value;
  };
  const target = Object.create(PipeClient.prototype);
  const client = new Proxy(target, {
    // Test libraries ask any object for `then` and for symbols, which needs no broker.
    get: (_, name) => (name in target ? member(name) : undefined),
  });
  const close = async () => {
    const closing = made;
    made = null;
    await closing?.close();
  };
  return { client, close };
}

module.exports = { lazyWorker };

/** A WebDriver server without a browser: for tests whose subject is the runner. */
'use strict';

const http = require('node:http');
const { once } = require('node:events');

/**
 * @param {import('node:test').TestContext} t
 * @returns {Promise<number>} its port
 */
async function startWebdriver(t) {
  let sessions = 0;
  const server = http.createServer((request, response) => {
    request.resume();
    const isNew = request.method === 'POST' && request.url === '/session';
    const capabilities = { browserName: 'fake', browserVersion: '1', platformName: 'linux' };
    const value = isNew ? { sessionId: `s${++sessions}`, capabilities } : null;
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ value }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections?.();
    server.close();
  });
  return /** @type {import('node:net').AddressInfo} */ (server.address()).port;
}

module.exports = { startWebdriver };

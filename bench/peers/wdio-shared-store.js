'use strict';

// @wdio/shared-store-service, WebdriverIO's package for the same purpose: an HTTP server in the launcher and
// requests with fetch. The capabilities contain the port, as in a real run.
const { beServer, serveFile, versionOf } = require('../common.js');

const PACKAGE = '@wdio/shared-store-service';
const CAPABILITY = 'wdio:sharedStoreServicePort';

async function connect(port) {
  const { default: Service, getValue, setValue } = await import(PACKAGE);
  new Service(null, { [CAPABILITY]: port });
  return { get: getValue, set: setValue };
}

async function start() {
  const { launcher: Launcher } = await import(PACKAGE);
  const capabilities = [{ browserName: 'none' }];
  await new Launcher().onPrepare(null, capabilities);
  return { address: capabilities[0][CAPABILITY] };
}

module.exports = [
  {
    name: 'wdio shared store',
    order: 8,
    ttl: 'never',
    items: 10_000,
    missing: () => null,
    versions: () => ({ [PACKAGE]: versionOf(PACKAGE) }),
    serve: ({ cpus }) => serveFile(__filename, { cpus, env: { WDIO_LOG_LEVEL: 'silent' } }),
    connect,
  },
];

if (require.main === module) beServer(start);

'use strict';

// @ephemeral-broker/core, whose idea this package adopts: JSON lines, one connection for each request. It
// runs without a limit of items, because it counts all items at each new one.
const { beServer, serveFile, versionOf } = require('../common.js');

const PACKAGE = '@ephemeral-broker/core';
const TTL_MS = 600_000;
const MIB = 1024 * 1024;
const LIMITS = { maxItems: 0, maxValueSize: 2 * MIB, maxRequestSize: 4 * MIB };

async function connect(pipe) {
  const { Client } = await import(PACKAGE);
  const client = new Client(pipe);
  await client.ping();
  return {
    get: (key) => client.get(key),
    set: (key, value, ttlMs = TTL_MS) => client.set(key, value, ttlMs),
    async lock(name) {
      const worker = String(process.pid);
      await client.lease(name, worker, TTL_MS);
      return () => client.release(worker);
    },
  };
}

async function start() {
  const { Broker } = await import(PACKAGE);
  const broker = new Broker({ ...LIMITS, logLevel: 'error', metrics: false });
  await broker.start();
  return { address: broker.pipe };
}

module.exports = [
  {
    name: 'reference',
    order: 7,
    ttl: 'always',
    items: 10_000,
    can: ['lock'],
    missing: () => null,
    versions: () => ({ [PACKAGE]: versionOf(PACKAGE) }),
    serve: ({ dir, cpus }) => serveFile(__filename, { cpus, env: { TMPDIR: dir } }),
    connect,
  },
];

if (require.main === module) beServer(start);

'use strict';

// The broker of this package with PipeClient, without and with a secret. The engine is a thread of its
// process, so this file is also the program of a separate process that can be pinned. Its limits are raised
// to the needs of the largest workload.
const crypto = require('node:crypto');
const fs = require('node:fs');
const { beServer, serveFile } = require('../common.js');

const ROOT = '../..';
const TTL_MS = 600_000;
const MIB = 1024 * 1024;
const LIMITS = {
  maxItems: 0,
  maxMemory: 0,
  maxConnections: 0,
  maxValueSize: 2 * MIB,
  maxRequestSize: 4 * MIB,
};

function missing() {
  try {
    const { Broker } = require(ROOT);
    new Broker();
    return null;
  } catch (error) {
    return `run npm install in the root first: ${error.message}`;
  }
}

const versions = () => ({ 'ephemeral-pipe-broker': require(`${ROOT}/package.json`).version });

function serve({ dir, cpus, options = {} }, secret) {
  const env = { EPHEMERAL_SECRET: secret, BROKER_SECRET: undefined, CLIENT_SECRET: undefined };
  return serveFile(__filename, { cpus, options, env: { ...env, TMPDIR: dir } });
}

let connections = 0;

/** Another name for a pipe: clients of one process that use the same path share a connection. */
function anotherName(pipe) {
  const name = `${pipe}-${process.pid}-${connections}`;
  fs.symlinkSync(pipe, name);
  return name;
}

async function connect(pipe) {
  const { PipeClient } = require(ROOT);
  const client = new PipeClient(connections++ === 0 ? pipe : anotherName(pipe));
  await client.ping();
  return {
    get: (key) => client.get(key),
    set: (key, value, ttlMs = TTL_MS) => client.set(key, value, ttlMs),
    del: (key) => client.del(key),
    ping: () => client.ping(),
    incr: (key) => client.incr(key, 1, TTL_MS),
    async lock(name) {
      const lease = await client.acquireLock(name);
      return () => lease.release();
    },
    client,
    another: (path) => new PipeClient(path),
    async memory() {
      const { memory, reservedMemory } = await client.stats();
      return { 'stats().memory': memory, 'stats().reservedMemory': reservedMemory };
    },
  };
}

async function start(options) {
  const { Broker } = require(ROOT);
  const broker = new Broker({ ...LIMITS, ...options });
  return { address: await broker.start(), stop: () => broker.stop({ drainMs: 0 }) };
}

const cold = (pipe) => `
  const { PipeClient } = require(${JSON.stringify(require.resolve(ROOT))});
  new PipeClient(${JSON.stringify(pipe)}).get('bench:item');`;

const common = {
  missing,
  versions,
  connect,
  cold,
  main: true,
  isOurs: true,
  ttl: 'always',
  can: ['del', 'expiry', 'growth', 'incr', 'leases', 'lock', 'objects', 'ping'],
};
const secret = crypto.randomBytes(32).toString('hex');

module.exports = [
  { ...common, name: 'broker', order: 2, serve: (place) => serve(place, undefined) },
  { ...common, name: 'broker, secret', order: 3, serve: (place) => serve(place, secret) },
];

if (require.main === module) beServer(start);

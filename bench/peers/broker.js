'use strict';

// The broker of this package with PipeClient, without and with a secret. The engine is a thread of
// the process it was made in, so this file is also the program of a process of its own that can be
// pinned: it says its pipe over IPC and ends with its parent.
const crypto = require('node:crypto');
const { nextMessage, pinned } = require('../common');

const ROOT = '../..';
const TTL_MS = 600_000;
const MAX_ITEMS = 200_000;

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

async function serve({ cpus, options = {} }, secret) {
  const env = { EPHEMERAL_SECRET: secret, BROKER_SECRET: undefined, CLIENT_SECRET: undefined };
  const server = pinned(cpus, process.execPath, [__filename, JSON.stringify(options)], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const { pipe } = await nextMessage(server);
  return { address: pipe, server, env };
}

async function connect(pipe) {
  const { PipeClient } = require(ROOT);
  const client = new PipeClient(pipe);
  await client.ping();
  return {
    get: (key) => client.get(key),
    set: (key, value, ttlMs = TTL_MS) => client.set(key, value, ttlMs),
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

async function serveHere() {
  const { Broker } = require(ROOT);
  const broker = new Broker({ maxItems: MAX_ITEMS, ...JSON.parse(process.argv[2]) });
  const stop = () => broker.stop({ drainMs: 0 }).then(() => process.exit(0));
  process.once('SIGTERM', stop);
  process.once('disconnect', stop);
  process.send({ pipe: await broker.start() });
}

const common = { missing, versions, connect, ttlAlways: true, can: ['leases'] };
const secret = crypto.randomBytes(32).toString('hex');

module.exports = [
  { ...common, name: 'broker', order: 2, serve: (place) => serve(place, undefined) },
  { ...common, name: 'broker, secret', order: 3, serve: (place) => serve(place, secret) },
];

if (require.main === module) serveHere();

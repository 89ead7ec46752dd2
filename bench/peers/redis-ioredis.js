'use strict';

// redis-server on a Unix socket, nothing written to disk, with ioredis as it comes (it does not
// collect commands by itself then). The second peer turns enableAutoPipelining on: what ioredis
// can do for requests in flight. SET is plain in the rates, while our items always have a TTL.
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const { once } = require('node:events');
const { setTimeout: delay } = require('node:timers/promises');
const { pinned } = require('../common');

const LOOK_MS = 5;
const LOCK_MS = 60_000;
/** Deletes a lock only while it is still the caller's. */
const UNLOCK = `
  if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
  return 0`;

/** What keeps this peer from running, as a sentence. */
function missing() {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' });
    return null;
  } catch {
    return 'redis-server is not installed (Debian: apt-get install redis-server)';
  }
}

function versions() {
  const text = execFileSync('redis-server', ['--version'], { encoding: 'utf8' });
  const ioredis = require('ioredis/package.json').version;
  return { 'redis-server': /v=(\S+)/.exec(text)?.[1], ioredis };
}

async function serve({ dir, cpus }) {
  const cwd = fs.mkdtempSync(path.join(dir, 'redis-'));
  const address = path.join(cwd, 'redis.sock');
  const settings = ['--port', '0', '--unixsocket', address, '--save', '', '--appendonly', 'no'];
  const server = pinned(cpus, 'redis-server', settings, { cwd, stdio: 'ignore' });
  while (!fs.existsSync(address)) {
    if (server.exitCode !== null) throw new Error('redis-server ended early');
    await delay(LOOK_MS);
  }
  return { address, server };
}

async function connect(socket, options) {
  const { Redis } = require('ioredis');
  const redis = new Redis(socket, options);
  await once(redis, 'ready');
  redis.defineCommand('unlock', { numberOfKeys: 1, lua: UNLOCK });
  return {
    get: (key) => redis.get(key),
    set: (key, value, ttlMs) =>
      ttlMs ? redis.set(key, value, 'PX', ttlMs) : redis.set(key, value),
    async lock(name) {
      const token = crypto.randomUUID();
      const reply = await redis.set(name, token, 'PX', LOCK_MS, 'NX');
      if (reply !== 'OK') throw new Error('the lock is held');
      return () => redis.unlock(name, token);
    },
    async memory() {
      const info = await redis.info('memory');
      return { used_memory: Number(/^used_memory:(\d+)/m.exec(info)[1]) };
    },
  };
}

const common = { missing, versions, serve };

module.exports = [
  {
    ...common,
    name: 'redis + ioredis',
    order: 0,
    connect: (address) => connect(address, {}),
  },
  {
    ...common,
    name: 'redis + ioredis, enableAutoPipelining',
    order: 1,
    only: ['64 in flight', '1,000 in one tick'],
    aside: true,
    connect: (address) => connect(address, { enableAutoPipelining: true }),
  },
];

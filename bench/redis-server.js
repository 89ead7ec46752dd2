'use strict';

// Shared by the peers that use redis: redis-server on a Unix socket, without writing to disk.
const fs = require('node:fs');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const { appears, missingCommand, pinned, versionOf } = require('./common.js');

const LOCK_MS = 60_000;
/** Deletes a lock only if it still belongs to the caller. */
const UNLOCK = `
  if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
  return 0`;

const missing = () => missingCommand('redis-server', '--version', 'redis-server');

function versions(client) {
  const text = execFileSync('redis-server', ['--version'], { encoding: 'utf8' });
  return {
    'redis-server': /v=(\S+)/.exec(text)?.[1],
    [client]: versionOf(client),
  };
}

async function serve({ dir, cpus }) {
  const cwd = fs.mkdtempSync(path.join(dir, 'redis-'));
  const address = path.join(cwd, 'redis.sock');
  const settings = ['--port', '0', '--unixsocket', address, '--save', '', '--appendonly', 'no'];
  const server = pinned(cpus, 'redis-server', settings, { cwd, stdio: 'ignore' });
  await appears(address, server);
  return { address, server };
}

/** @param {string} info the reply to INFO memory */
const usedMemory = (info) => ({ used_memory: Number(/^used_memory:(\d+)/m.exec(info)[1]) });

module.exports = { LOCK_MS, UNLOCK, missing, serve, usedMemory, versions };

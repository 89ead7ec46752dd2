'use strict';

// memcached on a Unix socket with `memcached` of npm, one connection for each client.
const fs = require('node:fs');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const { promisify } = require('node:util');
const { appears, missingCommand, pinned, versionOf } = require('../common.js');

// The client expects a port at the end of an address, and treats it as part of the path.
const SOCKET = 'memcached.sock:11211';
const MEGABYTES = '1024';
const CONNECTIONS = '4096';
const LARGEST_ITEM = '4m';
const LARGEST_VALUE = 2 * 1024 * 1024;

const missing = () => missingCommand('memcached', '--version', 'memcached');

function versions() {
  const text = execFileSync('memcached', ['--version'], { encoding: 'utf8' });
  return {
    'memcached server': text.trim().split(' ').at(-1),
    'memcached client': versionOf('memcached'),
  };
}

async function serve({ dir, cpus }) {
  const cwd = fs.mkdtempSync(path.join(dir, 'memcached-'));
  const address = path.join(cwd, SOCKET);
  const limits = ['-m', MEGABYTES, '-c', CONNECTIONS, '-I', LARGEST_ITEM];
  // As root, memcached requires the name of a user.
  const user = process.getuid() === 0 ? ['-u', 'root'] : [];
  const settings = ['-s', address, '-t', '1', ...limits, ...user];
  const server = pinned(cpus, 'memcached', settings, { stdio: 'ignore' });
  await appears(address, server);
  return { address, server };
}

async function connect(address) {
  const Memcached = require('memcached');
  const memcached = new Memcached(address, { poolSize: 1, maxValue: LARGEST_VALUE });
  const call = (name) => promisify(memcached[name]).bind(memcached);
  const [get, set, del, incr, add] = ['get', 'set', 'del', 'incr', 'add'].map(call);
  await get('bench:item');
  return {
    get,
    set: (key, value, ttlMs = 0) => set(key, value, Math.ceil(ttlMs / 1_000)),
    del,
    async incr(key) {
      const sum = await incr(key, 1);
      if (sum !== false) return sum;
      await add(key, 1, 0);
      return 1;
    },
  };
}

const cold = (address) => `
  const Memcached = require(${JSON.stringify(require.resolve('memcached'))});
  const memcached = new Memcached(${JSON.stringify(address)}, { poolSize: 1 });
  memcached.get('bench:item', () => memcached.end());`;

module.exports = [
  {
    name: 'memcached',
    order: 4,
    can: ['expiry', 'growth'],
    missing,
    versions,
    serve,
    cold,
    connect,
  },
];

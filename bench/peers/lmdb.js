'use strict';

// lmdb in shared memory, without a server. Every process maps the same file, so a read is a memory access. It
// has no TTL, no authentication and no leases, and any process that may write can damage all of it.
const fs = require('node:fs');
const path = require('node:path');
const { versionOf } = require('../common.js');

const SHARED_MEMORY = '/dev/shm';
const FILE = 'items.mdb';
/** The unit of `blocks` in the result of `stat`. */
const BLOCK_BYTES = 512;
const MAP_BYTES = 4 * 1024 ** 3;
const folders = [];

const missing = () => (fs.existsSync(SHARED_MEMORY) ? null : `there is no ${SHARED_MEMORY}`);

function removeFolders() {
  for (const folder of folders) fs.rmSync(folder, { recursive: true, force: true });
}

/** The folder is removed when the run ends. */
async function serve() {
  if (folders.length === 0) process.once('exit', removeFolders);
  const address = fs.mkdtempSync(path.join(SHARED_MEMORY, 'epb-bench-'));
  folders.push(address);
  return { address };
}

async function connect(folder) {
  const { open } = require('lmdb');
  const store = open({ path: path.join(folder, FILE), mapSize: MAP_BYTES, noSync: true });
  return {
    get: async (key) => store.get(key),
    set: (key, value) => store.put(key, value),
    del: (key) => store.remove(key),
    ping: async () => true,
    memory: async () => ({ file: BLOCK_BYTES * fs.statSync(path.join(folder, FILE)).blocks }),
  };
}

module.exports = [
  {
    name: 'lmdb',
    order: 6,
    ttl: 'never',
    missing,
    versions: () => ({ lmdb: versionOf('lmdb') }),
    serve,
    connect,
  },
];

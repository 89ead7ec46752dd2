'use strict';

// The limit of the cipher: a C program (c/cipher.c) that only seals and opens records of a large value with
// parts of the addon, repeatedly.
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { promisify } = require('node:util');
const { compile, missingCommand } = require('../common.js');

const ROOT = path.join(__dirname, '../..');
const ARCHIVES = ['core', 'mbedtls', 'libsodium', 'cjson', 'libuv'].map((name) =>
  path.join(ROOT, `build/Release/epb_${name}.a`),
);
const INCLUDES = ['csrc', 'deps/mbedtls/include'].map((folder) => `-I${path.join(ROOT, folder)}`);
const CONFIG = '-DMBEDTLS_CONFIG_FILE="wire/mbedtls_config.h"';
const LIBRARIES = ['-pthread', '-ldl', '-lrt'];
const BYTES = 64 * 1024;

const execute = promisify(execFile);

/** A team for rounds.js; an operation is a pair of passes. */
function openTeam({ dir, client }) {
  const program = compile(dir, 'cipher', [...INCLUDES, CONFIG, ...ARCHIVES, ...LIBRARIES]);
  const measure = async (workload, { ms }) => {
    const args = ['-c', client, program, String(BYTES), String(ms)];
    const { seal, open } = JSON.parse((await execute('taskset', args)).stdout);
    return { perSecond: 1e6 / (seal + open) };
  };
  return { measure, close: async () => {} };
}

function missing() {
  const isBuilt = ARCHIVES.every((file) => fs.existsSync(file));
  if (!isBuilt) return 'the parts of the addon are not there: run node scripts/install.js';
  return missingCommand('cc', '--version', 'gcc');
}

module.exports = [
  {
    name: 'C, cipher',
    order: 13,
    aside: true,
    only: ['sequential GET, 64 KiB', 'sequential SET, 64 KiB'],
    places: ['one CPU'],
    missing,
    versions: () => ({}),
    openTeam,
  },
];

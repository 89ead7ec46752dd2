'use strict';

// What the cipher of a session with a secret takes for 64 KiB by itself, from c/cipher.c: the part of
// a request with a large value that is not ours to make faster. A get seals once and opens once.
const fs = require('node:fs');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const { compile, spread } = require('../common');

const ROOT = path.join(__dirname, '../..');
const ARCHIVES = ['core', 'mbedtls', 'libsodium', 'cjson', 'libuv'].map((name) =>
  path.join(ROOT, `build/Release/epb_${name}.a`),
);
const INCLUDES = ['csrc', 'deps/mbedtls/include'].map((folder) => `-I${path.join(ROOT, folder)}`);
const CONFIG = '-DMBEDTLS_CONFIG_FILE="wire/mbedtls_config.h"';
const BYTES = 64 * 1024;

async function once({ places, settings }) {
  if (!ARCHIVES.every((file) => fs.existsSync(file))) {
    throw new Error('the parts of the addon are not there: run node scripts/install.js');
  }
  const [{ dir, client }] = places;
  const libraries = ['-pthread', '-ldl', '-lrt'];
  const program = compile(dir, 'cipher', [...INCLUDES, CONFIG, ...ARCHIVES, ...libraries]);
  const pass = () => {
    const args = ['-c', client, program, String(BYTES), String(settings.ms)];
    return JSON.parse(execFileSync('taskset', args, { encoding: 'utf8' }));
  };
  const passes = Array.from({ length: settings.rounds }, pass);
  const of = (name) => spread(passes.map((one) => one[name]));
  return {
    unit: 'µs',
    rows: [{ what: '64 KiB', figures: { seal: of('seal'), open: of('open') } }],
  };
}

module.exports = [{ name: 'the cipher by itself', order: 9, group: 'store', kind: 'once', once }];

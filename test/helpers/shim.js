/**
 * Compiles the libraries that tests preload into other processes (LD_PRELOAD). Linux with a C compiler only;
 * elsewhere `available` is false.
 */
'use strict';

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const available =
  process.platform === 'linux' && !spawnSync('cc', ['--version'], { stdio: 'ignore' }).error;

const libraries = new Map();

function compile(name) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'epb-shim-'));
  process.once('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
  const library = path.join(folder, 'shim.so');
  const source = path.join(__dirname, `${name}.c`);
  const flags = ['-std=gnu11', '-O1', '-shared', '-fPIC'];
  const made = spawnSync('cc', [...flags, '-o', library, source, '-ldl'], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`${name}.c does not compile:\n${made.stderr}`);
  return library;
}

/** The path of the library of a source in this folder; removed when this process ends. */
function shim(name) {
  if (!libraries.has(name)) libraries.set(name, compile(name));
  return libraries.get(name);
}

module.exports = { available, shim };

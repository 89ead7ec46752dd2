#!/usr/bin/env node
/**
 * The script behind `npx ephemeral-pipe-broker`: this process becomes the native program. Where that is not
 * possible (Windows, or no addon for this system), it starts the program and waits. The command `init` is ours.
 */
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const ROOT = path.join(__dirname, '..');
const isWindows = process.platform === 'win32';
const FILE = isWindows ? 'epb.exe' : 'epb';
/** The program that was built here, and the one that comes with the package. */
const programs = ['build/Release', `prebuilds/${process.platform}-${process.arch}`]
  .map((folder) => path.join(ROOT, folder, FILE))
  .filter((file) => fs.existsSync(file));
const words = process.argv.slice(2);

/** @param {string} message @returns {never} */
function fail(message) {
  fs.writeSync(2, `ephemeral-pipe-broker: ${message}\n`);
  process.exit(125);
}

/** @param {string} program */
function become(program) {
  // Deno leaves inherited descriptors as they are, and has files of its own open.
  const marksDescriptors = process.versions.deno === undefined;
  try {
    return require('../lib/binding.js').load().become(program, words, marksDescriptors);
  } catch (/** @type {any} */ error) {
    return error.message;
  }
}

/** @param {string} program */
function startAndWait(program) {
  // Keys reach the program, too: it decides about them.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => {});
  const child = require('node:child_process').spawn(program, words, { stdio: 'inherit' });
  child.on('error', (error) => fail(`${program}: it can't be started: ${error.message}`));
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 125);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

if (words[0] === 'init') {
  require('../lib/init/init.js').main(words.slice(1));
} else if (programs.length === 0) {
  fail(
    `there is no native program for ${process.platform}-${process.arch}. Build it with a C and C++ ` +
      `compiler, make and Python 3 installed: node "${path.join(ROOT, 'scripts', 'install.js')}"`,
  );
} else {
  const failures = isWindows ? [] : programs.map(become);
  startAndWait(programs[failures.findIndex((failure) => failure !== 'ENOEXEC')] ?? programs[0]);
}

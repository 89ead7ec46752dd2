// The install script of the package: makes sure that there is a native addon.
//
// A package from a registry contains prebuilt addons. If one of them loads, the script has nothing to do;
// such an installation also works with --ignore-scripts. Otherwise, and always in a clone of the project
// (where sources change), the script builds the addon from source: it fetches deps/ unless the package
// contains it, and runs node-gyp, which compiles only changed files.
'use strict';

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const ROOT = path.join(__dirname, '..');
// Not "npm rebuild": a recent npm runs a package's scripts only after the user has allowed them.
const AGAIN = `node ${JSON.stringify(__filename)}`;
const IS_CLONE = fs.existsSync(path.join(__dirname, 'bootstrap'));

/** The prebuilt addon that fits this platform and loads, or null. */
function workingPrebuild() {
  process.env.PREBUILDS_ONLY = '1';
  let file;
  try {
    file = require('node-gyp-build').resolve(ROOT);
  } catch {
    return null;
  }
  // In a separate process: an addon for another C library may crash the process that loads it.
  const attempt = spawnSync(process.execPath, ['-e', 'require(process.argv[1])', file]);
  return attempt.status === 0 ? file : null;
}

function findNodeGyp() {
  for (const place of [ROOT, path.dirname(process.execPath)]) {
    try {
      return require.resolve('node-gyp/bin/node-gyp.js', { paths: [place] });
    } catch {
      // Try the next candidate.
    }
  }
  const bundled = [
    process.env.npm_config_node_gyp,
    path.join(process.execPath, '../../lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js'),
    path.join(process.execPath, '../node_modules/npm/node_modules/node-gyp/bin/node-gyp.js'),
  ];
  return bundled.find((file) => file && fs.existsSync(file));
}

/** The folder of Node's headers on this machine; null: node-gyp downloads them. */
function headersFolder() {
  const prefix = path.dirname(path.dirname(fs.realpathSync(process.execPath)));
  const folders = [process.env.npm_config_nodedir, prefix].filter(Boolean);
  return folders.find((dir) => fs.existsSync(path.join(dir, 'include/node/node_api.h'))) ?? null;
}

function isThere(command) {
  return !spawnSync(command, ['--version'], { stdio: 'ignore' }).error;
}

/** The tools that a build needs and this machine lacks. On Windows node-gyp does this check. */
function missingTools() {
  if (process.platform === 'win32') return [];
  const tools = [
    ['a C compiler', [process.env.CC, 'cc', 'gcc', 'clang']],
    ['a C++ compiler', [process.env.CXX, 'c++', 'g++', 'clang++']],
    ['make', [process.env.MAKE, 'make', 'gmake']],
    ['python3', [process.env.PYTHON, process.env.npm_config_python, 'python3', 'python']],
  ];
  return tools
    .filter(([, commands]) => !commands.some((command) => command && isThere(command)))
    .map(([name]) => name);
}

function fail(lines) {
  console.error(['', ...lines, ''].map((line) => `ephemeral-pipe-broker: ${line}`).join('\n'));
  process.exit(1);
}

/** The output is written to stderr: the stdout of "npm pack" is the name of the tarball. */
function step(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio: [0, 2, 2] });
  if (status === 0) return;
  fail([
    `building the native addon failed: ${error ? error.message : `${path.basename(args[0])} ended with status ${status}`}.`,
    `What went wrong stands above. After mending it: ${AGAIN}`,
  ]);
}

/** Builds build/Release/epb_native.node. */
function build() {
  const missing = missingTools();
  if (missing.length > 0) {
    fail([
      `no prebuilt addon serves here (${process.platform}-${process.arch}); building one needs ${missing.join(', ')}.`,
      'Debian, Ubuntu: apt-get install build-essential python3',
      'Fedora: dnf install gcc gcc-c++ make python3      Alpine: apk add build-base python3',
      'macOS: xcode-select --install',
      `Then: ${AGAIN}`,
    ]);
  }
  const nodeGyp = findNodeGyp();
  if (!nodeGyp) {
    fail([
      'node-gyp was not found; it comes with npm. With another package manager install it first,',
      'or install ephemeral-pipe-broker with npm.',
    ]);
  }
  if (IS_CLONE) step(process.execPath, [path.join(__dirname, 'fetch-deps')]);
  const headers = headersFolder();
  const where = headers ? [`--nodedir=${headers}`] : [];
  const jobs = process.env.JOBS ? [] : ['--jobs=2'];
  step(process.execPath, [nodeGyp, 'configure', 'build', '--silent', ...where, ...jobs]);
}

module.exports = { build, headersFolder };

if (require.main === module && (IS_CLONE || workingPrebuild() === null)) build();

/**
 * Installs what the adapter tests run, in folders outside of the repository that stay there between runs:
 *
 *   tarballs/<hash>/               the packed library, or a packed package
 *   frameworks/<runner>-<hash>/    what test/e2e/<runner>/package.json names
 *   installed/<runner>-<hash>/     a copy of that with the tarballs installed
 *   node-<version>/                a newer Node, for frameworks that need one
 *
 * A hash covers all that goes into a folder. A folder appears whole, by a rename. No install script runs.
 */
'use strict';

const { execFile } = require('node:child_process');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { setTimeout: pause } = require('node:timers/promises');
const { promisify } = require('node:util');

const { ROOT, find } = require('../../scripts/files.js');

const run = promisify(execFile);

const NODE_24 = '24.22.3';
const CACHE = path.join(
  process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache'),
  'ephemeral-pipe-broker',
  'adapters',
);
const NPM_FLAGS = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--silent'];
const KEPT_DAYS = 2;
const DAY_MS = 86_400_000;
const POLL_MS = 50;

const e2eFolder = (runner) => path.join(ROOT, 'test/e2e', runner);
const packageFolder = (runner) => path.join(ROOT, 'packages', runner);

/** What a user's npm has: nothing of the npm that runs these tests. */
function npmEnv() {
  const kept = Object.entries(process.env).filter(([name]) => !/^(npm_|EPHEMERAL_)/.test(name));
  return Object.fromEntries(kept);
}

async function npm(args, cwd) {
  const options = { cwd, env: npmEnv(), maxBuffer: 64 * 1024 * 1024 };
  try {
    return (await run('npm', args, options)).stdout;
  } catch (error) {
    throw new Error(`npm ${args.join(' ')} in ${cwd}:\n${error.stdout}\n${error.stderr}`, {
      cause: error,
    });
  }
}

const hashOf = (...parts) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part.length}:`).update(part);
  return hash.digest('hex').slice(0, 16);
};

/** The contents of files by their paths. */
function contents(folder, pattern = /./) {
  return find(folder, pattern).flatMap((file) => [file, fs.readFileSync(path.join(ROOT, file))]);
}

/** Runs `make` for a folder that is not there. Two processes may: the first one wins. */
async function once(folder, make) {
  if (!fs.existsSync(folder)) {
    const fresh = `${folder}.${process.pid}.tmp`;
    fs.mkdirSync(path.dirname(folder), { recursive: true, mode: 0o700 });
    fs.mkdirSync(fresh);
    try {
      await make(fresh);
      fs.renameSync(fresh, folder);
    } catch (error) {
      if (!fs.existsSync(folder)) throw error;
    } finally {
      fs.rmSync(fresh, { recursive: true, force: true });
    }
  }
  const now = new Date();
  fs.utimesSync(folder, now, now);
  return folder;
}

/** Removes what no run has used for days: each change of the library makes new folders. */
function prune(parent) {
  const oldest = Date.now() - KEPT_DAYS * DAY_MS;
  for (const name of fs.readdirSync(parent)) {
    const folder = path.join(parent, name);
    const { mtimeMs } = fs.statSync(folder, { throwIfNoEntry: false }) ?? { mtimeMs: Infinity };
    if (mtimeMs < oldest) fs.rmSync(folder, { recursive: true, force: true });
  }
}

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Runs `work` while no other process of this clone does: packing the library builds it. */
async function alone(work) {
  const lock = path.join(ROOT, 'build', 'adapters.lock');
  for (;;) {
    try {
      fs.mkdirSync(path.dirname(lock), { recursive: true });
      fs.writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const owner = Number(fs.existsSync(lock) ? fs.readFileSync(lock, 'utf8') : process.pid);
    // An empty file belongs to a process that has just made it.
    if (owner !== 0 && owner !== process.pid && !isRunning(owner)) fs.rmSync(lock, { force: true });
    await pause(POLL_MS);
  }
  try {
    return await work();
  } finally {
    fs.rmSync(lock, { force: true });
  }
}

/** Packs a folder of ours. @returns {Promise<string>} the tarball */
async function pack(folder, hash, flags = []) {
  const made = await once(path.join(CACHE, 'tarballs', hash), async (fresh) => {
    await npm(['pack', '--silent', ...flags, '--pack-destination', fresh], folder);
  });
  return path.join(made, fs.readdirSync(made)[0]);
}

function packLibrary() {
  const parts = ['package.json', 'binding.gyp', 'scripts/deps.json', 'scripts/musl.mk'];
  const folders = ['bin', 'lib', 'csrc', 'man', 'docs', 'scripts'];
  const hash = hashOf(
    ...parts.map((file) => fs.readFileSync(path.join(ROOT, file))),
    ...folders.flatMap((folder) => contents(folder)),
  );
  // Not `--ignore-scripts`: `prepack` builds what the tarball contains.
  return alone(() => pack(ROOT, hash));
}

function packPackage(runner) {
  const folder = packageFolder(runner);
  if (!fs.existsSync(folder)) return null;
  return pack(folder, hashOf(runner, ...contents(`packages/${runner}`)), ['--ignore-scripts']);
}

/** The framework alone. */
function framework(runner) {
  const manifest = fs.readFileSync(path.join(e2eFolder(runner), 'package.json'));
  const machine = `${process.platform}-${process.arch}-${process.versions.modules}`;
  const folder = path.join(CACHE, 'frameworks', `${runner}-${hashOf(manifest, machine)}`);
  return once(folder, async (fresh) => {
    fs.writeFileSync(path.join(fresh, 'package.json'), manifest);
    await npm(['install', ...NPM_FLAGS], fresh);
  });
}

/**
 * Installs the framework of test/e2e/<runner>, the library, and packages/<runner> if there is one.
 * @param {string} runner
 * @param {string[]} [more] other packages of ours, by their folders in packages/
 * @returns {Promise<string>} the folder with node_modules
 */
async function install(runner, more = []) {
  const base = await framework(runner);
  const tarballs = [await packLibrary()];
  for (const name of [runner, ...more]) {
    const tarball = await packPackage(name);
    if (tarball !== null) tarballs.push(tarball);
  }
  const parent = path.join(CACHE, 'installed');
  const folder = path.join(parent, `${runner}-${hashOf(base, ...tarballs)}`);
  await once(folder, async (fresh) => {
    // Hard links: a framework has tens of thousands of files.
    await run('cp', ['-al', `${base}/.`, fresh]);
    // npm writes into this file in place, which would change the copy that other installations share.
    fs.rmSync(path.join(fresh, 'node_modules/.package-lock.json'), { force: true });
    fs.rmSync(path.join(fresh, 'package-lock.json'), { force: true });
    await npm(['install', '--no-save', '--no-package-lock', ...NPM_FLAGS, ...tarballs], fresh);
  });
  prune(parent);
  prune(path.join(CACHE, 'tarballs'));
  return folder;
}

/** Node 24, for frameworks that need a newer Node than this one. @returns {Promise<string>} the program */
async function node24() {
  if (Number(process.versions.node.split('.')[0]) >= 24) return process.execPath;
  const folder = await once(path.join(CACHE, `node-${NODE_24}`), async (fresh) => {
    const name = `node-${process.platform}-${process.arch}@${NODE_24}`;
    await npm(['pack', '--silent', '--pack-destination', fresh, name], fresh);
    const [tarball] = fs.readdirSync(fresh);
    await run('tar', ['-xzf', tarball, '--strip-components=1'], { cwd: fresh });
    fs.rmSync(path.join(fresh, tarball));
  });
  return path.join(folder, 'bin/node');
}

/** The runners with an adapter test. */
const runners = () =>
  find('test/adapters', /^test\/adapters\/[^/]+\.test\.js$/).map((file) =>
    path.basename(file, '.test.js'),
  );

/** Installs for all adapter tests, two at a time. */
async function installAll() {
  await packLibrary();
  const left = runners().filter((name) => fs.existsSync(e2eFolder(name)));
  const next = async () => {
    while (left.length > 0) {
      const name = left.shift();
      const began = performance.now();
      await install(name);
      console.log(`installed ${name} (${Math.round((performance.now() - began) / 100) / 10} s)`);
    }
  };
  await Promise.all([next(), next()]);
}

module.exports = { e2eFolder, install, installAll, node24, packageFolder };

if (require.main === module) {
  installAll().catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}

/**
 * Loads the native binding, at the first call: a program that only imports the package pays nothing.
 * What it offers is described here, as types; the C++ is in csrc/addon.
 */
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const NAME = 'ephemeral-pipe-broker';

/** The addon where it was built, and where it came with the package (scripts/prebuild). */
const BUILT = 'build/Release/epb_native.node';
const PREBUILDS = `prebuilds/${process.platform}-${process.arch}`;
const PREBUILT = `ephemeral-pipe-broker.napi${process.platform === 'linux' ? '.glibc' : ''}.node`;

/**
 * @typedef {object} NativeChannel one connection to a broker; see csrc/client/client.h
 * @property {() => number} connect a status; `errno` says why when it is not 0
 * @property {string | null} errno
 * @property {(out: Uint8Array | null, outSize: number, into: Uint8Array | null, spinUs: number) => number} exchange
 * @property {boolean} open whether the broker has proved itself, so that requests leave
 * @property {number} needed size of a reply that did not fit `into`
 * @property {(timeoutMs: number) => boolean} wait
 * @property {() => void} arm
 * @property {(inMs: number, keeps: boolean) => void} alarm onWake comes then, instead of when it was to
 *   come before; 0: not any more. keeps: the process lives until then
 * @property {() => void} turn onWake comes in the next round of the event loop
 * @property {() => void} ref
 * @property {() => void} unref
 * @property {number} session the number of this thread's session at the broker; 0: unknown
 * @property {() => void} wakeSiblings wakes those others: a call waits for what they may have
 * @property {number} siblings how many others of this thread are connected as the same session
 * @property {number} unsent
 * @property {(frame: Uint8Array, intervalMs: number) => number} startRenewal sends a frame every so often, from a
 *   thread of its own; 0: not connected
 * @property {(kept: number) => void} stopRenewal
 * @property {(kept: number) => number | null} msSinceRenewal ms since it was last sent (or since `startRenewal`); null:
 *   it is not kept any more
 * @property {(token: number, intervalMs: number, isRenewed: boolean) => boolean} hold a lease is the
 *   thread's, whatever becomes of the connection; false: not connected
 * @property {(token: number) => boolean} holds whether it is
 * @property {(token: number) => boolean} drop not by this connection any more; whether nothing else of this thread claims it
 * @property {() => void} close
 *
 * @typedef {object} NativeBroker
 * @property {() => string} start
 * @property {(drainMs: number, callback: () => void) => void} stop
 * @property {() => void} stopSync
 * @property {string} path
 * @property {() => void} ref
 * @property {() => void} unref
 *
 * @typedef {object} NativeBinding
 * @property {{ addon: string, mbedtls: string, libsodium: string, cjson: string, libuv: string }} versions
 * @property {number} frameVersion
 * @property {{ number: number, code: string, message: string }[]} statuses
 * @property {Record<string, number>} actions
 * @property {Record<string, number>} flags
 * @property {{ action: number, name: string, shape: string, needs: number, takes: number }[]} commands
 * @property {new (path: string, secret: Uint8Array | null, onWake: (what: number) => void) => NativeChannel} Channel
 * @property {(gc: () => void) => boolean} collect calls it from the event loop, with no JavaScript below it;
 *   false: another is to be called already
 * @property {new (options: object, secret: Uint8Array | null, onEvent: (type: string, json: string) => void) => NativeBroker} Broker
 * @property {() => number} now milliseconds of a clock that only goes forward
 * @property {(view: DataView, at: number, end: number) => boolean} isPlain see csrc/base/utf8.h
 * @property {() => void} hardenProcess
 * @property {(file: string, args: string[], env: string[], options: { newGroup: boolean, cwd?: string }, onExit: (exitCode: number | null, signal: number | null) => void) => number} spawn
 * @property {(pid: number, group: boolean, signal: number) => void} kill
 * @property {() => string} makeSecret
 * @property {(fd: number) => boolean} discard
 * @property {(pid: number) => { parent: number, commandLine: string } | null} describeProcess its
 *   arguments, each ended by a NUL, and who started it; null where it is not there, or the system tells
 *   nothing (other than Linux)
 * @property {(pids: number[], onDeath: (pid: number) => void) => boolean} watchAncestors
 */

/** @type {NativeBinding | null} */
let loaded = null;

/** @returns {NativeBinding} */
function load() {
  loaded ??= loadFrom(path.join(__dirname, '..'));
  return loaded;
}

/**
 * Where the addon is in nearly every installation: what was built here, else what came for glibc. The
 * order is that of node-gyp-build, which is asked where this finds nothing, or was told otherwise by
 * the environment; loading it costs a worker more than loading the addon.
 * @param {string} root
 * @returns {string | undefined}
 */
function usualPlace(root) {
  const { PREBUILDS_ONLY, EPHEMERAL_PIPE_BROKER_PREBUILD, LIBC } = process.env;
  if (PREBUILDS_ONLY || EPHEMERAL_PIPE_BROKER_PREBUILD || LIBC) return undefined;
  const built = path.join(root, BUILT);
  if (fs.existsSync(built)) return built;
  const isMusl = process.platform === 'linux' && fs.existsSync('/etc/alpine-release');
  const prebuilt = path.join(root, PREBUILDS, PREBUILT);
  return !isMusl && fs.existsSync(prebuilt) ? prebuilt : undefined;
}

/**
 * Where the file system tells nothing, as where a test has replaced `fs`: by trying.
 * @param {string} root
 * @returns {NativeBinding | null}
 */
function tried(root) {
  for (const place of [path.join(root, BUILT), path.join(root, PREBUILDS, PREBUILT)]) {
    try {
      return require(place);
    } catch {
      // Perhaps at the next one.
    }
  }
  return null;
}

/**
 * Whether a folder is that of the package: a bundle has our code in another.
 * @param {string} root
 */
function isPackage(root) {
  try {
    return require(path.join(root, 'package.json')).name === NAME;
  } catch {
    return false;
  }
}

/** @param {string} root */
function advice(root) {
  if (!isPackage(root)) {
    return (
      `${NAME} was moved out of its package, by a bundler perhaps, and its native binary is not with ` +
      `it. Mark ${NAME} as external, so that it is loaded from node_modules (esbuild: ` +
      `--external:${NAME}; webpack, Rollup and Vite: the option external or externals).`
    );
  }
  return (
    `${NAME} has no native binary for ${process.platform}-${process.arch} with Node ` +
    `${process.versions.node}. Build it with a C and C++ compiler, make and Python 3 installed: ` +
    `node ${JSON.stringify(path.join(root, 'scripts/install.js'))}`
  );
}

/**
 * @param {string} root
 * @returns {NativeBinding}
 */
function loadFrom(root) {
  try {
    const place = usualPlace(root);
    if (place !== undefined) return require(place);
    // @ts-expect-error: node-gyp-build comes without types
    return require('node-gyp-build')(root);
  } catch (cause) {
    const found = tried(root);
    if (found !== null) return found;
    throw new Error(advice(root), { cause });
  }
}

/** @type {() => number} the addon's own function from its first call on */
let clock = () => {
  clock = load().now;
  return clock();
};

/** Milliseconds of the addon's clock: it only goes forward, and nobody puts a fake in its place. */
const now = () => clock();

module.exports = { load, now };

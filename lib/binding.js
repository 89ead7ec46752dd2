/**
 * Loads the native binding at the first call, so a program that only imports the package pays nothing. The
 * types below describe the binding; its source is in csrc/addon.
 */
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const NAME = 'ephemeral-pipe-broker';

/** The locally built addon, and the one that comes with the package (scripts/prebuild). */
const BUILT = 'build/Release/epb_native.node';
const PREBUILDS = `prebuilds/${process.platform}-${process.arch}`;
const PREBUILT = `ephemeral-pipe-broker.napi${process.platform === 'linux' ? '.glibc' : ''}.node`;

/**
 * @typedef {object} NativeChannel one connection to a broker; see csrc/client/client.h
 * @property {() => number} connect a status; if it is not 0, `errno` has the reason
 * @property {string | null} errno
 * @property {(out: Uint8Array | null, outSize: number, into: Uint8Array | null, spinUs: number) => number} exchange
 * @property {boolean} open whether the broker has proved that it knows the secret, so requests can be sent
 * @property {number} needed size of a reply that did not fit `into`
 * @property {(timeoutMs: number) => boolean} wait
 * @property {() => void} arm
 * @property {(inMs: number, keeps: boolean) => void} alarm calls onWake after `inMs`, replacing the previous
 *   alarm; 0 clears it. keeps: the alarm keeps the process alive
 * @property {() => void} turn calls onWake in the next iteration of the event loop
 * @property {() => void} ref
 * @property {() => void} unref
 * @property {number} session the number of this thread's session at the broker; 0: unknown
 * @property {() => void} wakeSiblings wakes the sibling channels: a call waits for a key that they may hold
 * @property {number} siblings how many other channels of this thread are connected to the same session
 * @property {number} unsent
 * @property {(frame: Uint8Array, intervalMs: number) => number} startRenewal sends a frame every `intervalMs`
 *   from a native thread; returns the renewal's id, or 0 when not connected
 * @property {(kept: number) => void} stopRenewal
 * @property {(kept: number) => number | null} msSinceRenewal ms since the frame was last sent (or since
 *   `startRenewal`); null: the renewal has ended
 * @property {string | null} renewalErrno why the last renewal failed, such as 'EMFILE'; null: it did not fail
 * @property {(token: number, intervalMs: number, isRenewed: boolean) => boolean} hold claims a lease for the
 *   thread, so that it outlives the connection; false: not connected
 * @property {(token: number) => boolean} holds whether the thread holds the lease
 * @property {(token: number) => boolean} drop withdraws this connection's claim; true: no other connection of
 *   this thread claims the lease
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
 * @property {{ action: number, name: string, needs: number, takes: number }[]} commands
 * @property {new (path: string, secret: Uint8Array | null, onWake: (what: number) => void) => NativeChannel} Channel
 * @property {(gc: () => void) => boolean} collect calls `gc` from the event loop, with no JavaScript below it
 *   on the stack; false: another call is pending already
 * @property {new (options: object, secret: Uint8Array | null, onEvent: (type: string, json: string) => void) => NativeBroker} Broker
 * @property {() => number} now milliseconds of a monotonic clock
 * @property {(view: DataView, at: number, end: number) => boolean} isPlain see csrc/base/utf8.h
 * @property {() => void} hardenProcess
 * @property {(path: string, args: string[], givesBackDescriptors: boolean) => string} become becomes the
 *   program: returns the name of an error, or not at all. See csrc/os/become.h. Not on Windows
 */

/** @type {NativeBinding | null} */
let loaded = null;

/** @returns {NativeBinding} */
function load() {
  loaded ??= loadFrom(path.join(__dirname, '..'));
  return loaded;
}

/**
 * The path of the addon in nearly every installation: the local build, else the prebuilt one for glibc, in
 * the order of node-gyp-build. node-gyp-build itself is used only when there is neither, or when the
 * environment selects another, because loading it takes longer than loading the addon.
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
 * Tries to load the addon without asking the file system, which a test may have replaced.
 * @param {string} root
 * @returns {NativeBinding | null}
 */
function tried(root) {
  for (const place of [path.join(root, BUILT), path.join(root, PREBUILDS, PREBUILT)]) {
    try {
      return require(place);
    } catch {
      // Try the next path.
    }
  }
  return null;
}

/**
 * Whether a folder is the package's root. A bundler moves this code to another folder.
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

/** Milliseconds of the addon's monotonic clock, which fake timers do not replace. */
const now = () => clock();

module.exports = { load, now };

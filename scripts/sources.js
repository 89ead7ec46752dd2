// Prints the sources of one part of the addon or of the program, for binding.gyp and test/c/Makefile, so that the two
// builds can't disagree: node scripts/sources.js <part> [linux|mac|win]
//
// Files are found by pattern. A suffix ties a file to a platform: _win.c to Windows, _posix.c to
// everything else, _linux.c and _mac.c to one system. libuv has no such rule; its lists are copied
// from its own build for the three systems.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const ROOT = path.join(__dirname, '..');

const LIBUV_COMMON =
  'fs-poll idna inet random strscpy strtok thread-common threadpool timer uv-common ' +
  'uv-data-getter-setters version';
const LIBUV_UNIX =
  'async core dl fs getaddrinfo getnameinfo loop loop-watcher pipe poll process proctitle ' +
  'random-devurandom signal stream tcp thread tty udp';
// random-getentropy is needed: the macro that disables io_uring (binding.gyp) makes random.c use it.
const LIBUV_LINUX = 'linux procfs-exepath random-getentropy random-getrandom random-sysctl-linux';
const LIBUV_MAC = 'bsd-ifaddrs darwin darwin-proctitle fsevents kqueue random-getentropy';

function below(folder, extension) {
  const found = fs.readdirSync(path.join(ROOT, folder)).filter((file) => file.endsWith(extension));
  return found.sort().map((file) => `${folder}/${file}`);
}

function isFor(file, platform) {
  const suffix = /_(win|posix|linux|mac)\.(?:c|cc)$/.exec(file);
  if (suffix === null) return true;
  return {
    win: platform === 'win',
    posix: platform !== 'win',
    linux: platform === 'linux',
    mac: platform === 'mac',
  }[suffix[1]];
}

function ours(folders, extension, platform) {
  return folders
    .map((folder) => `csrc/${folder}`)
    .filter((folder) => fs.existsSync(path.join(ROOT, folder)))
    .flatMap((folder) => below(folder, extension))
    .filter((file) => isFor(file, platform));
}

/** The decompression of zlib. */
const ZLIB = 'adler32 crc32 inffast inflate inftrees zutil';

/** The folders of libsodium's ChaCha20-Poly1305 and AES-256-GCM, and of their parts. */
const LIBSODIUM =
  'crypto_aead/aes256gcm/aesni crypto_aead/chacha20poly1305/sodium crypto_onetimeauth/poly1305 ' +
  'crypto_onetimeauth/poly1305/donna crypto_onetimeauth/poly1305/sse2 crypto_stream/chacha20 ' +
  'crypto_stream/chacha20/dolbeau crypto_stream/chacha20/ref crypto_verify/sodium sodium';

function libuv(platform) {
  const named = (folder, names) => names.split(' ').map((name) => `${folder}/${name}.c`);
  const common = named('deps/libuv/src', LIBUV_COMMON);
  if (platform === 'win') return [...common, ...below('deps/libuv/src/win', '.c')];
  return [
    ...common,
    ...named('deps/libuv/src/unix', LIBUV_UNIX),
    ...named('deps/libuv/src/unix', platform === 'mac' ? LIBUV_MAC : LIBUV_LINUX),
  ];
}

const PARTS = {
  mbedtls: () => below('deps/mbedtls/library', '.c'),
  libsodium: () =>
    LIBSODIUM.split(' ').flatMap((part) => below(`deps/libsodium/src/libsodium/${part}`, '.c')),
  cjson: () => ['deps/cjson/cJSON.c'],
  zlib: () => ZLIB.split(' ').map((name) => `deps/zlib/${name}.c`),
  libuv,
  core: (platform) =>
    ours(['base', 'options', 'core', 'wire', 'os', 'server', 'client'], '.c', platform),
  cli: (platform) => ours(['cli'], '.c', platform),
  addon: (platform) => ours(['addon'], '.cc', platform),
  // Only for scripts/windows.mk.
  mingw: () => ours(['addon'], '_mingw.c', 'win'),
};

function thisPlatform() {
  return { win32: 'win', darwin: 'mac' }[process.platform] ?? process.platform;
}

function sources(part, platform = thisPlatform()) {
  if (!Object.hasOwn(PARTS, part)) {
    throw new Error(`unknown part "${part}": one of ${Object.keys(PARTS).join(', ')}`);
  }
  return PARTS[part](platform);
}

module.exports = { sources };

if (require.main === module) {
  const [part, platform] = process.argv.slice(2);
  process.stdout.write(`${sources(part, platform).join('\n')}\n`);
}

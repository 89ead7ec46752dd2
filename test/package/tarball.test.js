// The npm tarball: what is in it, that it installs into an empty folder and works there without a
// compiler and without install scripts, and that it builds from its own sources where no prebuilt
// addon fits.
'use strict';

const assert = require('node:assert/strict');
const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, before, describe, it } = require('node:test');

const { ROOT } = require('../../scripts/files.js');

const PACKAGE = 'ephemeral-pipe-broker';
const PLATFORM = `${process.platform}-${process.arch}`;
const PACKED_LIMIT = 2.5 * 1024 * 1024;
const UNPACKED_LIMIT = 10 * 1024 * 1024;
const PROGRAM_LIMIT = 1024 * 1024;

const ALLOWED = [
  /^(LICENSE|README\.md|package\.json|binding\.gyp)$/,
  /^(ARCHITECTURE|BENCHMARKS|CHANGELOG|CONTRIBUTING|PROTOCOL|SECURITY)\.md$/,
  /^bin\/[\w-]+\.js$/,
  /^examples\/(pipe\/[Cc]lient\.\w+|python\/(ephemeral_pipe\.py|pyproject\.toml|README\.md))$/,
  /^docs\/[\w/-]+\.(md|svg)$/,
  /^lib\/[\w/-]+\.(js|d\.ts)$/,
  /^csrc\/[\w/-]+\.(c|h|cc|def|map)$/,
  /^deps\/(cjson|libsodium|libuv|mbedtls|node-addon-api|zlib)\/([\w/.-]+\.(c|h)|LICENSE(-extra|\.md)?|\.stamp)$/,
  /^man\/epb\.1$/,
  /^prebuilds\/README\.md$/,
  /^prebuilds\/[a-z0-9]+-[a-z0-9]+\/ephemeral-pipe-broker\.napi(\.(glibc|musl))?\.node$/,
  /^prebuilds\/[a-z0-9]+-[a-z0-9]+\/epb(\.exe)?$/,
  /^scripts\/(deps\.json|fetch-deps|install\.js|sources\.js)$/,
];

const PROBE = `
  const { PipeClient } = require('ephemeral-pipe-broker');
  (async () => {
    const client = new PipeClient();
    await client.set('greeting', { text: 'hello' }, 60000);
    console.log((await client.get('greeting')).text);
  })();`;

let base;
let packed;

/** A folder with nothing but the named programs, to be the whole PATH. */
function pathWith(programs) {
  const folder = fs.mkdtempSync(path.join(base, 'bin-'));
  for (const program of programs) {
    const found = execFileSync('sh', ['-c', 'command -v "$1"', 'sh', program], {
      encoding: 'utf8',
    });
    fs.symlinkSync(fs.realpathSync(found.trim()), path.join(folder, program));
  }
  return folder;
}

/** What a machine has that runs Node and nothing else. */
const bare = () => pathWith(['node', 'npm', 'npx', 'sh', 'env']);

function run(command, args, options = {}) {
  // Settings of the npm that runs these tests are not those of a user.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(npm_|EPHEMERAL_|BROKER_|CLIENT_)/.test(name),
    ),
  );
  return spawnSync(command, args, {
    encoding: 'utf8',
    ...options,
    env: { CLIENT_TIMEOUT: '120s', ...env, ...options.env },
  });
}

function succeed(command, args, options) {
  const { status, stdout, stderr, error } = run(command, args, options);
  assert.equal(status, 0, `${command} ${args.join(' ')}: ${error ?? ''}\n${stdout}\n${stderr}`);
  return stdout;
}

/** An empty project with the tarball installed, no install script run. */
function install(PATH) {
  const folder = fs.mkdtempSync(path.join(base, 'project-'));
  fs.writeFileSync(path.join(folder, 'package.json'), '{"private":true}');
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'];
  succeed('npm', [...args, packed.file], { cwd: folder, env: { PATH } });
  return { folder, home: path.join(folder, 'node_modules', PACKAGE) };
}

function removePrebuilds(home) {
  fs.rmSync(path.join(home, 'prebuilds', PLATFORM), { recursive: true });
}

function startProbe(folder, PATH) {
  const epb = path.join(folder, 'node_modules/.bin/epb');
  return run(epb, ['start', '--', 'node', '-e', PROBE], { cwd: folder, env: { PATH } });
}

describe('the npm tarball', () => {
  before(() => {
    base = fs.mkdtempSync(path.join(os.tmpdir(), 'epb-pack-'));
    const report = succeed('npm', ['pack', '--json', '--silent', '--pack-destination', base], {
      cwd: ROOT,
    });
    // npm writes an array, or an object by package name since version 12; a script may print first.
    const parsed = JSON.parse(report.slice(report.search(/^[[{]/m)));
    const [entry] = Object.values(parsed);
    packed = { ...entry, file: path.join(base, entry.filename) };
  });

  after(() => fs.rmSync(base, { recursive: true, force: true }));

  it('holds what a user needs', () => {
    const names = packed.files.map((file) => file.path);
    const needed = [
      'LICENSE',
      'README.md',
      'docs/errors/not_found.md',
      'bin/ephemeral-pipe-broker.js',
      'lib/index.js',
      'lib/index.d.ts',
      'csrc/epb.h',
      'binding.gyp',
      'deps/libuv/LICENSE',
      'deps/cjson/LICENSE',
      'deps/mbedtls/LICENSE',
      'deps/libsodium/LICENSE',
      'deps/node-addon-api/LICENSE.md',
    ];
    assert.deepEqual(
      needed.filter((name) => !names.includes(name)),
      [],
    );
    assert.ok(names.some((name) => name.startsWith(`prebuilds/${PLATFORM}/`)));
  });

  it('holds nothing else', () => {
    const names = packed.files.map((file) => file.path);
    assert.deepEqual(
      names.filter((name) => !ALLOWED.some((pattern) => pattern.test(name))),
      [],
    );
  });

  it('is small', () => {
    assert.ok(packed.size < PACKED_LIMIT, `${packed.size} bytes packed`);
    assert.ok(packed.unpackedSize < UNPACKED_LIMIT, `${packed.unpackedSize} bytes unpacked`);
  });

  it('names no folder of the machine that made it', () => {
    const folder = fs.mkdtempSync(path.join(base, 'unpacked-'));
    execFileSync('tar', ['-xf', packed.file, '-C', folder]);
    const strays = fs
      .readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
      .filter((file) => fs.readFileSync(file).includes(`${ROOT}/`));
    assert.deepEqual(strays, []);
  });

  it('runs after --ignore-scripts on a machine without a compiler', () => {
    const PATH = bare();
    const { folder, home } = install(PATH);
    const { status, stdout, stderr } = startProbe(folder, PATH);
    assert.equal(status, 0, stderr);
    assert.equal(stdout, 'hello\n');
    assert.ok(!fs.existsSync(path.join(home, 'build')), 'nothing was built');
  });

  it('has a program that needs neither Node nor a library', () => {
    const { home } = install(process.env.PATH);
    const program = path.join(home, 'prebuilds', PLATFORM, 'epb');
    const said = run(program, ['--version'], { env: { PATH: '' } });
    const { version } = require('../../package.json');
    assert.deepEqual([said.status, said.stderr], [0, '']);
    assert.match(said.stdout, new RegExp(`^ephemeral-pipe-broker ${version}\n  mbedtls `));
    assert.equal(run(program, ['--binary']).stdout, `${fs.realpathSync(program)}\n`);
    assert.ok(fs.statSync(program).size < PROGRAM_LIMIT, `${fs.statSync(program).size} bytes`);
    const headers = execFileSync('readelf', ['-W', '-l', '-d', program], { encoding: 'utf8' });
    assert.doesNotMatch(headers, /NEEDED|INTERP/);
  });

  it('finds the addon that node-gyp-build would, without loading it', () => {
    const { folder } = install(process.env.PATH);
    const script = `
      require('ephemeral-pipe-broker/client').PipeClient;
      require('./node_modules/${PACKAGE}/lib/binding.js').load();
      const loaded = Object.keys(require.cache);
      const root = require('node:path').join(process.cwd(), 'node_modules/${PACKAGE}');
      const found = loaded.filter((file) => file.endsWith('.node'));
      console.log(found[0] === require('node-gyp-build').resolve(root), found.length);
      console.log(loaded.some((file) => file.includes('node-gyp-build')));`;
    const output = succeed(process.execPath, ['-e', script], { cwd: folder });
    assert.equal(output, 'true 1\nfalse\n');
  });

  it('has nothing to install when the prebuilt addon works', () => {
    const PATH = bare();
    const { home } = install(PATH);
    const { status, stdout, stderr } = run('node', ['scripts/install.js'], {
      cwd: home,
      env: { PATH },
    });
    assert.equal(status, 0, stderr);
    assert.equal(stdout + stderr, '');
    assert.ok(!fs.existsSync(path.join(home, 'build')));
  });

  it('builds from its own sources where no prebuilt addon fits', () => {
    const { folder, home } = install();
    removePrebuilds(home);
    // An archive that does not exist: the sources in the tarball have to be enough.
    succeed('node', ['scripts/install.js'], {
      cwd: home,
      env: { EPB_DEPS_MIRROR: path.join(base, 'nowhere') },
    });
    assert.ok(fs.existsSync(path.join(home, 'build/Release/epb_native.node')));
    const { status, stdout, stderr } = startProbe(folder);
    assert.equal(status, 0, stderr);
    assert.equal(stdout, 'hello\n');
  });

  it('does not trust a prebuilt addon that does not load', () => {
    const PATH = bare();
    const { home } = install(PATH);
    const folder = path.join(home, 'prebuilds', PLATFORM);
    for (const name of fs.readdirSync(folder)) {
      fs.writeFileSync(path.join(folder, name), 'made for another machine');
    }
    const { status, stderr } = run('node', ['scripts/install.js'], { cwd: home, env: { PATH } });
    assert.equal(status, 1);
    assert.match(stderr, /no prebuilt addon serves here/);
  });

  it('says what is missing where it can neither load nor build', () => {
    const PATH = bare();
    const { folder, home } = install(PATH);
    removePrebuilds(home);
    const attempt = run('node', ['scripts/install.js'], { cwd: home, env: { PATH } });
    assert.equal(attempt.status, 1);
    for (const lacking of ['C compiler', 'C++ compiler', 'make', 'python3', 'apt-get install']) {
      assert.ok(attempt.stderr.includes(lacking), `${lacking} in: ${attempt.stderr}`);
    }
    const { status, stderr } = startProbe(folder, PATH);
    assert.equal(status, 125);
    assert.match(stderr, /there is no native program for .*scripts\/install\.js/);
    assert.doesNotMatch(stderr, /\n\s+at .*:\d+:\d+/, 'an explanation, not a stack trace');
  });

  it('serves the client package', () => {
    const client = path.join(ROOT, 'packages/ephemeral-pipe-client');
    const args = ['pack', '--json', '--silent', '--pack-destination', base];
    const [{ filename }] = Object.values(JSON.parse(succeed('npm', args, { cwd: client })));
    const PATH = bare();
    const { folder } = install(PATH);
    const add = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'];
    succeed('npm', [...add, path.join(base, filename)], { cwd: folder, env: { PATH } });
    const check = `
      const theirs = require('ephemeral-pipe-client');
      console.log(theirs.PipeClient === require('ephemeral-pipe-broker').PipeClient);`;
    assert.equal(succeed('node', ['-e', check], { cwd: folder, env: { PATH } }), 'true\n');
  });
});

// The steps of `npm test`, in their order. Each has a name, a heading, and `run`, which resolves
// { passed, failed, skipped }: the counts of the test framework, or 1 for a step without a framework.
'use strict';

const { spawn, execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const PINS = require('./deps.json');
const coverage = require('./coverage.js');
const { ROOT, find, nativeFiles, scriptFiles } = require('./files.js');
const { headersFolder } = require('./install.js');
const { Silence } = require('./time_limits.js');
const { sources } = require('./sources.js');

// The slowest steps run last, so that the cheap steps report first.
const LATE_SUITES = ['package', 'e2e', 'adapters'];
// The longest silence of a step's program and of a test file on a quiet machine; longer on a busy one.
const STEP_SILENCE_MS = 8 * 60 * 1000;
const TEST_SILENCE_MS = 2 * 60 * 1000;
const TEST_FILES_AT_ONCE = 2;
const FUZZ_SECONDS = '60';
const DRIVE_SECONDS = '60';
const MAKE_C = ['--no-print-directory', '-s', '-C', 'test/c'];
const without = (names) => names.map((name) => `-${name}`);
// Long histories and large amounts in code without threads: ThreadSanitizer and Valgrind are slow.
const LONG_SUITES = without([
  ...'lease_model store_model coordination_model engine_random sweeper slots utf8 map heap buf'.split(
    ' ',
  ),
  'mem/random_histories_keep_every_byte',
  'engine/a_list_that_is_too_long_is_refused',
  'engine/an_item_of_100_bytes_costs_at_most_170',
  'throttle/nothing_is_rounded_when_an_interval_is_no_whole_number',
  'throttle/agrees_with_the_formula',
]);
// Suites with time-outs in real time, and with system calls and limits that Valgrind does not support.
const SYSTEM_SUITES = without([
  ...'caller client companion renewer server server_wait endpoint attack_endpoint proc'.split(' '),
  ...'process_watch sandbox mem fault_io'.split(' '),
  // Valgrind runs one thread at a time and assumes that `close` never blocks: a descriptor that is
  // slow to close blocks all threads.
  'conn/who_passes_descriptors_is_let_go_and_not_waited_for',
  'conn/what_nobody_has_read_is_not_waited_for',
  'conn/on_pipes_the_socket_is_guarded_too',
  'conn/it_is_guarded_while_it_lingers',
  // A forked child holds memory of threads that it does not have.
  'fork/a_child_ends_whatever_its_parents_threads_hold',
]);
/** Integration tests in which several threads interact. */
const THREAD_TESTS = 'binding lease coordination coordination_watch lifecycle_thread';
/** Rounds of lifecycle_thread: one of each kind. */
const ADDON_LIFECYCLES = '9';
const OK = { passed: 1, failed: 0, skipped: 0 };
const BROKEN = { passed: 0, failed: 1, skipped: 0 };

/** The duration of each test file so far. @type {{ file: string, seconds: number }[]} */
const fileTimes = [];

function total(all) {
  const sum = (what) => all.reduce((sofar, counts) => sofar + counts[what], 0);
  return { passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') };
}

/** Returns a function that returns the elapsed seconds, to a tenth. */
function stopwatch() {
  const began = performance.now();
  return () => Math.round((performance.now() - began) / 100) / 10;
}

const asCount = (isGood) => (isGood ? OK : BROKEN);
const tool = (name) => path.join(ROOT, 'node_modules/.bin', name);

/**
 * Runs a program, collects its output, and prints it: as it comes or, with `held`, all of it at the end.
 * A program that prints nothing for `silenceMs` is killed with all its children.
 */
function execute(command, args, env = {}, { silenceMs = STEP_SILENCE_MS, held = false } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: ROOT,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const output = [];
    const say = (data) => {
      output.push(data);
      if (!held) process.stdout.write(data);
    };
    const silence = new Silence(silenceMs, () => {
      say(Buffer.from(`\n${command} said nothing for ${silenceMs / 60000} minutes: killed\n`));
      process.kill(-child.pid, 'SIGKILL');
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        silence.heard();
        say(data);
      });
    }
    child.on('error', (error) => {
      silence.stop();
      console.log(`${error.message}: run scripts/bootstrap`);
      resolve({ status: null, output: '' });
    });
    child.on('close', (status) => {
      silence.stop();
      const text = Buffer.concat(output).toString();
      if (held) process.stdout.write(text);
      resolve({ status, output: text });
    });
  });
}

async function succeeds(command, args) {
  const { status } = await execute(command, args);
  return asCount(status === 0);
}

/** The framework's counts. A missing report, or one that contradicts the exit status, adds a failure. */
function counted({ passed, failed, skipped = 0 }, status) {
  if (passed + failed === 0) return { ...BROKEN, skipped };
  return { passed, failed: status === 0 || failed > 0 ? failed : 1, skipped };
}

/** The report's sums omit a skipped suite and its tests: this counts a skipped suite as one. */
function tapCounts(tap) {
  const count = (what) => Number(new RegExp(`^# ${what} (\\d+)$`, 'm').exec(tap)?.[1] ?? 0);
  const skipped = tap.match(/^ *ok \d+ .* # SKIP\b/gm)?.length ?? 0;
  return { passed: count('pass'), failed: count('fail') + count('cancelled'), skipped };
}

/** A file that hangs, or ends without a report, adds a failure. */
async function testFile(file, env) {
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'epb-report-'));
  const report = path.join(scratch, 'tap');
  try {
    const reporters = ['--test-reporter=spec', '--test-reporter-destination=stdout'];
    reporters.push('--test-reporter=tap', `--test-reporter-destination=${report}`);
    const how = { silenceMs: TEST_SILENCE_MS, held: true };
    console.log(`-- ${file}`);
    const secondsSince = stopwatch();
    const { status } = await execute(process.execPath, ['--test', ...reporters, file], env, how);
    fileTimes.push({ file, seconds: secondsSince() });
    const tap = fs.existsSync(report) ? fs.readFileSync(report, 'utf8') : '';
    const counts = tapCounts(tap);
    return status === 0 || counts.failed > 0 ? counts : { ...counts, failed: 1 };
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

/** Runs each file separately, so that a file that hangs does not affect the others. */
async function nodeTests(files, env = {}) {
  if (files.length === 0) {
    console.log('no test file was found');
    return BROKEN;
  }
  const left = [...files];
  const all = [];
  const next = async () => {
    while (left.length > 0) all.push(await testFile(left.shift(), env));
  };
  await Promise.all(Array.from({ length: TEST_FILES_AT_ONCE }, next));
  return counted(total(all), 0);
}

async function criterionTests(variables = []) {
  const built = await execute('make', [...MAKE_C, '-j2', ...variables]);
  if (built.status !== 0) return BROKEN;
  const { status, output } = await execute('make', [...MAKE_C, 'run', ...variables]);
  const report =
    /Tested: \d+ \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)/.exec(output) ?? [];
  const [passed = 0, failing = 0, crashing = 0] = report.slice(1).map(Number);
  return counted({ passed, failed: failing + crashing }, status);
}

/** The counts in the last lines of our runner (test/c/threads/runner.c), scripts/fuzz and scripts/drive. */
function tallied({ status, output }) {
  const [passed = 0, failed = 0] = (/^(\d+) (?:targets )?passed, (\d+) failed$/m.exec(output) ?? [])
    .slice(1)
    .map(Number);
  const skipped = Number(/^(\d+) skipped$/m.exec(output)?.[1] ?? 0);
  return counted({ passed, failed, skipped }, status);
}

async function threadTests() {
  const built = await execute('make', [...MAKE_C, '-j2', 'THREADS=1']);
  if (built.status !== 0) return BROKEN;
  const left = `ARGS=${LONG_SUITES.join(' ')}`;
  return tallied(await execute('make', [...MAKE_C, 'run', 'THREADS=1', left]));
}

/** Uses the program of the coverage build, because it has no sanitizer. */
async function valgrindTests() {
  const built = await execute('make', [...MAKE_C, '-j2', 'COVERAGE=1']);
  if (built.status !== 0) return BROKEN;
  const leaks = ['--leak-check=full', '--errors-for-leak-kinds=definite,indirect'];
  const program = path.join(ROOT, 'build/c-coverage/epb_tests');
  const args = ['-q', '--error-exitcode=99', ...leaks, program, ...LONG_SUITES, ...SYSTEM_SUITES];
  // A sandboxed thread refuses Valgrind's own system calls.
  return tallied(await execute('valgrind', args, { EPB_TEST_NO_SANDBOX: '1' }));
}

function fuzzers() {
  const FUZZ = process.env.FUZZ_SECONDS ?? FUZZ_SECONDS;
  return execute(path.join(ROOT, 'scripts/fuzz'), [], { FUZZ_SECONDS: FUZZ }).then(tallied);
}

function drivers() {
  const DRIVE = process.env.DRIVE_SECONDS ?? DRIVE_SECONDS;
  return execute(path.join(ROOT, 'scripts/drive'), [], { DRIVE_SECONDS: DRIVE }).then(tallied);
}

/** The folder of Node's headers: the installed ones, or those that node-gyp has downloaded. */
function nodeFolder() {
  const text = fs.readFileSync(path.join(ROOT, 'build/config.gypi'), 'utf8');
  return headersFolder() ?? JSON.parse(text.replace(/^#.*$/gm, '')).variables.nodedir;
}

/**
 * The builds of the addon with a sanitizer, for a Node without one: the sanitizer's library must be
 * preloaded. Leaks are not reported because Node never frees its own memory, and races among Node's
 * own threads are ignored. The last build counts lines.
 */
const ADDON_BUILDS = {
  memory: {
    make: [],
    folder: 'build/c/addon',
    library: 'libasan.so',
    env: { ASAN_OPTIONS: 'detect_leaks=0', UBSAN_OPTIONS: 'print_stacktrace=1' },
    tests: `${THREAD_TESTS} sync values`,
  },
  threads: {
    make: ['THREADS=1'],
    folder: 'build/c-threads/addon',
    library: 'libtsan.so',
    env: { TSAN_OPTIONS: 'ignore_noninstrumented_modules=1:exitcode=66:die_after_fork=0' },
    tests: THREAD_TESTS,
  },
  coverage: {
    make: ['COVERAGE=1'],
    folder: 'build/c-coverage/addon',
    library: null,
    env: {},
    tests: 'binding',
  },
};

function preloaded(library) {
  if (library === null) return {};
  const file = execFileSync('gcc', [`-print-file-name=${library}`], { encoding: 'utf8' });
  return { LD_PRELOAD: fs.realpathSync(file.trim()) };
}

async function addonTests({ make, folder, library, env, tests }) {
  const where = `NODE_HEADERS=${path.join(nodeFolder(), 'include/node')}`;
  const built = await execute('make', [...MAKE_C, '-j2', 'addon', where, ...make]);
  if (built.status !== 0) return BROKEN;
  return nodeTests(
    tests.split(' ').map((name) => `test/integration/${name}.test.js`),
    {
      ...env,
      EPB_LIFECYCLE_ROUNDS: ADDON_LIFECYCLES,
      ...preloaded(library),
      EPHEMERAL_PIPE_BROKER_PREBUILD: path.join(ROOT, folder),
    },
  );
}

/** The coverage of the C suite and of the addon, which shares its objects. */
async function coverageTests() {
  const build = path.join(ROOT, 'build/c-coverage');
  coverage.reset(build);
  const built = await execute('make', [...MAKE_C, '-j2', 'COVERAGE=1']);
  if (built.status !== 0) return BROKEN;
  const core = tallied(await execute('make', [...MAKE_C, 'run', 'COVERAGE=1']));
  const addon = await addonTests(ADDON_BUILDS.coverage);
  return total([core, addon, asCount(coverage.report(build))]);
}

async function pythonTests() {
  const discover = ['-m', 'unittest', 'discover', '-v', '-s', 'examples/python'];
  const { status, output } = await execute('python3', discover);
  const number = (pattern) => Number(pattern.exec(output)?.[1] ?? 0);
  const failed = number(/failures=(\d+)/) + number(/errors=(\d+)/);
  const skipped = number(/skipped=(\d+)/);
  const ran = number(/^Ran (\d+) tests? in/m) - skipped;
  return counted({ passed: Math.max(0, ran - failed), failed, skipped }, status);
}

/** The compiler flags of the test build, without flags that clang-tidy's older clang does not support. */
function nativeFlags(file) {
  const isCxx = file.endsWith('.cc');
  const make = ['--no-print-directory', '-s', '-C', 'test/c', 'flags'];
  const shared = execFileSync('make', make, { cwd: ROOT, encoding: 'utf8' }).trim().split('\n');
  const versions = ['-DEPB_VERSION="0"'];
  for (const [name, { version }] of Object.entries(PINS)) {
    versions.push(`-DEPB_${name.toUpperCase()}_VERSION="${version}"`);
  }
  if (!isCxx) return ['-std=c11', '-D_GNU_SOURCE', ...versions, ...shared];
  const headers = path.join(headersFolder() ?? '', 'include/node');
  const own = ['-std=c++17', '-DNAPI_VERSION=8', '-DNAPI_DISABLE_CPP_EXCEPTIONS', ...versions];
  // The analyzer follows only our code: following node-addon-api takes three times as long.
  const analyzer = ['-Xclang', '-analyzer-config', '-Xclang', 'c++-template-inlining=false'];
  const system = ['-isystem', 'deps/node-addon-api', '-isystem', headers];
  return [...own, ...shared, ...system, ...analyzer];
}

async function clangTidy() {
  // The slowest files first, so that both workers have the same amount of work.
  const files = [
    ...(headersFolder() ? sources('addon') : []),
    ...sources('core'),
    ...sources('cli'),
  ];
  const flags = { '.c': nativeFlags('x.c'), '.cc': nativeFlags('x.cc') };
  let failed = false;
  const next = async () => {
    for (let file = files.shift(); file !== undefined; file = files.shift()) {
      const args = ['--quiet', file, '--', ...flags[path.extname(file)]];
      const { status, output } = await execute('clang-tidy', args);
      // Without a match in .clang-tidy, clang-tidy would check nothing and succeed.
      if (status !== 0 || /error:|no checks enabled/i.test(output)) failed = true;
    }
  };
  await Promise.all([next(), next()]);
  return asCount(!failed);
}

function cppcheck() {
  return succeeds('cppcheck', [
    '--enable=warning,performance,portability',
    '--error-exitcode=1',
    '--inline-suppr',
    '--quiet',
    '--std=c11',
    '-D_GNU_SOURCE',
    '-D__linux__',
    '-j2',
    '-Icsrc',
    ...sources('core'),
    ...sources('cli'),
  ]);
}

const TEST_FILE = /\.test\.(js|mjs|cjs)$/;

/** The folders of test/ that contain test files, except the late ones and those for Windows (scripts/wine). */
function suites() {
  const folders = find('test', TEST_FILE).map((file) => file.split('/')[1]);
  const others = ['windows', ...LATE_SUITES];
  return [...new Set(folders)].filter((folder) => !others.includes(folder));
}

function suite(name, folder = `test/${name}`) {
  return { name, heading: name, run: () => nodeTests(find(folder, TEST_FILE)) };
}

/** Installs the frameworks first: a test file that is silent for that long would be killed. */
async function adapterTests() {
  const installer = path.join(ROOT, 'test/helpers/installation.js');
  const { status } = await execute(process.execPath, [installer]);
  return status === 0 ? nodeTests(find('test/adapters', TEST_FILE)) : BROKEN;
}

const STEPS = [
  {
    name: 'format',
    heading: 'clang-format',
    run: () => succeeds('clang-format', ['--dry-run', '-Werror', ...nativeFiles()]),
  },
  {
    name: 'format',
    heading: 'Prettier',
    run: () => succeeds(tool('prettier'), ['--check', '--log-level=warn', ...scriptFiles()]),
  },
  {
    name: 'lint',
    heading: 'ESLint',
    run: () => succeeds(tool('eslint'), ['--max-warnings=0', '.']),
  },
  { name: 'lint', heading: 'clang-tidy', run: clangTidy },
  { name: 'lint', heading: 'cppcheck', run: cppcheck },
  {
    name: 'types',
    heading: 'types: lib, packages, type tests',
    run: () => succeeds(tool('tsc'), ['-p', 'tsconfig.json']),
  },
  { name: 'c', heading: 'C core under ASan and UBSan', run: () => criterionTests() },
  {
    name: 'tiny',
    heading: 'random tests of the C core with tiny limits',
    run: () => criterionTests(['TINY=1']),
  },
  {
    name: 'addon',
    heading: 'addon in Node under ASan and UBSan',
    run: () => addonTests(ADDON_BUILDS.memory),
  },
  {
    name: 'addon',
    heading: 'addon in Node under ThreadSanitizer',
    run: () => addonTests(ADDON_BUILDS.threads),
  },
  { name: 'threads', heading: 'C core under ThreadSanitizer', run: threadTests },
  {
    name: 'coverage',
    heading: 'lines of csrc that the C suite and the addon in Node run',
    run: coverageTests,
  },
  { name: 'valgrind', heading: 'C core under Valgrind', run: valgrindTests },
  { name: 'fuzz', heading: 'fuzzers', run: fuzzers },
  { name: 'drivers', heading: 'hostile peers against whole brokers and clients', run: drivers },
  ...suites().map((name) => suite(name)),
  // Not the types of a package, which a test of test/adapters compiles with the framework.
  {
    name: 'packages',
    heading: 'packages',
    run: () => nodeTests(find('packages', /^packages\/[^/]+\/test\/[^/]+\.test\.(js|mjs|cjs)$/)),
  },
  { name: 'python', heading: 'Python client', run: pythonTests },
  suite('package'),
  {
    name: 'e2e',
    heading: 'e2e',
    // The folders in test/e2e are of the adapter tests.
    run: () => nodeTests(find('test/e2e', /^test\/e2e\/[^/]+\.test\.js$/)),
  },
  { name: 'adapters', heading: 'adapters in their frameworks', run: adapterTests },
];

/** The result of a step as a line. */
function stepLine(heading, { passed, failed, skipped }, seconds) {
  const left = skipped > 0 ? `, ${skipped} skipped` : '';
  return `-- ${heading}: ${passed} passed, ${failed} failed${left} (${seconds} s)`;
}

/** The slowest test files, the slowest first. */
function slowest(times, most = 10) {
  const sorted = [...times].sort((a, b) => b.seconds - a.seconds).slice(0, most);
  return sorted.map(({ file, seconds }) => `   ${seconds.toFixed(1).padStart(6)} s  ${file}`);
}

/** The last lines of `npm test`; the last one is a complete summary. */
function summary(results) {
  const all = total(results.map(({ counts }) => counts));
  const broken = results.filter(({ counts }) => counts.failed > 0).map(({ heading }) => heading);
  const skipped = results
    .filter(({ counts }) => counts.skipped > 0)
    .map(({ heading, counts }) => `${counts.skipped} in ${heading}`);
  const lines = [];
  if (broken.length > 0) lines.push(`failed in: ${broken.join('; ')}`);
  if (skipped.length > 0) lines.push(`${all.skipped} skipped: ${skipped.join('; ')}`);
  return [...lines, `${all.passed} passed, ${all.failed} failed`];
}

module.exports = { STEPS, fileTimes, nodeTests, slowest, stepLine, stopwatch, summary, tallied };

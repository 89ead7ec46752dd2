/**
 * Runs test runners with their adapters, as a user does: from the packed tarballs, in a project outside of
 * the repository, with an environment of its own. After each run it checks from outside what holds for all
 * runners: no element had two users at a time, no lease is held, no socket and no process is left.
 *
 *   const { framework } = require('../helpers/framework.js');
 *   const jest = framework('jest');
 *   test('...', async (t) => {
 *     const project = await jest.project(t, { example: true, files: { 'a.test.js': '...' } });
 *     const { code, output, events } = await project.run(['jest', '-w', '3']);
 */
'use strict';

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const { PROGRAM, ROOT, hasEnded, launch, leftovers, scratch, until } = require('./cli.js');
const { Witness } = require('./witness.js');
const { install, node24, packageFolder } = require('./installation.js');

const CHROMIUM = '/usr/bin/chromium';
const CHROMEDRIVER = '/usr/bin/chromedriver';
/** What a test run gets from our environment. */
const KEPT = /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|CLIENT_TIMEOUT)$/;

function browser(file) {
  assert.ok(fs.existsSync(file), `${file} is missing: run scripts/bootstrap`);
  return file;
}

/** The processes whose working directory is the folder or below it. */
function processesIn(folder) {
  return fs.readdirSync('/proc').flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid) || hasEnded(pid)) return [];
    try {
      const cwd = fs.readlinkSync(`/proc/${name}/cwd`);
      if (cwd !== folder && !cwd.startsWith(`${folder}/`)) return [];
      const command = fs.readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      return [{ pid, command }];
    } catch {
      return []; // It has just ended.
    }
  });
}

function kill({ pid }) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}

/** @typedef {{ env?: Record<string, string | undefined>, around?: import('../../lib/index.js').Broker,
 *   start?: boolean, strays?: RegExp, leavesSocket?: boolean, input?: null }} RunOptions
 *   around: a broker of the test, which must have no lease at the end. start: below `epb start`.
 *   strays: processes that the runner leaves by its own fault, which are killed. leavesSocket: the broker is
 *   killed, and a socket stays until the next broker starts. input: null leaves stdin open */

class Project {
  #installed;
  #temporary;
  #path;

  constructor(installed, folder, temporary, programs) {
    this.#installed = installed;
    this.#temporary = temporary;
    this.#path = programs;
    this.folder = folder;
    this.witness = new Witness(path.join(temporary, 'witness'));
    fs.mkdirSync(path.join(temporary, 'witness'));
  }

  /** @param {Record<string, string>} files texts by path */
  write(files) {
    for (const [name, text] of Object.entries(files)) {
      const file = path.join(this.folder, name);
      fs.mkdirSync(path.dirname(file), { recursive: true });
      fs.writeFileSync(file, text);
    }
  }

  #env({ env = {}, around }) {
    const own = Object.entries(process.env).filter(([name]) => KEPT.test(name));
    const all = {
      // On a slow machine a test must not fail by a timeout, unless timeouts are its subject.
      CLIENT_TIMEOUT: '120s',
      ...Object.fromEntries(own),
      PATH: `${this.#path}:${path.join(this.#installed, 'node_modules/.bin')}:${process.env.PATH}`,
      TMPDIR: this.#temporary,
      WITNESS_FOLDER: path.join(this.#temporary, 'witness'),
      ...around?.env(),
      ...env,
    };
    // `launch` would add the rest of our environment.
    const others = Object.keys(process.env).map((name) => [name, undefined]);
    return { ...Object.fromEntries(others), ...all };
  }

  /**
   * Starts a program of the installation, in a process group of its own. The caller awaits `end(running)`.
   * @param {string[]} words such as ['jest', '-w', '3']
   * @param {RunOptions} [options]
   */
  start(words, options = {}) {
    const all = options.start ? [PROGRAM, 'start', '--', ...words] : words;
    const env = this.#env(options);
    // /usr/bin/env looks for the program in the PATH of the run.
    const { input } = options;
    return launch('/usr/bin/env', all, { cwd: this.folder, env, detached: true, input });
  }

  /**
   * Starts a program, and waits until a worker has called `note(what)`.
   * @param {string[]} words
   * @param {string} what
   * @param {RunOptions} [options]
   */
  async startUntil(words, what, options) {
    const running = this.start(words, options);
    let ended = false;
    void running.closed.then(() => (ended = true));
    const said = () => `"${what}" was not noted\n${running.stdout}${running.stderr}`;
    await until(() => {
      if (this.witness.events().some((event) => event.what === what)) return true;
      return ended && assert.fail(said());
    }, said);
    return running;
  }

  /**
   * Waits for the end of a run, and checks what it left.
   * @param {ReturnType<typeof launch>} running
   * @param {RunOptions} [options]
   */
  async end(running, options = {}) {
    const { code, signal, error } = await running.closed;
    assert.equal(error, undefined);
    const output = running.stdout + running.stderr;
    await this.#nothingLeft(output, options);
    const { stdout, stderr } = running;
    return { code, signal, stdout, stderr, output, events: this.witness.events() };
  }

  /**
   * @param {string[]} words
   * @param {RunOptions} [options]
   */
  run(words, options = {}) {
    return this.end(this.start(words, options), options);
  }

  async #nothingLeft(output, { around, strays, leavesSocket = false }) {
    const left = () => processesIn(this.folder);
    if (strays !== undefined) {
      left()
        .filter(({ command }) => strays.test(command))
        .forEach(kill);
    }
    const said = () => `${JSON.stringify(left())} should end\n${output}`;
    await until(() => left().length === 0, said);
    assert.deepEqual(this.witness.violations(), [], output);
    if (!leavesSocket) assert.deepEqual(leftovers(this.#temporary), [], output);
    if (around !== undefined) {
      const client = around.client();
      try {
        // The broker learns of a killed holder by the end of its connection.
        await until(async () => (await client.leases()).length === 0, `no lease\n${output}`);
      } finally {
        await client.close();
      }
    }
  }

  /**
   * `tsc --strict` over the package's own files and its test/types, as installed. Errors in the declarations
   * of the framework do not count.
   * @param {string} name the folder in packages/
   */
  async types(name) {
    const source = path.join(this.folder, 'package');
    const { compilerOptions } = require(path.join(ROOT, 'tsconfig.json'));
    fs.cpSync(packageFolder(name), source, { recursive: true });
    const config = {
      compilerOptions: {
        ...compilerOptions,
        // Declarations of runners name elements of pages.
        lib: [...compilerOptions.lib, 'DOM', 'DOM.Iterable'],
        typeRoots: [path.join(ROOT, 'node_modules/@types')],
      },
      include: ['./**/*'],
      exclude: ['**/node_modules', 'test/*.*'],
    };
    const tests = fs.readdirSync(path.join(source, 'test/types'));
    assert.ok(tests.length > 0, `packages/${name}/test/types tests the types`);
    this.write({ 'package/tsconfig.json': JSON.stringify(config) });
    const tsc = [path.join(ROOT, 'node_modules/typescript/bin/tsc'), '--pretty', 'false'];
    const args = [...tsc, '-p', path.join(source, 'tsconfig.json')];
    const output = await new Promise((resolve) => {
      execFile(process.execPath, args, { cwd: this.folder }, (_, stdout) => resolve(stdout));
    });
    const foreign = /^(\.\.\/)*([\w./-]*\/)?node_modules\/(?!@ephemeral-broker\/)/;
    const errors = output.split('\n').filter((line) => /: error TS/.test(line));
    assert.deepEqual(
      errors.filter((line) => !foreign.test(line)),
      [],
      output,
    );
  }

  /** Removes the project. Called by the test's end. */
  remove() {
    processesIn(this.folder).forEach(kill);
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

class Framework {
  #runner;
  #node;
  #more;
  /** @type {Promise<string> | null} */
  #folder = null;

  constructor(runner, { node, packages = [] } = {}) {
    this.#runner = runner;
    this.#node = node;
    this.#more = packages;
  }

  get chromium() {
    return browser(CHROMIUM);
  }

  get chromedriver() {
    return browser(CHROMEDRIVER);
  }

  /** @returns {Promise<string>} the folder whose node_modules has the framework and our packages */
  installed() {
    this.#folder ??= install(this.#runner, this.#more);
    return this.#folder;
  }

  /** A folder with the program that the runner's `#!/usr/bin/env node` finds. */
  async #programs(temporary) {
    const node = this.#node === 24 ? await node24() : process.execPath;
    const folder = path.join(temporary, 'bin');
    fs.mkdirSync(folder);
    fs.symlinkSync(node, path.join(folder, 'node'));
    return folder;
  }

  /**
   * A project in which the package is installed. It has witness.cjs (witness.js), and is removed after the test.
   * @param {import('node:test').TestContext} t
   * @param {{ files?: Record<string, string>, example?: boolean }} [content]
   *   example: begins with the files of examples/<runner>
   */
  async project(t, { files = {}, example = false } = {}) {
    const installed = await this.installed();
    const projects = path.join(installed, 'projects');
    fs.mkdirSync(projects, { recursive: true });
    const folder = fs.mkdtempSync(path.join(projects, `${this.#runner}-`));
    const temporary = scratch(t);
    const project = new Project(installed, folder, temporary, await this.#programs(temporary));
    t.after(() => project.remove());
    if (example) {
      fs.cpSync(path.join(ROOT, 'examples', this.#runner), folder, { recursive: true });
    }
    const witness = fs.readFileSync(path.join(__dirname, 'witness.js'), 'utf8');
    project.write({ 'package.json': '{"private":true}', 'witness.cjs': witness, ...files });
    return project;
  }
}

/**
 * @param {string} runner the folder in test/e2e, in examples, and in packages if there is one
 * @param {{ node?: 24, packages?: string[] }} [options] node: for a framework that needs a newer Node;
 *   packages: further packages of ours
 */
const framework = (runner, options) => new Framework(runner, options);

module.exports = { framework, processesIn };

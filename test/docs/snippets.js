'use strict';

/*
 * Runs every snippet of a document as its reader would. The snippets of a section belong together:
 * - A block whose first line is a comment with a file name becomes that file, in a folder where the package is
 *   installed.
 * - A `sh` block is run there.
 * - A `text` block is what the block before it must print: the shell block, or the file.
 * - Files of a section without a shell block are run: JavaScript under `start`, or by itself if it makes a
 *   broker. A configuration (`*.conf.mjs`) has its hooks called.
 * - Commands of a workflow (`yaml`) and of a container (`dockerfile`) that run our program are run.
 * - A section about a runner with an adapter shows files of `examples/<runner>`, which test/adapters runs.
 * A block of any other language fails the test, so that no snippet goes untried.
 */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { test } = require('node:test');
const yaml = require('js-yaml');

const { ROOT } = require('../../scripts/files.js');

const PROGRAM = path.join(ROOT, 'bin/ephemeral-pipe-broker.js');
const NAMES = ['ephemeral-pipe-broker', 'epb', 'ephemeral-broker', 'brokerctl'];
const TIMEOUT_MS = 600_000;
const FILES = new Set(['js', 'py', 'yaml', 'json', 'dockerfile', 'ini']);

/** The folder in examples/ of each runner with an adapter or a recipe that test/adapters runs. */
const RUNNERS = new Map([
  ['AVA', 'ava'],
  ['Cucumber', 'cucumber'],
  ['Jest', 'jest'],
  ['Mocha', 'mocha'],
  ['node:test', 'node-test'],
  ['Playwright', 'playwright'],
  ['TestCafe', 'testcafe'],
  ['Vitest', 'vitest'],
  ['WebdriverIO', 'wdio'],
]);

/** @typedef {{ language: string, text: string, line: number }} Block */

/** The fenced blocks of a Markdown text, by section. */
function sections(markdown) {
  const found = [];
  let section = { title: 'top', blocks: [] };
  let block = null;
  markdown.split('\n').forEach((line, index) => {
    const fence = /^```(\w*)$/.exec(line);
    if (block && fence) {
      section.blocks.push(block);
      block = null;
    } else if (block) {
      block.text += `${line}\n`;
    } else if (fence) {
      block = { language: fence[1], text: '', line: index + 1 };
    } else if (/^##+ /.test(line)) {
      found.push(section);
      section = { title: line.replace(/^#+ /, ''), blocks: [] };
    }
  });
  assert.equal(block, null, 'a fence is not closed');
  return [...found, section].filter(({ blocks }) => blocks.length > 0);
}

/** A folder where the package and the frameworks of the examples are installed, and `npm test` succeeds. */
function project() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'docs-'));
  const modules = path.join(folder, 'node_modules');
  fs.cpSync(path.join(ROOT, 'node_modules/.bin'), path.join(modules, '.bin'), {
    recursive: true,
    verbatimSymlinks: false,
  });
  for (const name of fs.readdirSync(path.join(ROOT, 'node_modules'))) {
    if (name.startsWith('.')) continue;
    fs.symlinkSync(path.join(ROOT, 'node_modules', name), path.join(modules, name));
  }
  for (const name of NAMES) {
    const link = path.join(modules, '.bin', name);
    fs.rmSync(link, { force: true });
    fs.symlinkSync(PROGRAM, link);
  }
  const self = path.join(modules, 'ephemeral-pipe-broker');
  fs.rmSync(self, { force: true });
  fs.symlinkSync(ROOT, self);
  // Tests that fail without a broker, and with a token that any of them could print.
  const check =
    'node -e "process.exit(process.env.EPHEMERAL_PIPE && !process.env.API_TOKEN ? 0 : 1)"';
  const manifest = { name: 'docs', private: true, scripts: { test: check } };
  fs.writeFileSync(path.join(folder, 'package.json'), JSON.stringify(manifest));
  return folder;
}

/** The environment of a reader's shell: nothing of the run that this test is part of. */
function environment() {
  // No snippet is to fail by a time-out, on however slow a machine.
  const env = { ...process.env, CLIENT_TIMEOUT: '120s' };
  for (const name of Object.keys(env)) {
    if (/^(npm_|EPHEMERAL_|NODE_TEST|NODE_OPTIONS$|JEST_|CI$)/.test(name)) delete env[name];
  }
  return env;
}

function run(command, args, folder) {
  const result = spawnSync(command, args, {
    cwd: folder,
    env: environment(),
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = `${args.join(' ')}\n${result.stdout}\n${result.stderr}`;
  assert.equal(result.error, undefined, said);
  assert.equal(result.status, 0, said);
  return result.stdout;
}

const shell = (text, folder) => run('bash', ['-euo', 'pipefail', '-c', text], folder);

const fileName = ({ text }) => /^(?:\/\/|#) ([\w./-]+)\n/.exec(text)?.[1];

function writeFile(block, folder) {
  const name = fileName(block);
  assert.ok(name, `the snippet at line ${block.line} names its file in its first line`);
  const file = path.join(folder, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, block.text);
  return name;
}

/** What can't be run as it stands: the set-up lines are those that this test is part of. */
const SPECIAL = new Map([
  ['npm install --save-dev ephemeral-pipe-broker @ephemeral-broker/rate-limit\n', () => ''],
  [
    'scripts/bootstrap && npm run example\nscripts/bootstrap && npm test\n',
    () => {
      const { scripts } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
      assert.ok(scripts.test && scripts.example, 'npm test and npm run example exist');
      assert.match(
        fs.readFileSync(path.join(ROOT, '.ci/run'), 'utf8'),
        /^scripts\/bootstrap && npm test$/m,
        'the test line of the README is the one that is run',
      );
      run('npm', ['run', 'example'], ROOT);
    },
  ],
  [
    'npm install --save-dev ephemeral-pipe-broker\n',
    () => {
      // test/package installs the packed tarball into an empty folder.
      assert.ok(
        fs.readdirSync(path.join(ROOT, 'test/package')).some((name) => name.endsWith('.test.js')),
      );
    },
  ],
]);

function runShell(block, folder) {
  const special = SPECIAL.get(block.text);
  return special ? special(folder) : shell(block.text, folder);
}

/** A file that no shell block runs. @returns {string} what it prints */
function runFile(name, folder) {
  const file = path.join(folder, name);
  if (!name.endsWith('.conf.mjs')) {
    const makesBroker = fs.readFileSync(file, 'utf8').includes('new Broker(');
    const start = makesBroker ? [] : [PROGRAM, 'start', '--', process.execPath];
    return run(process.execPath, [...start, file], folder);
  }
  const hooks = `const { config } = await import(${JSON.stringify(file)});
    await config.onPrepare();
    await config.beforeSession();
    if (!process.env.API_TOKEN) throw new Error('no token');`;
  const node = [process.execPath, '--input-type=module', '-e', hooks];
  return run(process.execPath, [PROGRAM, 'start', '--', ...node], folder);
}

/** The strings in a value of YAML, at any depth. */
const strings = (value) =>
  typeof value === 'object' && value !== null ? Object.values(value).flatMap(strings) : [value];

/** The commands in a configuration that run our program. It must be well-formed. */
function commands({ language, text }) {
  if (language === 'json') JSON.parse(text.replace(/^\/\/.*\n/, ''));
  if (language === 'yaml') {
    return strings(yaml.load(text)).filter((word) => /^npx ephemeral-pipe-broker /.test(word));
  }
  const command = language === 'dockerfile' ? /^CMD (\[.*\])$/m.exec(text) : null;
  return command ? [JSON.parse(command[1]).join(' ')] : [];
}

/** A printed text without what differs between two runs: processes and durations. */
const settled = (text) =>
  text
    .replace(/worker "\d+"/g, 'worker "N"')
    .replace(/pid \d+/g, 'pid N')
    .replace(/\bfor [\d.]+ m?s\b/g, 'for N ms');

/** Runs a section's blocks in their order. */
function runSection({ blocks }, folder) {
  const hasShell = blocks.some(({ language, text }) => language === 'sh' && !SPECIAL.has(text));
  for (const [index, block] of blocks.entries()) {
    const { language, line } = block;
    const next = blocks[index + 1];
    let printed = '';
    if (language === 'sh') {
      printed = runShell(block, folder);
    } else if (FILES.has(language)) {
      const name = writeFile(block, folder);
      for (const command of commands(block)) shell(command, folder);
      if (language === 'js' && (!hasShell || next?.language === 'text')) {
        printed = runFile(name, folder);
      }
    } else {
      const previous = blocks[index - 1]?.language;
      const isOutput = language === 'text' && (previous === 'sh' || previous === 'js');
      assert.ok(isOutput, `line ${line}: nothing runs a block of "${language}"`);
    }
    if (next?.language === 'text') {
      assert.equal(settled(printed ?? ''), settled(next.text), `printed by line ${line}`);
    }
  }
}

const hasPytest = () => spawnSync('python3', ['-c', 'import pytest']).status === 0;

/** What test/adapters runs: each file of the section is one of the example, each command installs or runs. */
function checkAdapterSection({ blocks }, runner) {
  for (const block of blocks) {
    if (block.language === 'sh') {
      assert.match(block.text, /^(npm install|npx|node) .*\n(npx .*\n)?$/);
      continue;
    }
    const name = fileName(block);
    assert.ok(name, `the snippet at line ${block.line} names its file in its first line`);
    const text = fs.readFileSync(path.join(ROOT, 'examples', runner, name), 'utf8');
    const shown = block.text.replace(/^.*\n/, '');
    assert.ok(text.includes(shown), `line ${block.line} is not in examples/${runner}/${name}`);
  }
}

/** The runner of a section, if there is an adapter test that runs its example. */
function adapterOf(document, title) {
  const isRecipe = ['README.md', 'docs/recipes.md'].includes(document);
  const runner = isRecipe ? RUNNERS.get(title) : undefined;
  const file = path.join(ROOT, 'test/adapters', `${runner}.test.js`);
  if (runner === undefined || !fs.existsSync(file)) return undefined;
  return /example: true/.test(fs.readFileSync(file, 'utf8')) ? runner : undefined;
}

/** Declares a test for each section of a document. @param {string} document its path from the root */
function testDocument(document) {
  const markdown = fs.readFileSync(path.join(ROOT, document), 'utf8');
  for (const section of sections(markdown)) {
    test(`${document}: ${section.title}`, (context) => {
      const runner = adapterOf(document, section.title);
      if (runner !== undefined) {
        checkAdapterSection(section, runner);
        return;
      }
      const text = section.blocks.map((block) => block.text).join('');
      if (text.includes('-m pytest') && !hasPytest()) {
        context.skip('pytest is not installed');
        return;
      }
      const folder = project();
      context.after(() => fs.rmSync(folder, { recursive: true, force: true }));
      runSection(section, folder);
    });
  }
}

module.exports = { testDocument };

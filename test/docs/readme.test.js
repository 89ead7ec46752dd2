'use strict';

/*
 * Runs every snippet of README.md as its reader would. The snippets of a section belong together:
 * a block whose first line is a comment with a file name becomes that file, in a folder where the
 * package is installed; a sh block is run there; a text block behind it is what it must print. A
 * section with files and no sh block runs its files under `start`. A block of any other language
 * fails the test, so that no snippet goes untried.
 */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { test } = require('node:test');

const ROOT = path.resolve(__dirname, '../..');
const PROGRAM = path.join(ROOT, 'bin/ephemeral-pipe-broker.js');
const NAMES = ['ephemeral-pipe-broker', 'epb', 'ephemeral-broker', 'brokerctl'];
const TIMEOUT_MS = 600_000;

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

/** A folder where the package and the frameworks of the examples are installed. */
function project() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'readme-'));
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
  fs.writeFileSync(path.join(folder, 'package.json'), '{ "name": "readme", "private": true }\n');
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

const fileName = ({ text }) => /^\/\/ ([\w.-]+)\n/.exec(text)?.[1];

/**
 * What can't be run as it stands: the reader's own test command stands for theirs, and the set-up
 * lines are those that this test is part of.
 */
const SPECIAL = new Map([
  [
    'npx ephemeral-pipe-broker start -- npm test\n',
    (folder) => {
      const file = path.join(folder, 'package.json');
      fs.writeFileSync(
        file,
        '{ "name": "readme", "private": true, "scripts": { "test": "exit 0" } }\n',
      );
      run('sh', ['-c', 'npx ephemeral-pipe-broker start -- npm test'], folder);
    },
  ],
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

function runShell(block, next, folder) {
  const special = SPECIAL.get(block.text);
  if (special) {
    special(folder);
    return;
  }
  const printed = run('bash', ['-euo', 'pipefail', '-c', block.text], folder);
  if (next?.language === 'text') assert.equal(printed, next.text, `printed by line ${block.line}`);
}

/** A file that no shell block runs: under `start`, or, for a configuration, its hooks. */
async function runFile(name, folder) {
  const file = path.join(folder, name);
  if (!name.endsWith('.conf.mjs')) {
    run(process.execPath, [PROGRAM, 'start', '--', process.execPath, file], folder);
    return;
  }
  const hooks = `const { config } = await import(${JSON.stringify(file)});
    await config.onPrepare();
    await config.beforeSession();
    if (!process.env.API_TOKEN) throw new Error('no token');`;
  const node = [process.execPath, '--input-type=module', '-e', hooks];
  run(process.execPath, [PROGRAM, 'start', '--', ...node], folder);
}

const markdown = fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8');

for (const { title, blocks } of sections(markdown)) {
  test(`README: ${title}`, async (context) => {
    const folder = project();
    context.after(() => fs.rmSync(folder, { recursive: true, force: true }));
    const files = [];
    let shells = 0;
    for (const [index, block] of blocks.entries()) {
      if (block.language === 'js') {
        const name = fileName(block);
        assert.ok(name, `the snippet at line ${block.line} names its file in its first line`);
        fs.writeFileSync(path.join(folder, name), block.text);
        files.push(name);
      } else if (block.language === 'sh') {
        runShell(block, blocks[index + 1], folder);
        shells += SPECIAL.has(block.text) ? 0 : 1;
      } else {
        const expected = block.language === 'text' && blocks[index - 1]?.language === 'sh';
        assert.ok(expected, `line ${block.line}: nobody runs a block of "${block.language}"`);
      }
    }
    if (shells === 0) for (const name of files) await runFile(name, folder);
  });
}

/**
 * The clients of examples/pipe, each in its language, where the language is installed. A fresh Debian with
 * what scripts/bootstrap installs has bash and Python.
 */
'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { it } = require('node:test');
const { PROGRAM, ROOT, launch, scratch, standalone, runDirectly } = require('../helpers/cli.js');

runDirectly();

const FOLDER = path.join(ROOT, 'examples', 'pipe');
/** The command before the file, and the question whether it is installed. */
const LANGUAGES = {
  'client.sh': [['bash'], ['bash', '--version']],
  'client.py': [['python3'], ['python3', '--version']],
  'client.rb': [['ruby'], ['ruby', '--version']],
  'client.go': [
    ['go', 'run'],
    ['go', 'version'],
  ],
  'Client.java': [['java'], ['java', '-version']],
};

const isInstalled = ([file, ...args]) => spawnSync(file, args, { stdio: 'ignore' }).status === 0;

it('every example has a language here', () => {
  assert.deepEqual(fs.readdirSync(FOLDER).sort(), Object.keys(LANGUAGES).sort());
});

for (const [example, [[file, ...args], question]] of Object.entries(LANGUAGES)) {
  it(example, { skip: !isInstalled(question) }, async (t) => {
    const { env, folder } = await standalone(t);
    const tools = scratch(t);
    fs.symlinkSync(PROGRAM, path.join(tools, 'epb'));
    const places = `${tools}${path.delimiter}${process.env.PATH}`;
    // Go keeps what it compiles; the test's own place for it goes with the test.
    const caches = { HOME: folder, GOCACHE: path.join(tools, 'cache'), GOFLAGS: '-mod=mod' };
    const running = launch(file, [...args, path.join(FOLDER, example)], {
      env: { ...env, ...caches, PATH: places },
    });
    const { code, stdout, stderr } = await running.result();
    assert.deepEqual([code, stdout, stderr], [0, '{"ok":true,"value":"hello"}\n', '']);
  });
}

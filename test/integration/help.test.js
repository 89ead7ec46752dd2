/**
 * How the native program writes its help: on a terminal and elsewhere, and where the program is.
 */
'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const path = require('node:path');
const { describe, it } = require('node:test');
const { ROOT, cleanEnv, launch } = require('../helpers/cli.js');
const { Terminal } = require('../helpers/pty.js');

const PROGRAM = path.join(ROOT, 'build/Release/epb');
const ESCAPE = '\x1b';
const STYLE = new RegExp(`${ESCAPE}\\[\\d+m`, 'g');

/** Help on a terminal of this width, as lines. */
async function onTerminal(columns, env = {}) {
  const script = `stty cols ${columns}; exec "$0" help set`;
  const terminal = new Terminal(['sh', '-c', script, PROGRAM], { env });
  const { stdout } = await terminal.result();
  return stdout.split(/\r?\n/);
}

const longest = (lines) => Math.max(...lines.map((line) => line.replaceAll(STYLE, '').length));

describe('help', () => {
  it('uses the width of the terminal, up to 120 columns', async () => {
    const widths = [];
    for (const columns of [70, 100, 300]) widths.push(longest(await onTerminal(columns)));
    const [narrow, wide, widest] = widths;
    assert.ok(narrow <= 70, widths.join());
    assert.ok(wide > 80 && wide <= 100, widths.join());
    assert.ok(widest > wide && widest <= 120, widths.join());
  });

  it('is bold on a terminal only, and not where NO_COLOR or a dumb terminal says so', async () => {
    const has = async (env) => (await onTerminal(80, env)).join('\n').includes(ESCAPE);
    assert.equal(await has({ TERM: 'xterm' }), true);
    assert.equal(await has({ TERM: 'xterm', NO_COLOR: '1' }), false);
    assert.equal(await has({ TERM: 'xterm', NO_COLOR: '' }), true);
    assert.equal(await has({ TERM: 'dumb' }), false);
    const { stdout } = await launch(PROGRAM, ['help', 'set'], { env: { TERM: 'xterm' } }).result();
    assert.ok(!stdout.includes(ESCAPE));
  });

  it('says so when it can not be written', async () => {
    const { stderr } = await launch('sh', [
      '-c',
      '"$0" help > /dev/full; exit $?',
      PROGRAM,
    ]).result();
    assert.equal(stderr, "ephemeral-pipe-broker: standard output can't be written\n");
  });
});

describe('the path of the program', () => {
  it('--binary prints it, and it runs', () => {
    const file = execFileSync(PROGRAM, ['--binary'], { encoding: 'utf8', env: cleanEnv() }).trim();
    assert.equal(file, PROGRAM);
    assert.match(
      execFileSync(file, ['--version'], { encoding: 'utf8' }),
      /^ephemeral-pipe-broker /,
    );
  });
});

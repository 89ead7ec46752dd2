/**
 * The examples, run as their first lines say.
 */
'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');
const { describe, it } = require('node:test');
const { ROOT, launchCli, leftovers, scratch } = require('../helpers/cli.js');

const example = (...parts) => path.join(ROOT, 'examples', ...parts);

async function run(t, command, env = {}) {
  const folder = scratch(t);
  const running = launchCli(['start', '--', ...command], {
    cwd: ROOT,
    env: { TMPDIR: folder, ...env },
  });
  const result = await running.result();
  assert.deepEqual(leftovers(folder), []);
  return result;
}

describe('examples/node-workers', () => {
  it('eight processes share a token and a counter', async (t) => {
    const { code, stdout, stderr } = await run(t, [
      process.execPath,
      example('node-workers', 'main.js'),
    ]);
    assert.equal(stderr, '');
    assert.equal(code, 0);
    assert.equal(stdout, '8 workers in 8 processes\ntokens seen: 1, made: 1\ncounter: 800\n');
  });
});

describe('examples/accounts', () => {
  it('twenty processes share five accounts, although four of them are killed', async (t) => {
    const { code, stdout, stderr } = await run(t, [
      process.execPath,
      example('accounts', 'main.js'),
    ]);
    assert.equal(stderr, '');
    assert.equal(code, 0);
    const lines = stdout.split('\n');
    assert.deepEqual(lines.slice(0, 3), [
      '20 workers, 5 accounts, 4 workers killed',
      '52 turns; held by two at once: 0; accounts lost: 0',
      'log-ins: 1; sessions seen: 1',
    ]);
    const [, wait] = /^longest wait for the next after a death: ([\d.]+) ms$/.exec(lines[3]);
    // An account that came back only by its TTL would take a minute.
    assert.ok(Number(wait) < 50_000, `${wait} ms`);
  });
});

describe('examples/dev-tools', () => {
  /** Runs programs of the folder at the same time, below one broker. */
  const together = async (t, ...lines) => {
    const commands = lines.map((line) => `"$0" ${line} &`).join(' ');
    const folder = example('dev-tools');
    const script = `cd "${folder}" && { ${commands} wait; }`;
    const { code, stdout, stderr } = await run(t, ['sh', '-c', script, process.execPath]);
    assert.equal(stderr, '');
    assert.equal(code, 0);
    return stdout.split('\n').slice(0, -1);
  };

  it('a file is linted by one of the processes that ask for it', async (t) => {
    const lines = await together(t, 'lint.mjs build.mjs', 'lint.mjs build.mjs');
    assert.deepEqual(lines.sort(), [
      '0 of 1 checked here, 0 with faults',
      '1 of 1 checked here, 0 with faults',
    ]);
  });

  it('a server reloads what a build reports', async (t) => {
    const lines = await together(t, 'server.mjs', 'change.mjs');
    assert.deepEqual(lines, ['reload styles', 'reload page']);
  });

  it('each package of a monorepo is built once, after those it depends on', async (t) => {
    const lines = await together(t, 'build.mjs app', 'build.mjs ui', 'build.mjs core');
    assert.deepEqual(lines, ['building core', 'building ui', 'building app']);
  });

  it('a step gets the artifacts of another, whichever starts first', async (t) => {
    const lines = await together(t, 'deploy.mjs', 'bundle.mjs');
    assert.deepEqual(lines, ['23 bytes, and dist/report.html']);
  });
});

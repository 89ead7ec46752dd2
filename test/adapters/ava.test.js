/** The recipe for AVA in docs/recipes.md. */
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { framework } = require('../helpers/framework.js');

const ava = framework('ava');

/** The recipe with other tests in place of its last one. */
const FILE = `
  const fs = require('node:fs');
  const recipe = fs.readFileSync(__dirname + '/accounts.test.js', 'utf8');
  const head = recipe.slice(0, recipe.indexOf("test('has an account'"));
  const { hold } = require('./witness.cjs');
  const tests = (body) => new Function('require', 'process', 'hold', head + body)(require, process, hold);
`;
const HOLDS = `
  ${FILE}
  tests(\`
    for (let i = 0; i < 4; i++) {
      test('uses ' + i, async (t) => {
        await hold(t.context.lease.value, () => new Promise(setImmediate));
        t.pass();
      });
    }\`);`;
const BREAKS = `
  ${FILE}
  tests(\`
    test.serial('loses', async (t) => {
      const { workerId } = t.context.lease;
      await new PipeClient().release(workerId, 'accounts', { force: true });
      t.pass();
    });
    test.serial('is killed', () => process.kill(process.pid, 'SIGKILL'));\`);`;

test('AVA: three threads share two accounts', async (t) => {
  const files = { 'two.test.js': HOLDS, 'three.test.js': HOLDS };
  const project = await ava.project(t, { example: true, files });
  const { code, output, events } = await project.run(['ava', '-c', '3'], { start: true });
  assert.equal(code, 0, output);
  assert.equal(events.filter(({ what }) => what === 'enter').length, 8);
});

test('AVA: a lost account fails its test, and a killed process keeps none', async (t) => {
  const files = { 'breaks.test.js': BREAKS, 'two.test.js': HOLDS };
  const project = await ava.project(t, { example: true, files });
  const { code, output } = await project.run(['ava', '--no-worker-threads'], { start: true });
  assert.equal(code, 1, output);
  assert.match(output, /lease_lost: another test may have used the account/);
  assert.match(output, /SIGKILL/);
});

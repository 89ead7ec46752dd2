// What `npm test` counts, and says at its end.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const { ROOT, find } = require('../../scripts/files.js');
const { Silence, slowness } = require('../../scripts/time_limits.js');
const { slowest, stepLine, summary, tallied } = require('../../scripts/steps.js');
const { runNode, temporaryDirectory } = require('../helpers/broker.js');

const counts = (passed, failed, skipped) => ({ passed, failed, skipped });

/** Counts a file of tests as a step does, in a process that is no part of this run. */
async function countFile(t, source) {
  const file = path.join(temporaryDirectory(t), 'a.test.js');
  fs.writeFileSync(file, `const { describe, it, test } = require('node:test');${source}`);
  const script = `
    delete process.env.NODE_TEST_CONTEXT;
    const { nodeTests } = require(ROOT + '/scripts/steps.js');
    nodeTests([${JSON.stringify(file)}]).then((found) => console.log(JSON.stringify(found)));
  `;
  const { stdout } = await runNode(script);
  return JSON.parse(stdout.trim().split('\n').at(-1));
}

test('tests and whole suites that were skipped are counted, and are not passed', async (t) => {
  const found = await countFile(
    t,
    `
    test('passes', () => {});
    test('says # SKIP and passes', () => {});
    test('is skipped', { skip: true }, () => {});
    test('skips itself', (t) => t.skip('for a reason'));
    describe('a suite', () => {
      it('passes', () => {});
      it('is skipped', { skip: 'for a reason' }, () => {});
    });
    describe('a suite that is skipped', { skip: 'for a reason' }, () => {
      it('is never seen', () => {});
    });
    `,
  );
  assert.deepEqual([found.passed, found.failed], [3, 0]);
  // Some versions of Node look into a suite that is skipped.
  assert.ok([4, 5].includes(found.skipped), `${found.skipped} were skipped`);
});

test('a run in which all is skipped has failed: nothing was tested', async (t) => {
  const found = await countFile(
    t,
    `describe('all', { skip: true }, () => { it('is', () => {}); });`,
  );
  assert.deepEqual([found.passed, found.failed], [0, 1]);
});

test('what the C runner skipped is counted', () => {
  const ended = (output) => tallied({ status: 0, output });
  assert.deepEqual(ended('2 skipped\n31 passed, 0 failed\n'), counts(31, 0, 2));
  assert.deepEqual(ended('31 passed, 0 failed\n'), counts(31, 0, 0));
});

test('the skipped are told by step, before the last line, which is of those that ran', () => {
  const results = [
    { heading: 'types', counts: counts(1, 0, 0) },
    { heading: 'integration', counts: counts(500, 1, 24) },
    { heading: 'Python client', counts: counts(30, 0, 2) },
  ];
  assert.deepEqual(summary(results), [
    'failed in: integration',
    '26 skipped: 24 in integration; 2 in Python client',
    '531 passed, 1 failed',
  ]);
  assert.deepEqual(summary(results.slice(0, 1)), ['1 passed, 0 failed']);
  assert.equal(
    stepLine('integration', results[1].counts, 61.2),
    '-- integration: 500 passed, 1 failed, 24 skipped (61.2 s)',
  );
  assert.equal(stepLine('types', results[0].counts, 3), '-- types: 1 passed, 0 failed (3 s)');
});

test('the slowest files are told, the slowest first', () => {
  const times = [0.25, 61, 7.04].map((seconds, i) => ({ file: `${i}.test.js`, seconds }));
  assert.deepEqual(slowest(times, 2), ['     61.0 s  1.test.js', '      7.0 s  2.test.js']);
});

test('a file that hangs is killed when it is silent for long, and takes no other with it', async (t) => {
  const directory = temporaryDirectory(t);
  const write = (name, source) => {
    const file = path.join(directory, `${name}.test.js`);
    fs.writeFileSync(file, `const { test } = require('node:test');${source}`);
    return file;
  };
  const files = [
    write('hangs', `test('a', () => {}); test('b', () => { for (;;); });`),
    write('passes', `test('c', () => {}); test('d', () => {});`),
  ];
  const script = `
    delete process.env.NODE_TEST_CONTEXT;
    const limits = require(ROOT + '/scripts/time_limits.js');
    // Who is left when another has ended is late.
    const left = new Set();
    limits.Silence = class {
      constructor(limitMs, onLate) { left.add(this); this.onLate = onLate; }
      heard() {}
      stop() { left.delete(this); for (const { onLate } of left) onLate(); }
    };
    const { nodeTests } = require(ROOT + '/scripts/steps.js');
    nodeTests(${JSON.stringify(files)}).then((found) => console.log(JSON.stringify(found)));
  `;
  const { stdout } = await runNode(script);
  assert.match(stdout, /said nothing for 2 minutes: killed/);
  const found = JSON.parse(stdout.trim().split('\n').at(-1));
  assert.deepEqual([found.passed, found.failed], [2, 1]);
});

/** Whether such a silence is over after as many looks. */
function isLate(limitMs, times, looks) {
  return new Promise((resolve) => {
    const measure = () => {
      if (looks-- === 0) setImmediate(done, false);
      return times;
    };
    const silence = new Silence(limitMs, () => done(true), { measure, lookMs: 1 });
    const done = (late) => {
      silence.stop();
      resolve(late);
    };
  });
}

test('the slower the machine, the longer a silence may be', async () => {
  assert.ok(slowness() >= 1);
  // So fast that any time at all is too long, and so slow that none is.
  assert.equal(await isLate(60_000, 1e-12, 1000), true);
  assert.equal(await isLate(1e-3, 1e12, 10), false);
});

test('no test has a limit by the clock: what hangs is ended by its silence', () => {
  const files = [...find('test', /\.test\.js$/), ...find('packages', /\.test\.js$/)];
  assert.ok(files.length > 50, `${files.length} files`);
  const limited = files.filter((file) =>
    /\{ ?(?:[^{}]*, )?timeout: [^{}]*\}, (?:async )?(?:\(|function)/.test(
      fs.readFileSync(path.join(ROOT, file), 'utf8'),
    ),
  );
  assert.deepEqual(limited, []);
});

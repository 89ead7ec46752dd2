/**
 * Processes that end in the middle of something: by process.exit(), by an exception or a rejection that
 * nobody catches; on their main thread, or while a worker thread of theirs lives. Each ends at once, with
 * the status it was to have, leaves no name, and what it held is the next one's.
 */
'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');

const { SCENARIOS, UNRESPONSIVE, Process, run, startScene } = require('../helpers/lifecycles.js');

const EXIT_STATUS = 7;
const THROWN_STATUS = 1;
const LIVES = Object.keys(SCENARIOS);

async function exits(life) {
  assert.deepEqual(await life.end('exit'), { status: EXIT_STATUS, signal: null, stderr: '' });
}

for (const [what, lives, given] of [
  ['', LIVES.filter((life) => !UNRESPONSIVE.includes(life)), {}],
  [' on pipes', ['calling', 'waiting', 'holding', 'watching'], { onPipes: true }],
  [' around a worker thread', LIVES, { inThread: true }],
]) {
  describe(`process.exit()${what}`, () => {
    for (const life of lives) {
      test(`while ${life}`, (t) => run(startScene(t), life, Process, exits, given));
    }
  });
}

for (const end of ['throw', 'reject']) {
  describe(`what nobody catches (${end})`, () => {
    for (const life of LIVES.filter((name) => !UNRESPONSIVE.includes(name))) {
      test(`while ${life}`, (t) =>
        run(startScene(t), life, Process, async (ending) => {
          const { status, signal, stderr } = await ending.end(end);
          assert.deepEqual([status, signal], [THROWN_STATUS, null]);
          assert.match(stderr, /the end/);
        }));
    }
  });
}

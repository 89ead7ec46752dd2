/**
 * Worker threads that are terminated, end or fail in the middle of something. The rest of the process is
 * served as before, what they held is the next one's, and nothing of them is left: no descriptor, no
 * thread, no locked memory, no name.
 */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { Worker } = require('node:worker_threads');

const { randomFrom, until } = require('../helpers/broker.js');
const { SCENARIOS, UNRESPONSIVE, Thread, run, startScene } = require('../helpers/lifecycles.js');
const { CALLS } = require('../helpers/native_loop.js');
const { goOver } = require('../helpers/pipes.js');

const ALL_ROUNDS = 200;
/** Fewer where a sanitizer makes them slow, and keeps for a while what has been freed. */
const ROUNDS = Number(process.env.EPB_LIFECYCLE_ROUNDS ?? ALL_ROUNDS);
const only = { skip: process.platform !== 'linux' && 'what is left is counted in /proc' };

function whatIsThere() {
  const status = fs.readFileSync('/proc/self/status', 'latin1');
  const kib = (field) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)[1]);
  return {
    descriptors: fs.readdirSync('/proc/self/fd').length,
    threads: fs.readdirSync('/proc/self/task').length,
    lockedKib: kib('VmLck'),
    residentKib: kib('VmRSS'),
  };
}

test(`${ROUNDS} worker threads, terminated in the middle`, only, async (t) => {
  const seed = Number(process.env.EPB_LIFECYCLE_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`EPB_LIFECYCLE_SEED=${seed}`);
  const random = randomFrom(seed);
  const scene = startScene(t);
  const lives = Object.keys(SCENARIOS);
  const terminate = async (life) => {
    for (let turns = Math.floor(random() * 20); turns > 0; turns--) {
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
    await life.end('terminate');
  };
  // What is made once a process is there afterwards.
  const begin = (i) =>
    run(scene, lives[i % lives.length], Thread, terminate, {
      onPipes: Math.floor(i / lives.length) % 2 === 1,
    });
  for (let i = 0; i < 2 * lives.length; i++) await begin(i);
  await goOver(scene.client);
  const before = whatIsThere();
  for (let i = 0; i < ROUNDS; i++) await begin(i);
  const alone = async () => (await scene.client.stats()).connections === 1;
  await until(alone, 'the broker knows that they are gone');
  const gone = () => {
    const after = whatIsThere();
    return after.descriptors === before.descriptors && after.threads === before.threads;
  };
  await until(gone, 'their descriptors and threads are gone').catch((error) => {
    assert.deepEqual(whatIsThere(), before, error.message);
  });
  const after = whatIsThere();
  const more = (field) => after[field] - before[field];
  t.diagnostic(`${more('residentKib')} KiB more, ${more('lockedKib')} KiB of them locked`);
  // What one of them had, left behind by each, would be a multiple of this.
  assert.ok(more('lockedKib') <= 1024, `${more('lockedKib')} KiB more are locked`);
  if (ROUNDS < ALL_ROUNDS) return;
  assert.ok(more('residentKib') < 64 * 1024, `${more('residentKib')} KiB more`);
});

for (const end of ['exit', 'throw', 'reject']) {
  test(`worker threads that end by ${end}`, only, async (t) => {
    const scene = startScene(t);
    const status = end === 'exit' ? 7 : 1;
    for (const life of Object.keys(SCENARIOS).filter((name) => !UNRESPONSIVE.includes(name))) {
      await run(scene, life, Thread, async (thread) => {
        assert.equal(await thread.end(end), status);
        if (end !== 'exit') assert.equal(thread.error.message, 'the end');
      });
    }
  });
}

const LOOP = require.resolve('../helpers/native_loop');
const LOOP_ROUNDS = Math.ceil(ROUNDS / 40);

/** A thread that is terminated while it is in native code, or between two calls. */
async function terminateIn(call, { pipe, secret }) {
  const begun = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(LOOP, { workerData: { call, pipe, secret, begun } });
  worker.on('error', (error) => {
    throw error;
  });
  await until(() => begun[0] === 1, `it calls ${call}`);
  await worker.terminate();
}

test(`a thread is terminated within each native call, ${LOOP_ROUNDS} times`, only, async (t) => {
  const scene = startScene(t);
  for (const call of CALLS) {
    for (let i = 0; i < LOOP_ROUNDS; i++) await terminateIn(call, scene);
    await scene.client.set('others', call, 600_000);
    assert.equal(await scene.client.get('others'), call);
  }
  const alone = async () => (await scene.client.stats()).connections === 1;
  await until(alone, 'the broker knows that they are gone');
});

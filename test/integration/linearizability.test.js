'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { describe, test } = require('node:test');
const { SECRET, randomFrom, startBroker } = require('../helpers/broker.js');
const { FENCED, KEY, explain, print } = require('../helpers/linearizable.js');
const { startWorker } = require('../helpers/workers.js');

const PROCESSES = 8;

/** A history from rows of [process, start, end, call, input, output]. */
function historyOf(...rows) {
  return rows.map(([by, start, end, call, input, output]) => ({
    ...{ object: 'k', by, start, end, call, input, output },
  }));
}

const set = (value) => ['set', { value }, 'ok'];
const get = (value) => ['get', undefined, value];

describe('the checker accepts', () => {
  const accepted = {
    'nothing at all': historyOf(),
    'one after the other': historyOf(
      ['a', 1, 2, ...get(null)],
      ['a', 3, 4, ...set('1')],
      ['b', 5, 6, ...get('1')],
      ['b', 7, 8, 'del', undefined, true],
      ['a', 9, 10, 'del', undefined, false],
    ),
    'a read that overlaps a write and sees the old value': historyOf(
      ['a', 1, 2, ...set('1')],
      ['a', 3, 9, ...set('2')],
      ['b', 4, 5, ...get('1')],
      ['b', 6, 7, ...get('2')],
    ),
    'two that touch, in either order': historyOf(
      ['a', 1, 2, ...set('1')],
      ['b', 2, 3, ...get(null)],
    ),
    'increments whose replies came in another order': historyOf(
      ['a', 1, 9, 'incr', { by: 1 }, 6],
      ['b', 2, 8, 'incr', { by: 5 }, 5],
      ['a', 10, 11, ...get(6)],
    ),
    'what needs the search to go back': historyOf(
      ['a', 1, 20, ...set('1')],
      ['b', 2, 19, ...set('2')],
      ['c', 3, 18, ...set('3')],
      ['d', 4, 5, ...get('3')],
      ['d', 6, 7, ...get('1')],
      ['d', 8, 9, ...get('2')],
      ['d', 21, 22, ...get('2')],
    ),
    'versions that grow, and a stale one refused': historyOf(
      ['a', 1, 2, ...set('1')],
      ['b', 3, 4, 'getEntry', undefined, { value: '1', version: 5 }],
      ['a', 5, 6, 'setIfVersion', { value: '2', version: 5 }, 'ok'],
      ['b', 7, 8, 'setIfVersion', { value: '3', version: 5 }, 'conflict'],
      ['b', 9, 10, 'getEntry', undefined, { value: '2', version: 9 }],
    ),
  };
  for (const [name, history] of Object.entries(accepted)) {
    test(name, () => assert.equal(explain(history, KEY), null));
  }

  test('many overlapping operations, however they were ordered', () => {
    const rows = Array.from({ length: 400 }, (_, i) => {
      // The counts of every four are the wrong way round, which their times allow.
      const turn = (i * 7919) % 400;
      return [`p${i % 8}`, turn, turn + 8, 'incr', { by: 1 }, (turn ^ 3) + 1];
    });
    assert.equal(explain(historyOf(...rows), KEY), null);
  });

  test('a lock with a queue, and late writes refused', () => {
    const history = historyOf(
      ['a', 1, 2, 'lock', { waitMs: 0 }, 7],
      ['b', 3, 4, 'lock', { waitMs: 0 }, 'lease_held'],
      ['b', 5, 12, 'lock', { waitMs: 9 }, 8],
      ['c', 6, 7, 'lock', { waitMs: 1 }, 'wait_timeout'],
      ['a', 8, 9, 'set', { token: 7, value: '1' }, 'ok'],
      ['a', 10, 14, 'unlock', { token: 7 }, true],
      ['b', 13, 15, 'set', { token: 8, value: '2' }, 'ok'],
      ['a', 16, 17, 'set', { token: 7, value: '3' }, 'fenced'],
      ['c', 18, 19, ...get('2')],
    );
    assert.equal(explain(history, FENCED), null);
  });
});

describe('the checker refuses', () => {
  const refused = {
    'a stale read': historyOf(
      ['a', 1, 2, ...set('1')],
      ['a', 3, 4, ...set('2')],
      ['b', 5, 6, ...get('1')],
    ),
    'a value that nobody wrote': historyOf(['a', 1, 2, ...set('1')], ['b', 1, 3, ...get('2')]),
    'a read from the future': historyOf(['b', 1, 2, ...get('1')], ['a', 3, 4, ...set('1')]),
    'a lost update': historyOf(
      ['a', 1, 4, 'incr', { by: 1 }, 1],
      ['b', 2, 3, 'incr', { by: 1 }, 1],
    ),
    'increments in an order that time forbids': historyOf(
      ['a', 1, 2, 'incr', { by: 1 }, 6],
      ['b', 3, 4, 'incr', { by: 5 }, 5],
    ),
    'values seen in different orders': historyOf(
      ['a', 1, 9, ...set('1')],
      ['b', 1, 9, ...set('2')],
      ['c', 2, 3, ...get('1')],
      ['c', 4, 5, ...get('2')],
      ['d', 2, 3, ...get('2')],
      ['d', 4, 5, ...get('1')],
    ),
    'two that both found the key absent': historyOf(
      ['a', 1, 4, 'setIfAbsent', { value: '1' }, 'ok'],
      ['b', 2, 3, 'setIfAbsent', { value: '2' }, 'ok'],
    ),
    'a refusal for no reason': historyOf(
      ['a', 1, 2, 'setIfAbsent', { value: '1' }, 'conflict'],
      ['a', 3, 4, ...set('2')],
    ),
    'two writes based on one version': historyOf(
      ['a', 1, 2, ...set('1')],
      ['a', 3, 4, 'getEntry', undefined, { value: '1', version: 5 }],
      ['a', 5, 8, 'setIfVersion', { value: '2', version: 5 }, 'ok'],
      ['b', 6, 7, 'setIfVersion', { value: '3', version: 5 }, 'ok'],
    ),
    'a version that came back': historyOf(
      ['a', 1, 2, ...set('1')],
      ['a', 3, 4, 'getEntry', undefined, { value: '1', version: 5 }],
      ['a', 5, 6, ...set('2')],
      ['a', 7, 8, 'getEntry', undefined, { value: '2', version: 5 }],
    ),
    'a deletion that did not happen': historyOf(
      ['a', 1, 2, ...set('1')],
      ['a', 3, 4, 'del', undefined, true],
      ['b', 5, 6, 'has', undefined, true],
    ),
  };
  for (const [name, history] of Object.entries(refused)) {
    test(name, () => assert.match(explain(history, KEY), /^k: not linearizable/));
  }

  const locked = [
    ['a', 1, 2, 'lock', { waitMs: 0 }, 7],
    ['a', 3, 4, 'unlock', { token: 7 }, true],
  ];
  const broken = {
    'a lock with two holders': historyOf(locked[0], ['b', 3, 4, 'lock', { waitMs: 0 }, 8]),
    'a token that does not grow': historyOf(...locked, ['b', 5, 6, 'lock', { waitMs: 0 }, 7]),
    'a free lock that was refused': historyOf(...locked, [
      ...['b', 5, 6, 'lock', { waitMs: 0 }, 'lease_held'],
    ]),
    'a write after the lease': historyOf(...locked, [
      ...['a', 5, 6, 'set', { token: 7, value: '1' }, 'ok'],
    ]),
  };
  for (const [name, history] of Object.entries(broken)) {
    test(name, () => assert.match(explain(history, FENCED), /^k: not linearizable/));
  }

  test('one bad object among good ones, and names it with what could not be next', () => {
    const good = historyOf(['a', 1, 2, ...set('1')], ['b', 3, 4, ...get('1')]);
    const bad = historyOf(['a', 1, 2, ...set('1')], ['b', 3, 4, ...get(null)]);
    const history = [...good, ...bad.map((one) => ({ ...one, object: 'other' }))];
    const text = explain(history, () => KEY);
    assert.match(text, /^other: not linearizable, 2 operations/);
    assert.match(text, /1 of them .*\n {2}a set \{"value":"1"\} -> "ok"/);
    assert.match(text, /come next:\n {2}b get -> null \[3 to 4\]$/);
  });
});

/** Eight processes do what the plan says; resolves all their operations. */
async function play(t, broker, plan) {
  const began = String(process.hrtime.bigint());
  const workers = Array.from({ length: PROCESSES }, (_, i) => {
    const settings = { ...plan, by: `p${i}`, seed: plan.seed + i, began };
    return startWorker(t, 'history_worker.js', broker, settings);
  });
  await Promise.all(workers.map((worker) => worker.next('ready')));
  workers.forEach((worker) => worker.send('go'));
  const answers = await Promise.all(workers.map((worker) => worker.next('history')));
  for (const { status } of await Promise.all(workers.map(({ ended }) => ended))) {
    assert.equal(status, 0);
  }
  return answers.flatMap(({ history }) => history);
}

/** How many operations ran while another one of the same object did. */
function overlaps(history) {
  const isPair = (a, b) => a !== b && a.object === b.object && a.start < b.end && b.start < a.end;
  return history.filter((a) => history.some((b) => isPair(a, b))).length;
}

function assertLinearizable(t, history, model) {
  const why = explain(history, model);
  t.diagnostic(`${history.length} operations, ${overlaps(history)} of them concurrent`);
  if (why === null) return;
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'epb-history-'));
  const file = path.join(folder, 'history.txt');
  fs.writeFileSync(file, print(history));
  assert.fail(`${why}\nThe whole history: ${file}`);
}

function seedOf(t) {
  const seed = Number(process.env.TEST_SEED ?? Math.floor(randomFrom(Date.now())() * 2 ** 31));
  t.diagnostic(`TEST_SEED=${seed}`);
  return seed;
}

for (const secret of [null, SECRET]) {
  const how = secret === null ? 'without a secret' : 'with a secret';

  test(`reads and writes of 8 processes are linearizable, ${how}`, async (t) => {
    const broker = startBroker(t, { secret });
    const plan = { plan: 'keys', keys: ['a', 'b', 'c'], turns: 250, seed: seedOf(t) };
    const history = await play(t, broker, plan);
    assert.ok(overlaps(history) > 0, 'nothing was concurrent');
    const calls = new Set(history.map(({ call }) => call));
    assert.equal(calls.size, 8, [...calls].join());
    assertLinearizable(t, history, KEY);
  });

  test(`a lock and fenced writes of 8 processes are linearizable, ${how}`, async (t) => {
    const broker = startBroker(t, { secret });
    const plan = { plan: 'locks', keys: ['a', 'b'], turns: 200, seed: seedOf(t) };
    const history = await play(t, broker, plan);
    const outcomes = new Set(history.map(({ call, output }) => `${call} ${output}`));
    for (const wanted of ['set ok', 'set fenced', 'lock lease_held', 'unlock true']) {
      assert.ok(outcomes.has(wanted), `no operation was "${wanted}"`);
    }
    assertLinearizable(t, history, FENCED);
  });
}

// The benchmarks' own code, without a measurement: that peers, workloads and goals fit together, and
// that a report becomes a document with pictures.
'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const { isDeepStrictEqual } = require('node:util');

const { load } = require('../../bench/common.js');
const { GOALS, judge } = require('../../bench/goals.js');
const { COSTS, MAIN_RATES, markdown, merge } = require('../../bench/report.js');
const { documents } = require('../../bench/write.js');
const report = require('./fixtures/bench_report.json');

const PLACES = ['one CPU', 'two CPUs', '8 processes'];
const PLOT_BYTES_MAX = 100 * 1024;

const names = (list) => list.map(({ name }) => name);

test('every peer has what bench/README.md says', () => {
  const peers = load('peers');
  assert.equal(new Set(names(peers)).size, peers.length);
  for (const peer of peers) {
    assert.equal(typeof peer.order, 'number', peer.name);
    const functions = ['missing', 'versions', ...(peer.openTeam ? [] : ['serve', 'connect'])];
    for (const name of functions) assert.equal(typeof peer[name], 'function', peer.name);
  }
});

test('every workload is a rate at known placements or makes tables of its own', () => {
  const workloads = load('workloads');
  assert.equal(new Set(names(workloads)).size, workloads.length);
  for (const { name, kind, group, run, once, places } of workloads) {
    assert.equal(typeof group, 'string', name);
    if (kind === 'once') assert.equal(typeof once, 'function', name);
    else assert.equal(typeof run, 'function', name);
    assert.ok(kind === 'once' || places.every((place) => PLACES.includes(place)), name);
  }
});

test('every goal is about a workload, a placement and peers that exist', () => {
  const workloads = new Map(load('workloads').map((one) => [one.name, one]));
  const known = names(load('peers'));
  for (const { what, about } of GOALS) {
    const workload = workloads.get(about.workload);
    assert.ok(workload, what);
    assert.ok(about.place === undefined || workload.places.includes(about.place), what);
    assert.ok(
      (about.peers ?? []).every((peer) => known.includes(peer)),
      what,
    );
  }
});

test('the main figures are rates and goals that exist', () => {
  const rates = load('workloads').flatMap(({ name, places = [] }) =>
    places.map((place) => `${name}, ${place}`),
  );
  assert.deepEqual(
    MAIN_RATES.filter((rate) => !rates.includes(rate)),
    [],
  );
  assert.deepEqual(
    COSTS.filter((begin) => !GOALS.some(({ what }) => what.startsWith(begin))),
    [],
  );
});

test('a goal is judged by the ratios of the same slots, and not without figures', () => {
  const row = (ours, redis) => ({
    workload: 'sequential GET',
    place: 'one CPU',
    peers: { broker: { rates: ours }, 'redis + ioredis': { rates: redis } },
  });
  const goal = GOALS.find(
    ({ what }) => what === 'sequential GET, one CPU: broker to redis + ioredis',
  );
  const judged = (rates) => judge(goal, { rates, single: [] });
  assert.deepEqual(judged([row([20, 40, 90], [10, 20, 30])]), { measured: 2, isReached: true });
  assert.deepEqual(judged([row([10], [10])]), { measured: 1, isReached: false });
  assert.deepEqual(judged([]), { measured: null, isReached: null });
});

test('beside a goal stands what is in its way', () => {
  const peers = {
    'C, spinning': { rates: [70] },
    'C, pipes, spinning': { rates: [90] },
    'redis + ioredis': { rates: [10] },
    broker: { rates: [35] },
    'broker, secret': { rates: [20] },
  };
  const rates = [{ workload: 'sequential SET', place: 'two CPUs', peers }];
  const beside = (what) => GOALS.find((goal) => goal.what === what).beside.measure({ rates });
  assert.equal(beside('sequential SET, two CPUs: broker to redis + ioredis'), 9);
  const beyond = beside('sequential SET, two CPUs: broker to C, spinning');
  assert.equal(Math.round(beyond), Math.round(1e6 / 35 - 1e6 / 70));
});

test('reports of several runs become one', () => {
  const merged = merge([report, { ...report, single: [] }]);
  assert.equal(merged.rates.length, 2 * report.rates.length);
  assert.equal(merged.single.length, report.single.length);
});

test('a printed report has all tables, and names what failed', () => {
  const text = markdown(report, GOALS);
  for (const { name } of report.single) assert.ok(text.includes(`| ${name} (`), name);
  assert.match(text, /^- reference failed in GET, 1,000 in one tick, one CPU: not done after/m);
  assert.match(text, /\| sequential GET, one CPU: broker to C, blocking \| ≥ 0\.9 \| [\d.]+ \| /);
});

test('the page for users has main figures, what the broker costs, and no raw table', async () => {
  const { texts } = await documents(report);
  const page = texts['BENCHMARKS.md'];
  assert.match(page, /^\| sequential GET, one CPU \| [\d.]+ k\/s /m);
  assert.match(page, /^\| start -- true over node -e 0 \| [\d.]+ ms \| ≤ 3 ms \|$/m);
  assert.match(page, /\b\d+ of \d+ goals\b/);
  assert.doesNotMatch(page, /p50 \/ p95 \/ p99/);
});

test('the documents fill their templates; the same report makes the same pictures', async () => {
  const { texts, plots } = await documents(report);
  for (const text of Object.values(texts)) assert.doesNotMatch(text, /\{\{|undefined|NaN/);
  assert.ok(isDeepStrictEqual((await documents(report)).plots, plots));
  for (const [name, svg] of Object.entries(plots)) {
    assert.ok(texts['bench/results/README.md'].includes(`(../plots/${name}.svg)`), name);
    assert.match(svg, /^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/, name);
    assert.doesNotMatch(svg, /NaN|undefined|Infinity/, name);
    assert.ok(svg.length < PLOT_BYTES_MAX, name);
  }
  const shown = Object.keys(plots);
  for (const name of ['peers-one-cpu', 'operations-one-cpu', 'growth-get-by-items', 'memory']) {
    assert.ok(shown.includes(name), name);
  }
});

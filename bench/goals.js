'use strict';

// The figures to reach, and where to find each in a report. A goal is `{ what, least | most, unit,
// about: { workload, place?, peers? }, measure(report), beside?: { what, unit, measure } }`. `measure`
// returns null if the figure was not measured. `beside` is the limit of a figure, or the part of it that
// we can't influence.
const { median } = require('./common.js');

const [REDIS, OURS, SEALED] = ['redis + ioredis', 'broker', 'broker, secret'];
const [BLOCKING, SPINNING, CIPHER] = ['C, blocking', 'C, spinning', 'C, cipher'];
const FASTEST = 'C, pipes, spinning';
/** Node's own share of a start. */
const HOLLOW = 'as many empty modules, and the addon';

const rowOf = ({ rates }, workload, place) =>
  rates.find((row) => row.workload === workload && row.place === place);

/** The median of `figure(...rates)` over the rates of peers in the same slots; null if a rate is missing. */
function compare(report, workload, place, peers, figure) {
  const rates = peers.map((peer) => rowOf(report, workload, place)?.peers?.[peer]?.rates);
  if (!rates.every(Boolean)) return null;
  return median(rates[0].map((_, slot) => figure(...rates.map((one) => one[slot]))));
}

/** A goal: at least `least` times the rate of another peer. */
const faster = (workload, place, peer, least, than = REDIS) => ({
  what: `${workload}, ${place}: ${peer} to ${than}`,
  least,
  unit: '',
  about: { workload, place, peers: [peer, than] },
  measure: (report) => compare(report, workload, place, [peer, than], (a, b) => a / b),
});

/** A goal: at least `least` times the rate of a C program. */
const nearLimit = (workload, place, least, program) => ({
  what: `${workload}, ${place}: ${OURS} to ${program}`,
  least,
  unit: '',
  about: { workload, place, peers: [OURS, program] },
  measure: (report) => compare(report, workload, place, [OURS, program], (own, c) => own / c),
  beside: {
    what: 'a request beyond the C program',
    unit: ' µs',
    measure: (report) =>
      compare(report, workload, place, [OURS, program], (own, c) => 1e6 / own - 1e6 / c),
  },
});

/** The same goal for both of our peers, without and with a secret. */
const fasterBoth = (workload, place, plain, sealed) => [
  faster(workload, place, OURS, plain),
  faster(workload, place, SEALED, sealed),
];

/** The same goals, with the ratio of the spinning C programs as the limit. */
const fasterBesideLimit = (workload, place, plain, sealed) =>
  fasterBoth(workload, place, plain, sealed).map((goal) => ({
    ...goal,
    beside: {
      what: FASTEST,
      unit: '',
      measure: (report) =>
        compare(report, workload, place, [FASTEST, REDIS], (c, redis) => c / redis),
    },
  }));

/** A figure of a workload that makes its own tables: the column of the row `what`. */
function figureOf({ single }, workload, what, column) {
  const rows = single.filter((table) => table.workload === workload).flatMap((table) => table.rows);
  const figure = rows.find((row) => row.what === what)?.figures[column];
  return figure === undefined ? null : (figure.value ?? figure);
}

const atMost = (what, most, unit, workload, row, column, [besideRow, besideColumn] = []) => ({
  what,
  most,
  unit,
  about: { workload },
  measure: (report) => figureOf(report, workload, row, column),
  beside: besideRow && {
    what: besideRow,
    unit,
    measure: (report) => figureOf(report, workload, besideRow, besideColumn),
  },
});

/** The time with a secret, divided by the time without one plus the cipher's passes. */
const overCipher = (sealed, plain, passes) => 1 / sealed / (1 / plain + 1 / passes);

const withinCipher = (workload) => ({
  what: `${workload}, one CPU: time with a secret by time without and the cipher's two passes`,
  most: 1.15,
  unit: '',
  about: { workload, place: 'one CPU', peers: [SEALED, OURS, CIPHER] },
  measure: (report) => compare(report, workload, 'one CPU', [SEALED, OURS, CIPHER], overCipher),
});

const expiry = (peer) =>
  atMost(
    `longest pause while 100,000 items expire: ${peer}`,
    5,
    ' ms',
    'longest pause while 100,000 items expire',
    `${peer}, all expire`,
    'longest',
    ['both CPUs read the clock', 'longest'],
  );

/** A goal next to four floods of a kind: all processes on two CPUs, or ours on one. */
const politeBeside = (peer, kind, where) =>
  atMost(
    `p99 of a polite client beside four floods of ${kind}, ${where}: ${peer}`,
    20,
    ' ms',
    'four floods beside a polite client',
    `${peer}, beside floods of ${kind}, ${where}`,
    'p99',
  );

const GOALS = [
  ...fasterBoth('sequential GET', 'one CPU', 1.5, 1.4),
  ...fasterBoth('sequential SET', 'one CPU', 1.5, 1.4),
  nearLimit('sequential GET', 'one CPU', 0.9, BLOCKING),
  nearLimit('sequential SET', 'one CPU', 0.9, BLOCKING),
  ...fasterBesideLimit('sequential GET', 'two CPUs', 10, 9),
  ...fasterBesideLimit('sequential SET', 'two CPUs', 10, 9),
  nearLimit('sequential GET', 'two CPUs', 0.5, SPINNING),
  nearLimit('sequential SET', 'two CPUs', 0.5, SPINNING),
  ...['one CPU', 'two CPUs'].flatMap((place) => [
    ...fasterBoth('GET, 64 in flight', place, 5, 3.5),
    ...fasterBoth('SET, 64 in flight', place, 5, 3.5),
    ...fasterBoth('GET, 1,000 in one tick', place, 8, 4),
    ...fasterBoth('SET, 1,000 in one tick', place, 8, 4),
  ]),
  ...fasterBoth('sequential GET', '8 processes', 2.2, 2),
  ...fasterBoth('sequential SET', '8 processes', 2.2, 2),
  faster('sequential GET, 64 KiB', 'one CPU', OURS, 1.5),
  faster('sequential SET, 64 KiB', 'one CPU', OURS, 1.5),
  withinCipher('sequential GET, 64 KiB'),
  withinCipher('sequential SET, 64 KiB'),
  atMost(
    'memory of an item of 100 bytes, its key and TTL',
    170,
    ' bytes',
    'bytes an item',
    `${OURS}, with a TTL`,
    'resident memory',
  ),
  expiry(OURS),
  expiry(SEALED),
  atMost(
    'start -- true over node -e 0',
    3,
    ' ms',
    'start -- true',
    'start -- true',
    'over node -e 0',
  ),
  atMost(
    'epb start -- true, called directly, over true',
    5,
    ' ms',
    'start -- true',
    'epb start -- true',
    'over true',
  ),
  atMost(
    'start --, p99 of the end of the command to the end of its broker',
    10,
    ' ms',
    'the end of the command to the end of its broker',
    'epb start -- COMMAND',
    'p99',
  ),
  ...[OURS, SEALED].map((peer) =>
    atMost(
      `a cold worker's first get over node -e 0: ${peer}`,
      10,
      ' ms',
      'a cold worker gets a value',
      peer,
      'over node -e 0',
      [HOLLOW, 'over node -e 0'],
    ),
  ),
  ...['the broker of start', 'a client after a get'].map((row) =>
    atMost(`idle, wake-ups in 10 s: ${row}`, 0, '', 'idle', row, 'wake-ups in 10 s'),
  ),
  atMost(
    'idle, resident memory: the broker of start',
    4,
    ' MiB',
    'idle',
    'the broker of start',
    'resident memory, MiB',
  ),
  atMost(
    'idle, beyond Node itself: a client after a get',
    4,
    ' MiB',
    'idle',
    'a client after a get',
    'beyond Node, MiB',
  ),
  ...[OURS, SEALED].flatMap((peer) =>
    [
      'small gets',
      'gets of 16 KiB',
      'values of 256 KiB',
      'lists of 100,000 items',
      'watches left unread',
      'pools of 130,000 elements',
    ].flatMap((kind) => [
      politeBeside(peer, kind, 'all anywhere'),
      politeBeside(peer, kind, 'floods on a CPU of their own'),
    ]),
  ),
];

function judge(goal, report) {
  const measured = goal.measure(report);
  if (measured === null) return { measured, isReached: null };
  const isReached = goal.most === undefined ? measured >= goal.least : measured <= goal.most;
  return { measured, isReached };
}

module.exports = { GOALS, judge };

'use strict';

// Turns figures into a summary (which is also the JSON) and into Markdown. Ratios refer to the first peer: a
// ratio is the median, over the slots of all rounds, of a peer's figure divided by the first peer's figure
// of the same slot.
const { deviationPercent, median } = require('./common.js');
const { judge } = require('./goals.js');

const PERCENTILES = ['p50', 'p95', 'p99'];
const PROSE_COLUMNS = 120;
/** The rates that the first page shows. */
const MAIN_RATES = [
  'sequential GET, one CPU',
  'sequential SET, one CPU',
  'sequential GET, two CPUs',
  'sequential SET, two CPUs',
  'GET, 64 in flight, one CPU',
  'GET, 1,000 in one tick, one CPU',
  'sequential GET, 64 KiB, one CPU',
  'sequential GET, 8 processes',
  'lock and unlock, one CPU',
];
/** The beginnings of the goals that say what the broker costs. */
const COSTS = [
  'start --',
  "a cold worker's first get",
  'memory of an item',
  'idle',
  'longest pause',
  'p99 of a polite client beside four floods of small gets, all anywhere',
];

function summarisePeer(slots, baseSlots) {
  const rates = slots.map(({ perSecond }) => perSecond);
  const summary = { perSecond: median(rates), deviationPercent: deviationPercent(rates), rates };
  if (slots[0].cpuUs !== undefined) summary.clientCpuUs = median(slots.map((one) => one.cpuUs));
  if (baseSlots && baseSlots !== slots) {
    const ratios = rates.map((rate, slot) => rate / baseSlots[slot].perSecond);
    summary.ratio = median(ratios);
    summary.ratioDeviationPercent = deviationPercent(ratios);
  }
  if (slots[0].percentiles) {
    const over = (p) => median(slots.map(({ percentiles }) => percentiles[p]));
    summary.latencyUs = Object.fromEntries(PERCENTILES.map((p) => [p, over(p)]));
  }
  return summary;
}

function summarise(results, peers) {
  return results.map(({ workload, place, slots, failed }) => {
    const summaryOf = (name) =>
      failed[name] ? { failed: failed[name] } : summarisePeer(slots[name], slots[peers[0].name]);
    const present = peers.filter(({ name }) => slots[name] ?? failed[name]);
    const summaries = present.map(({ name }) => [name, summaryOf(name)]);
    return { workload, place, peers: Object.fromEntries(summaries) };
  });
}

/** Merges reports of different workloads; machine, settings and peers are those of the first report. */
function merge(reports) {
  const all = (part) => reports.flatMap((report) => report[part]);
  return { ...reports[0], rates: all('rates'), single: all('single') };
}

const short = (number) => String(Number(number.toFixed(Math.abs(number) < 100 ? 1 : 0)));

function rateCell(summary) {
  if (!summary) return '';
  if (summary.failed) return 'failed';
  const rate = `${short(summary.perSecond / 1_000)} k/s ±${short(summary.deviationPercent)} %`;
  if (summary.ratio === undefined) return rate;
  const deviation = short(summary.ratioDeviationPercent);
  return `${rate} · **${summary.ratio.toFixed(2)}** ±${deviation} %`;
}

function latencyCell(summary) {
  return summary?.latencyUs ? PERCENTILES.map((p) => short(summary.latencyUs[p])).join(' / ') : '';
}

function table(head, rows) {
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

/** A table of the rows in which at least one of these peers has a figure. */
function peerTable(title, rates, peers, cell) {
  const rows = rates.map((row) => [
    `${row.workload}, ${row.place}`,
    ...peers.map(({ name }) => cell(row.peers[name])),
  ]);
  const filled = rows.filter((cells) => cells.slice(1).some((one) => one !== ''));
  return filled.length ? table([title, ...peers.map(({ name }) => name)], filled) : '';
}

/** A text in lines of prose, the first after `begin` and the others indented as far. */
function fold(text, begin = '') {
  const lines = [];
  let line = begin;
  for (const word of text.split(' ')) {
    const isFirst = line.trim() === begin.trim();
    const longer = isFirst ? line + word : `${line} ${word}`;
    if (longer.length <= PROSE_COLUMNS || isFirst) {
      line = longer;
    } else {
      lines.push(line);
      line = ' '.repeat(begin.length) + word;
    }
  }
  return [...lines, line].join('\n');
}

/** Another setting of a peer is listed below the table, for the workloads it applies to. */
function asides(rates, peers) {
  const lines = rates.flatMap((row) =>
    peers
      .filter(({ name, aside }) => aside && row.peers[name])
      .map(({ name }) =>
        fold(`${name}: ${row.workload}, ${row.place}: ${rateCell(row.peers[name])}`, '- '),
      ),
  );
  return lines.join('\n');
}

function failures(rates) {
  const lines = rates.flatMap((row) =>
    Object.entries(row.peers)
      .filter(([, { failed }]) => failed)
      .map(([name, { failed }]) =>
        fold(`${name} failed in ${row.workload}, ${row.place}: ${failed}`, '- '),
      ),
  );
  return lines.join('\n');
}

/** A figure is a number, or the median of several with its deviation. */
function figureCell(figure) {
  if (figure === undefined) return '';
  if (typeof figure === 'number') return short(figure);
  return `${short(figure.value)} ±${short(figure.deviation)} %`;
}

function singleTable({ name, unit, rows }) {
  const columns = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures)))];
  const cells = rows.map(({ what, figures }) => [
    what,
    ...columns.map((one) => figureCell(figures[one])),
  ]);
  return table([`${name} (${unit})`, ...columns], cells);
}

/** The cell with the limit of a goal's figure, measured in the same run. */
function beside(goal, report) {
  const value = goal.beside?.measure(report) ?? null;
  if (value === null) return '';
  return `${goal.beside.what}: ${Number(value.toFixed(2))}${goal.beside.unit}`;
}

function goalTable(goals, report) {
  const rows = goals.map((goal) => {
    const { measured, isReached } = judge(goal, report);
    const sign = goal.most === undefined ? '≥' : '≤';
    const limit = `${sign} ${goal.least ?? goal.most}${goal.unit}`;
    if (measured === null) return [goal.what, limit, 'not measured', '', ''];
    const figure = `${Number(measured.toFixed(2))}${goal.unit}`;
    return [
      goal.what,
      limit,
      figure,
      isReached ? 'reached' : '**not reached**',
      beside(goal, report),
    ];
  });
  return table(['goal', 'figure', 'measured', '', 'beside it'], rows);
}

/** What the broker costs, in the order of COSTS. */
function costTable(goals, report) {
  const rows = COSTS.flatMap((begin) => goals.filter(({ what }) => what.startsWith(begin)))
    .map((goal) => ({ ...goal, measured: judge(goal, report).measured }))
    .filter(({ measured }) => measured !== null)
    .map(({ what, measured, most, unit }) => [
      what,
      `${Number(measured.toFixed(2))}${unit}`,
      `≤ ${most}${unit}`,
    ]);
  return rows.length ? table(['what', 'measured', 'goal'], rows) : '';
}

/** How many of the goals that were measured are reached. */
function reached(goals, report) {
  const judged = goals.map((goal) => judge(goal, report)).filter((one) => one.measured !== null);
  return `${judged.filter(({ isReached }) => isReached).length} of ${judged.length}`;
}

const MACHINE = (machine) =>
  Object.entries(machine)
    .map((fact) => fact.join(' '))
    .join(', ');

/** The parts of a report, each as Markdown; empty if no figure of the part was measured. */
function sections(report, goals) {
  const { machine, settings, peers, rates, single } = report;
  const main = peers.filter((peer) => peer.main);
  const others = peers.filter((peer) => !peer.main && !peer.aside);
  const join = (parts) => parts.filter(Boolean).join('\n\n');
  const singles = (isOne) => join(single.filter(isOne).map(singleTable));
  return {
    machine: fold(`${MACHINE(machine)}.`),
    method: fold(
      `Medians of ${settings.rounds} rounds of ${settings.slots} interleaved slots of ` +
        `${settings.ms / settings.slots} ms (8 processes: of one slot of ${settings.ms} ms), ± median ` +
        `absolute deviation; bold: median ratio to ${peers[0].name} in the same slot.`,
    ),
    reached: reached(goals, report),
    main: peerTable(
      '',
      rates.filter(({ workload, place }) => MAIN_RATES.includes(`${workload}, ${place}`)),
      main,
      rateCell,
    ),
    costs: costTable(goals, report),
    goals: goalTable(goals, report),
    rates: join([peerTable('', rates, main, rateCell), asides(rates, peers), failures(rates)]),
    others: peerTable('', rates, others, rateCell),
    latencies: join([
      peerTable('µs: p50 / p95 / p99', rates, main, latencyCell),
      peerTable('µs: p50 / p95 / p99', rates, others, latencyCell),
    ]),
    growth: singles(({ curve }) => curve),
    single: singles(({ curve }) => !curve),
  };
}

/** The report as Markdown. */
function markdown(report, goals) {
  return `${Object.values(sections(report, goals)).filter(Boolean).join('\n\n')}\n`;
}

module.exports = { COSTS, MAIN_RATES, markdown, merge, sections, summarise };

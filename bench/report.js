'use strict';

// Figures to a summary (which is also the JSON) and to Markdown. The first peer is the measure: a
// ratio is the median, over the rounds, of a peer's figure by the first peer's of the same round.
const { deviationPercent, median } = require('./common');

const PERCENTILES = ['p50', 'p95', 'p99'];

function summarisePeer(rounds, baseRounds) {
  const rates = rounds.map(({ perSecond }) => perSecond);
  const summary = { perSecond: median(rates), deviationPercent: deviationPercent(rates), rates };
  summary.clientCpuUs = median(rounds.map(({ cpuUs }) => cpuUs));
  if (baseRounds && baseRounds !== rounds) {
    const ratios = rates.map((rate, round) => rate / baseRounds[round].perSecond);
    summary.ratio = median(ratios);
    summary.ratioDeviationPercent = deviationPercent(ratios);
  }
  if (rounds[0].percentiles) {
    const over = (p) => median(rounds.map(({ percentiles }) => percentiles[p]));
    summary.latencyUs = Object.fromEntries(PERCENTILES.map((p) => [p, over(p)]));
  }
  return summary;
}

function summarise(results, peers) {
  return results.map(({ workload, place, rounds }) => {
    const present = peers.filter(({ name }) => rounds[name]);
    const summaries = present.map(({ name }) => [
      name,
      summarisePeer(rounds[name], rounds[peers[0].name]),
    ]);
    return { workload, place, peers: Object.fromEntries(summaries) };
  });
}

const short = (number) => String(Number(number.toFixed(Math.abs(number) < 100 ? 1 : 0)));

function rateCell(summary) {
  if (!summary) return '';
  const rate = `${short(summary.perSecond / 1_000)} k/s ±${short(summary.deviationPercent)} %`;
  return summary.ratio === undefined ? rate : `${rate} · **${summary.ratio.toFixed(2)}**`;
}

function latencyCell(summary) {
  return summary ? PERCENTILES.map((p) => short(summary.latencyUs[p])).join(' / ') : '';
}

function table(head, rows) {
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

function peerTable(title, rates, peers, cell) {
  const rows = rates.map((row) => [
    `${row.workload}, ${row.place}`,
    ...peers.map(({ name }) => cell(row.peers[name])),
  ]);
  return table([title, ...peers.map(({ name }) => name)], rows);
}

/** Another setting of a peer is told below the table, for the workloads it is meant for. */
function asides(rates, peers) {
  const lines = rates.flatMap((row) =>
    peers
      .filter(({ name, aside }) => aside && row.peers[name])
      .map(({ name }) => `- ${name}: ${row.workload}, ${row.place}: ${rateCell(row.peers[name])}`),
  );
  return lines.join('\n');
}

function singleTable({ name, unit, rows }) {
  const columns = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures)))];
  const cell = (figure) => (figure === undefined ? '' : short(figure));
  const cells = rows.map(({ what, figures }) => [
    what,
    ...columns.map((one) => cell(figures[one])),
  ]);
  return table([`${name} (${unit})`, ...columns], cells);
}

function markdown({ machine, settings, rates, single }, peers) {
  const shown = peers.filter(({ aside }) => !aside);
  const timed = rates.filter((row) => Object.values(row.peers)[0].latencyUs);
  const facts = Object.entries(machine).map((fact) => fact.join(' '));
  const how =
    `Medians of ${settings.rounds} interleaved rounds of ${settings.ms} ms, ± median absolute ` +
    `deviation; bold: ratio to ${peers[0].name} of the same round.`;
  const parts = [facts.join(', '), how];
  if (rates.length) parts.push(peerTable('', rates, shown, rateCell), asides(rates, peers));
  if (timed.length) parts.push(peerTable('µs: p50 / p95 / p99', timed, shown, latencyCell));
  return `${[...parts.filter(Boolean), ...single.map(singleTable)].join('\n\n')}\n`;
}

module.exports = { markdown, summarise };

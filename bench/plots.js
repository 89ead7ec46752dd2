'use strict';

// Draws a report as SVG, with Observable Plot on a separate DOM. Text stays text, colours follow the reader's
// light or dark mode, and the same report yields the same bytes.
const { parseHTML } = require('linkedom');

const WIDTH = 760;
const BAR_HEIGHT = 17;
const NAMES_WIDTH = 180;
const CURVE_HEIGHT = 320;
/** By peer: the colour in light mode, used in the picture, and its replacement in dark mode. */
const COLOURS = {
  broker: ['#c2410c', '#fb923c'],
  'broker, secret': ['#1d4ed8', '#60a5fa'],
  'redis + ioredis': ['#57606a', '#b1bac4'],
  memcached: ['#15803d', '#4ade80'],
  'node:net lines': ['#a21caf', '#e879f9'],
};
const OTHER = ['#9aa4af', '#6e7681'];
const TEXT = ['#24292f', '#e6edf3'];
const BACKGROUND = ['#ffffff', '#0d1117'];

const colourOf = (peer) => (COLOURS[peer.replace(', with a TTL', '')] ?? OTHER)[0];

function style() {
  const pairs = [...Object.values(COLOURS), OTHER];
  const swaps = pairs.map(
    ([light, dark]) => `[fill="${light}"]{fill:${dark}}[stroke="${light}"]{stroke:${dark}}`,
  );
  const root = (mode) => `svg{color:${TEXT[mode]};background:${BACKGROUND[mode]}}`;
  return `${root(0)}text{white-space:pre}@media(prefers-color-scheme:dark){${root(1)}${swaps.join('')}}`;
}

const LONG_NUMBER = /\d+\.\d{2,}/g;
const shorten = (tag) => tag.replace(LONG_NUMBER, (number) => String(Number((+number).toFixed(1))));

/** A self-contained picture: with its namespace, our style, and only as many digits as are visible. */
function toText(plot) {
  plot.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  plot.querySelector('style').textContent = style();
  return `${plot.outerHTML.replace(/<[^>]+>/g, shorten)}\n`;
}

const plain = (number) => (number >= 1_000_000 ? `${number / 1_000_000}M` : String(number));
const short = (number) => String(Number(number.toPrecision(number >= 100 ? 3 : 2)));

/** The powers of ten in a range, and 2 and 5 times them if there are few. */
function logTicks([low, high]) {
  const steps = high / low > 50 ? [1] : [1, 2, 5];
  const from = Math.floor(Math.log10(low));
  const powers = Array.from({ length: Math.ceil(Math.log10(high)) - from + 1 }, (_, i) => from + i);
  const ticks = powers.flatMap((power) => steps.map((step) => Number(`${step}e${power}`)));
  return ticks.filter((tick) => tick >= low && tick <= high);
}

const logScale = (domain, label) => ({
  type: 'log',
  domain,
  ticks: logTicks(domain),
  tickFormat: plain,
  label,
  grid: true,
});

/**
 * Bars in groups. On a logarithmic scale bars begin at 1, so that a ratio below 1 extends to the left.
 * @param {{ title: string, bars: { name: string, value: number, text: string }[] }[]} groups
 */
function bars(plot, groups, { label, isRatio }) {
  const rows = groups.flatMap(({ title, bars: some }, group) => [
    { id: `${group}`, title },
    ...some.map((bar) => ({ ...bar, id: `${group} ${bar.name}` })),
  ]);
  const drawn = rows.filter(({ name }) => name);
  const values = drawn.map(({ value }) => value);
  // Leave room for the text to the right of the longest bar.
  const range = [Math.min(1, ...values) * 0.9, Math.max(1, ...values)];
  const x = isRatio
    ? logScale([range[0], range[1] * (range[1] / range[0]) ** 0.35], label)
    : { domain: [0, range[1] * 1.3], label, grid: true };
  const start = isRatio ? 1 : 0;
  const end = ({ value }) => Math.max(start, value);
  return plot.plot({
    width: WIDTH,
    height: rows.length * BAR_HEIGHT + 47,
    marginLeft: NAMES_WIDTH,
    marginTop: 5,
    marginBottom: 42,
    style: { fontSize: '12px' },
    x,
    y: { domain: rows.map(({ id }) => id), axis: null, padding: 0.15 },
    marks: [
      plot.barX(drawn, {
        x1: start,
        x2: 'value',
        y: 'id',
        fill: ({ name }) => colourOf(name),
      }),
      plot.ruleX([start]),
      plot.text(drawn, { x: end, y: 'id', text: 'text', textAnchor: 'start', dx: 5 }),
      plot.text(drawn, { y: 'id', text: 'name', frameAnchor: 'left', textAnchor: 'end', dx: -8 }),
      plot.text(
        rows.filter(({ title }) => title),
        {
          y: 'id',
          text: 'title',
          frameAnchor: 'left',
          textAnchor: 'start',
          dx: 5 - NAMES_WIDTH,
          fontWeight: 600,
        },
      ),
    ],
  });
}

/** Both axes logarithmic, a line for each peer, and the names above. */
function curve(plot, { name, unit, rows, curve: { x } }) {
  const points = rows.flatMap(({ at, figures }) =>
    Object.entries(figures).map(([peer, { value }]) => ({ at, peer, value })),
  );
  const peers = [...new Set(points.map(({ peer }) => peer))];
  const range = (key) => {
    const all = points.map((point) => point[key]);
    return [Math.min(...all), Math.max(...all)];
  };
  const [low, high] = range('value');
  return plot.plot({
    width: WIDTH,
    height: CURVE_HEIGHT,
    marginTop: 60,
    marginBottom: 42,
    marginLeft: 55,
    marginRight: 30,
    style: { fontSize: '12px' },
    x: logScale(range('at'), x),
    y: logScale([low * 0.8, high * 1.25], null),
    marks: [
      plot.line(points, {
        x: 'at',
        y: 'value',
        z: 'peer',
        stroke: ({ peer }) => colourOf(peer),
      }),
      plot.dot(points, { x: 'at', y: 'value', r: 2.5, fill: ({ peer }) => colourOf(peer) }),
      ...peers.map((peer, i) =>
        plot.text([peer], {
          text: (one) => `● ${one}`,
          fill: colourOf(peer),
          frameAnchor: 'top-left',
          dx: i * 125,
          dy: -30,
        }),
      ),
      plot.text([`${name}: ${unit} a request`], {
        frameAnchor: 'top-left',
        dx: -50,
        dy: -55,
        fontWeight: 600,
      }),
    ],
  });
}

/** The ratios of a row, the largest first; ratios refer to the first peer. */
function ratioBars({ peers }, measure, isShown) {
  const all = Object.entries(peers).map(([name, { ratio, perSecond }]) => ({
    name,
    value: name === measure ? 1 : ratio,
    perSecond,
  }));
  const shown = all.filter(({ name, value, perSecond }) => value && perSecond && isShown(name));
  const sorted = shown.sort((a, b) => b.value - a.value);
  return sorted.map(({ name, value, perSecond }) => ({
    name,
    value,
    text: `${short(value)} · ${short(perSecond / 1_000)} k/s`,
  }));
}

/** The workloads of a placement that only the main peers run (`areMain`), or all peers. */
function ratioGroups(report, place, areMain) {
  const kinds = new Map(report.peers.map((peer) => [peer.name, peer]));
  const isShown = (name) => !kinds.get(name)?.aside;
  const isOther = ({ peers }) =>
    Object.keys(peers).some((name) => kinds.get(name)?.main !== true && isShown(name));
  return report.rates
    .filter((row) => row.place === place && isOther(row) !== areMain)
    .map((row) => ({ title: row.workload, bars: ratioBars(row, report.peers[0].name, isShown) }))
    .filter((group) => group.bars.length > 1);
}

/** A column of a workload that makes its own tables, as bars. */
function singleBars(report, workload, column, unit) {
  const rows = report.single
    .filter((table) => table.workload === workload)
    .flatMap((table) => table.rows);
  const found = rows
    .map(({ what, figures }) => ({ name: what, figure: figures[column] }))
    .filter(({ figure, name }) => figure !== undefined && !name.startsWith('node -e'))
    .map(({ name, figure }) => ({ name, value: figure.value ?? figure }));
  return found
    .sort((a, b) => a.value - b.value)
    .map((bar) => ({ ...bar, text: `${short(bar.value)} ${unit}` }));
}

const slug = (text) => text.toLowerCase().replace(/\W+/g, '-');

/** @returns {Promise<Record<string, string>>} the pictures by name, if the report has their figures */
async function draw(report) {
  const library = await import('@observablehq/plot');
  const { document } = parseHTML('<html><body></body></html>');
  const plot = { ...library, plot: (options) => library.plot({ document, ...options }) };
  const pictures = {};
  const ratios = { label: `times the rate of ${report.peers[0].name} →`, isRatio: true };
  const addBars = (name, groups, how) => {
    const filled = groups.filter((group) => group.bars.length > 0);
    if (filled.length) pictures[name] = toText(bars(plot, filled, how));
  };
  for (const place of new Set(report.rates.map((row) => row.place))) {
    addBars(`peers-${slug(place)}`, ratioGroups(report, place, false), ratios);
    addBars(`operations-${slug(place)}`, ratioGroups(report, place, true), ratios);
  }
  const memory = singleBars(report, 'bytes an item', 'resident memory', 'bytes');
  addBars('memory', [{ title: 'memory of an item', bars: memory }], { label: 'bytes →' });
  const cold = singleBars(report, 'a cold worker gets a value', 'over node -e 0', 'ms');
  addBars('cold', [{ title: 'first get of a process', bars: cold }], {
    label: 'ms over node -e 0 →',
  });
  for (const table of report.single.filter((one) => one.curve)) {
    pictures[`growth-${slug(table.name)}`] = toText(curve(plot, table));
  }
  return pictures;
}

module.exports = { draw };

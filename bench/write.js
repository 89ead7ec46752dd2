'use strict';

// Writes a report to BENCHMARKS.md and bench/plots. In BENCHMARKS.template.md {{name}} stands for a section
// of the report or for a plot.
const fs = require('node:fs');
const path = require('node:path');
const { GOALS } = require('./goals.js');
const { draw } = require('./plots.js');
const { sections } = require('./report.js');

const TEMPLATE = path.join(__dirname, 'BENCHMARKS.template.md');
const ROOT = path.join(__dirname, '..');
const PLOTS = 'bench/plots';

/**
 * The document and its plots, as `{ text, plots: { name: svg } }`. A missing section is replaced by a note.
 */
async function document(report) {
  const plots = await draw(report);
  const known = { ...sections(report, GOALS) };
  for (const name of Object.keys(plots)) known[`plot ${name}`] = `![${name}](${PLOTS}/${name}.svg)`;
  const fill = (_, name) => known[name] || 'Not measured in this run.';
  const text = fs.readFileSync(TEMPLATE, 'utf8').replace(/\{\{([^}]+)\}\}/g, fill);
  return { text, plots };
}

async function write(report) {
  const { text, plots } = await document(report);
  const folder = path.join(ROOT, PLOTS);
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder);
  for (const [name, svg] of Object.entries(plots)) {
    fs.writeFileSync(path.join(folder, `${name}.svg`), svg);
  }
  fs.writeFileSync(path.join(ROOT, 'BENCHMARKS.md'), text);
}

module.exports = { document, write };

'use strict';

// Writes a report to BENCHMARKS.md, the page for users, to bench/results, all figures, and to bench/plots. In
// the templates {{name}} stands for a section of the report or for a plot.
const fs = require('node:fs');
const path = require('node:path');
const { GOALS } = require('./goals.js');
const { draw } = require('./plots.js');
const { sections } = require('./report.js');

const ROOT = path.join(__dirname, '..');
const PLOTS = 'bench/plots';
const DOCUMENTS = {
  'BENCHMARKS.md': 'BENCHMARKS.template.md',
  'bench/results/README.md': 'results.template.md',
};

/** A document from its template. A missing section is replaced by a note. */
function filled(file, template, known, plots) {
  const folder = path.posix.relative(path.posix.dirname(file), PLOTS);
  const pictures = plots.map((name) => [`plot ${name}`, `![${name}](${folder}/${name}.svg)`]);
  const all = { ...known, ...Object.fromEntries(pictures) };
  const fill = (_, name) => all[name] || 'Not measured in this run.';
  return fs.readFileSync(path.join(__dirname, template), 'utf8').replace(/\{\{([^}]+)\}\}/g, fill);
}

/** The documents and their plots, as `{ texts: { file: markdown }, plots: { name: svg } }`. */
async function documents(report) {
  const plots = await draw(report);
  const known = sections(report, GOALS);
  const texts = Object.entries(DOCUMENTS).map(([file, template]) => [
    file,
    filled(file, template, known, Object.keys(plots)),
  ]);
  return { texts: Object.fromEntries(texts), plots };
}

async function write(report) {
  const { texts, plots } = await documents(report);
  const folder = path.join(ROOT, PLOTS);
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder);
  for (const [name, svg] of Object.entries(plots)) {
    fs.writeFileSync(path.join(folder, `${name}.svg`), svg);
  }
  for (const [file, text] of Object.entries(texts)) {
    fs.mkdirSync(path.dirname(path.join(ROOT, file)), { recursive: true });
    fs.writeFileSync(path.join(ROOT, file), text);
  }
}

module.exports = { documents, write };

// Counts the lines of csrc that the tests run, by file, with gcov and a build with COVERAGE=1
// (test/c/Makefile). Sources for other operating systems are not compiled here and not counted.
'use strict';

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const { ROOT } = require('./files.js');

const LEAST_PERCENT = 90;
// The tests of the command line run the program itself, which counts no lines: the table shows what the
// C suite runs of it, and the total leaves it out.
const isCounted = ({ name }) => !name.startsWith('csrc/cli/');
const REPORT_MAX_BYTES = 256 * 1024 * 1024;

function below(folder, ending) {
  return fs
    .readdirSync(folder, { recursive: true })
    .filter((file) => file.endsWith(ending))
    .map((file) => path.join(folder, file));
}

/** Deletes the counts of earlier runs. */
function reset(build) {
  for (const file of fs.existsSync(build) ? below(build, '.gcda') : []) fs.rmSync(file);
}

/** For each file of csrc a map from a line to whether it ran, in any object that contains the file. */
function collect(build) {
  const counts = below(path.join(build, 'csrc'), '.gcda');
  if (counts.length === 0) return new Map();
  const options = { cwd: ROOT, encoding: 'utf8', maxBuffer: REPORT_MAX_BYTES };
  const reports = execFileSync('gcov', ['--json-format', '--stdout', ...counts], options);
  const files = new Map();
  for (const text of reports.split('\n').filter(Boolean)) {
    for (const { file, lines } of JSON.parse(text).files) {
      const name = path.relative(ROOT, path.resolve(ROOT, file));
      if (!name.startsWith('csrc/')) continue;
      if (!files.has(name)) files.set(name, new Map());
      const ran = files.get(name);
      for (const { line_number: line, count } of lines) {
        ran.set(line, count > 0 || ran.get(line) === true);
      }
    }
  }
  return files;
}

const percent = (ran, all) => ((100 * ran) / all).toFixed(1).padStart(5);

/** Prints the table, worst files first; returns whether enough of the lines ran. */
function report(build) {
  const rows = [...collect(build)].map(([name, lines]) => {
    const missed = [...lines].filter(([, ran]) => !ran).map(([line]) => line);
    return { name, all: lines.size, ran: lines.size - missed.length };
  });
  rows.sort((a, b) => a.ran / a.all - b.ran / b.all || a.name.localeCompare(b.name));
  const counted = rows.filter(isCounted);
  const all = counted.reduce((sum, row) => sum + row.all, 0);
  const ran = counted.reduce((sum, row) => sum + row.ran, 0);
  for (const row of rows) {
    console.log(`${percent(row.ran, row.all)} %  ${row.ran}/${row.all}  ${row.name}`);
  }
  if (all === 0) {
    console.log('nothing was counted');
    return false;
  }
  console.log(
    `${percent(ran, all)} %  ${ran}/${all}  of csrc without cli; ${LEAST_PERCENT} % are needed`,
  );
  return 100 * ran >= LEAST_PERCENT * all;
}

module.exports = { report, reset };

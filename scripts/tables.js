// The tables of commands and options, as the program has them (`epb help --tables`), and what is
// generated from them: lib/option_rows.js and tables in Markdown.
'use strict';

const { execFileSync } = require('node:child_process');
const path = require('node:path');

const { ROOT } = require('./files.js');

const PROGRAM = path.join(ROOT, 'build/Release', process.platform === 'win32' ? 'epb.exe' : 'epb');
/** The kinds that JavaScript has. */
const KINDS = ['broker', 'client'];

/** { commands, options }, in the order of the program. */
function tables() {
  return JSON.parse(execFileSync(PROGRAM, ['help', '--tables'], { encoding: 'utf8' }));
}

/** The default as JavaScript knows it. */
function defaultOf({ type, fallback, values }) {
  if (type === 'boolean') return fallback === 1;
  if (type === 'enum') return values.split('|')[fallback];
  return type === 'string' || type === 'function' ? null : fallback;
}

/** The pattern of a string, as source text. */
function patternOf({ identifier, maxBytes }) {
  if (maxBytes === undefined) return undefined;
  return `/^${identifier ? '[A-Za-z0-9_-]' : '[^]'}{1,${maxBytes}}$/`;
}

/** A row as the members of lib/options.js, as source text. */
function rowSource(option) {
  const { name, kind, type, min, zeroMeans, endless, isNever, values, patternHelp, env } = option;
  const members = {
    ...{ name, kind, type, default: defaultOf(option), min, zeroMeans, endless, isNever },
    ...{ values: values?.split('|'), patternHelp, env: env ?? null },
  };
  const texts = Object.entries(members)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  const pattern = patternOf(option);
  if (pattern !== undefined) texts.push(`pattern: ${pattern}`);
  return `{${texts.join(', ')}}`;
}

/** The text of lib/option_rows.js, before Prettier. */
function optionRows() {
  const rows = KINDS.flatMap((kind) => tables().options.filter((option) => option.kind === kind));
  return `/** The rows of csrc/options/options.def for JavaScript, written by \`npm run docs\`. */
'use strict';

/** @type {import('./options.js').Option[]} */
const rows = [${rows.map(rowSource).join(',\n')}];

module.exports = { rows };
`;
}

/** A text as code in a cell. */
const code = (text) => `\`${text.replaceAll('|', '\\|')}\``;

/** The table of the options of a kind. */
function optionTable(kind) {
  const head = [
    '| Option | Default | Environment | Flag | What it does |',
    '|---|---|---|---|---|',
  ];
  const lines = tables()
    .options.filter((option) => option.kind === kind)
    .map((option) => {
      const { name, shownDefault, env, usage, help, zeroMeans, fallback } = option;
      const zero = zeroMeans && fallback !== 0 ? ` 0: ${zeroMeans}.` : '';
      const flag = usage ? code(usage) : '';
      return `| \`${name}\` | ${shownDefault} | ${env ? `\`${env}\`` : ''} | ${flag} | ${help}${zero} |`;
    });
  return [...head, ...lines, ''].join('\n');
}

/** The table of the commands. */
function commandTable() {
  const rows = tables().commands.map(({ usage, summary }) => `| ${code(usage)} | ${summary} |\n`);
  return `\n| command | does |\n| --- | --- |\n${rows.join('')}`;
}

module.exports = { commandTable, optionRows, optionTable, tables };

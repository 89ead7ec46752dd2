// The man page of the program, in man(7)'s language, from the tables of commands and options.
'use strict';

const { tables } = require('./tables.js');

/** A date must stand in the title; that of a build would make two builds differ. */
const FIRST_DATE = '2026-01-01';

/** The kinds of options that commands share, and their headings. */
const SHARED = [
  ['start', 'Options of start'],
  ['broker', 'The broker, by start'],
  ['client', 'The connection, by the other commands'],
  ['secret', 'The secret'],
];

/** A text for roff: no line is taken for a macro, and each hyphen of a word is itself. */
function text(words) {
  const escaped = words.replaceAll('\\', '\\e').replaceAll('-', '\\-');
  return escaped.replace(/^(?=[.'])/gm, '\\&');
}

/** An entry of a list: a term in bold, then what it means. */
const entry = (term, what) => `.TP\n.B ${text(term)}\n${text(what)}\n`;

function examples(lines) {
  return `.RS\n.PP\n.nf\n${lines.split('\n').map(text).join('\n')}\n.fi\n.RE\n`;
}

/** What help says of an option, in one paragraph. */
function meaning({ help, flagHelp, shownDefault, optional, type, zeroMeans, fallback, env }) {
  const notes = [];
  const hasDefault = !optional && !['boolean', 'string', 'function'].includes(type);
  if (hasDefault) notes.push(`Default: ${shownDefault}.`);
  if (zeroMeans && fallback !== 0) notes.push(`0: ${zeroMeans}.`);
  if (env) notes.push(`Variable: ${env}.`);
  return [flagHelp ?? help, ...notes].join(' ');
}

/** A command: what it does, examples, and the options that others do not have. */
function command({ usage, summary, note, examples: lines, options: places }, options) {
  const own = places
    .map((place) => options[place])
    .filter(({ kind, name }) => kind === 'flag' && !COMMON.has(name));
  const more = note ? note.split(/\n+/).map((part) => `.IP\n${text(part)}\n`) : [];
  const flags = own.map((option) => entry(option.usage, meaning(option)));
  return [
    entry(usage, summary),
    ...more,
    ...(flags.length > 0 ? ['.RS\n', ...flags, '.RE\n'] : []),
    ...(lines ? [examples(lines)] : []),
  ].join('');
}

/** Flags of almost every command. */
const COMMON = new Set(['json', 'pipe', 'debug', 'help']);

/** The text of man/epb.1. */
function manPage() {
  const { commands, options } = tables();
  const common = options.filter(({ kind, name }) => kind === 'flag' && COMMON.has(name));
  const shared = SHARED.flatMap(([kind, heading]) => [
    `.SS ${text(heading)}\n`,
    ...options
      .filter((option) => option.kind === kind && option.usage)
      .map((option) => entry(option.usage, meaning(option))),
  ]);
  return `.\\" Written by "npm run docs" from the tables of commands and options.
.TH EPB 1 "${FIRST_DATE}" "ephemeral\\-pipe\\-broker" "User commands"
.SH NAME
epb \\- share small state between processes for the time of a command
.SH SYNOPSIS
.B epb
.I COMMAND
.RI [ flags ]
.SH DESCRIPTION
Tokens, accounts, counters and small state for parallel processes: in memory only, over a private pipe,
gone when your command ends.
.B epb start
runs a command with a broker. All other commands find the broker of the start around them by the variable
EPHEMERAL_PIPE, or take
.BR \\-\\-pipe .
.PP
A time has a unit, as in 500ms, 30s, 5m, 1h or 1d. A size has one, as in 64k or 1m, or is in bytes.
Words after \\-\\- are never flags.
.SH COMMANDS
${commands.map((row) => command(row, options)).join('')}.SH OPTIONS
.SS Of most commands
${common.map((option) => entry(option.usage, meaning(option))).join('')}${shared.join('')}.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
The broker refused: not_found, conflict and so on.
.TP
.B 2
Wrong use.
.TP
.B 3
No broker, or one with another secret or version.
.TP
.B 125
.B start
itself failed; else its status is that of the command.
.SH ENVIRONMENT
.TP
.BR EPHEMERAL_PIPE ", " EPHEMERAL_SECRET
The broker, and its secret.
.TP
.B NO_COLOR
Help is not bold, even on a terminal.
`;
}

module.exports = { manPage };

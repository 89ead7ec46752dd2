/**
 * The help texts. Flags come from the option table, so that they say what the code does.
 */
'use strict';

const { helpLines } = require('../options.js');

const COLUMNS = 96;

/**
 * Breaks a line of flags so that its description stays in its own column.
 *
 * @param {string} line
 */
function wrap(line) {
  const column = /^ {2}\S.*? {2,}(?=\S)/.exec(line)?.[0].length ?? 0;
  const lines = [];
  let rest = line;
  while (rest.length > COLUMNS) {
    const space = rest.lastIndexOf(' ', COLUMNS);
    if (space <= column) break;
    lines.push(rest.slice(0, space));
    rest = ' '.repeat(column) + rest.slice(space + 1);
  }
  return [...lines, rest].join('\n');
}

/**
 * @param {any[]} kinds
 */
function flagLines(kinds) {
  return helpLines(kinds).map(wrap).join('\n');
}

const EXIT_STATUSES = `Exit status: 0 done; 1 the broker said no (not_found, conflict, ...); 2 wrong use;
  3 no broker, or one with another secret or version.`;

/**
 * @typedef {{ usage: string, summary: string }} Shown
 *
 * @param {{ title: string, commands: Record<string, Shown> }[]} groups
 */
function overview(groups) {
  const all = groups.flatMap(({ commands }) => Object.values(commands));
  const width = Math.max(...all.map(({ usage }) => usage.length));
  const sections = groups.map(({ title, commands }) => {
    const lines = Object.values(commands).map(({ usage, summary }) =>
      wrap(`  ${usage.padEnd(width)}  ${summary}`),
    );
    return `${title}:\n${lines.join('\n')}`;
  });
  return `Share tokens, accounts, counters and small state between parallel processes: in memory only, over
a private pipe, gone when your command ends.

Usage: ephemeral-pipe-broker COMMAND [flags]        (short: epb)

Run something with a broker:
  start [flags] -- COMMAND [ARGUMENT ...]

Everything else finds the broker of the start around it, or takes --pipe.

${sections.join('\n\n')}

More:
  help COMMAND   what a command does, and its flags
  --version      versions of everything inside

Example:
  npx ephemeral-pipe-broker start -- npm test
  and in the tests:
    const { PipeClient } = require('ephemeral-pipe-broker');
    const client = new PipeClient();
    await client.set('token', 'abc', 60_000);
    await client.get('token');`;
}

function startHelp() {
  return `Usage: ephemeral-pipe-broker start [flags] -- COMMAND [ARGUMENT ...]
       ephemeral-pipe-broker start [flags]

Starts a broker, runs the command, and ends with the command's own exit status. Everything the
broker held is wiped then. The command and all it starts find the broker by the environment:
EPHEMERAL_PIPE, EPHEMERAL_SECRET and EPHEMERAL_BROKER_PID. Standard input, output and error are the
command's own. 127: the command was not found; 126: it is not executable; 125: start itself failed.

Without a command the broker runs until INT or TERM, and prints lines for a shell.

Examples:
  ephemeral-pipe-broker start -- npx jest
  ephemeral-pipe-broker start --max-items 500 --debug -- npm test
  eval "$(ephemeral-pipe-broker start --print-env &)"
  kill "$EPHEMERAL_BROKER_PID"

Flags:
${flagLines(['start'])}

The secret (made at random when none is given; also from EPHEMERAL_SECRET or BROKER_SECRET):
${flagLines(['secret'])}

The broker (each also by the environment variable named):
${flagLines(['broker'])}`;
}

/** @type {Record<string, string[]>} */
const EXAMPLES = {
  get: ['epb get token', 'epb get config --json | jq .url'],
  set: [
    'epb set greeting hello --ttl 5m',
    `epb set config '{"url":"http://localhost"}' --json --ttl 1h`,
    'make-token | epb set token - --trim --ttl 30m',
  ],
  incr: ['epb incr visits --ttl 1h', 'epb incr visits 10'],
  list: ['epb list', 'epb list user:'],
  lock: [
    'epb lock database -- ./migrate.sh',
    'epb lock build --wait 0 -- make',
    'epb lock fixtures --shared -- npm run read-only-tests',
  ],
  lease: [
    'account=$(epb lease accounts --worker "$$" --wait 1m)',
    'port=$((3000 + $(epb lease port --worker "$$")))',
  ],
  renew: ['epb renew --worker "$$" --ttl 5m'],
  release: [
    'epb release --worker "$$"',
    'epb release accounts --worker "$$" --discard',
    'epb release --force --worker 7',
    'epb release accounts --force',
  ],
  leases: ['epb leases', 'epb leases accounts --json'],
  pool: ['epb pool accounts ann bob cid', 'jq -c ".[]" accounts.json | epb pool accounts - --json'],
  limit: ['epb limit uploads 3'],
  wait: ['url=$(epb wait server-url --wait 30s)'],
};

/**
 * What is to be known beyond the summary.
 *
 * @type {Record<string, string>}
 */
const NOTES = {
  lock: `The lock is given in order of arrival, and is free the moment this program ends, however it ends.
It is renewed while the command runs. When it is lost all the same, because the broker ended or
somebody released it by force, the command is ended and the exit status is 125.

Exit status: the command's own, as with start. Before it runs: 1 when the lock was not to be had,
2 wrong use, 3 no broker.
`,
  lease: `What is leased depends on KEY: an element of a pool (epb pool), one of N permits (epb limit), a
stored value, exclusively, or else the lowest free number from 0. The same worker asking again gets
the same, renewed. It belongs to the worker's name until it is released or its time is over.
`,
};

/**
 * @param {string} name
 * @param {Shown & { runsCommand?: boolean }} command
 * @param {any[]} kinds  its flags
 */
function commandHelp(name, { usage, summary, runsCommand = false }, kinds) {
  const examples = (EXAMPLES[name] ?? []).map((text) => `  ${text}`);
  const shown = examples.length > 0 ? `\nExamples:\n${examples.join('\n')}\n` : '';
  const note = Object.hasOwn(NOTES, name) ? `${NOTES[name]}\n` : '';
  return `Usage: ephemeral-pipe-broker ${usage}

${summary}
${shown}
${note}Flags:
${flagLines(kinds.filter((kind) => typeof kind !== 'string'))}

The broker and its secret:
${flagLines(kinds.filter((kind) => typeof kind === 'string'))}

The secret also comes from EPHEMERAL_SECRET or CLIENT_SECRET. Words after -- are never flags.${runsCommand ? '' : `\n${EXIT_STATUSES}`}`;
}

module.exports = { overview, startHelp, commandHelp };

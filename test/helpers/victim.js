/**
 * The command that the tests run under `start`: describes itself, then reports the signals that it receives.
 *
 *   node victim.js [heed=SIGINT:5] [ignore=SIGTERM,SIGHUP] [background]
 *
 * heed=NAME:STATUS exits with the status on that signal; ignore=NAMES reports it and continues; any
 * other signal has its default effect. `background` leaves a sleeping grandchild behind.
 * Output: first "ready {json}", then "signal NAME" for each signal.
 */
'use strict';

const { spawn } = require('node:child_process');
const fs = require('node:fs');

const options = Object.fromEntries(process.argv.slice(2).map((word) => word.split('=')));
const say = (text) => fs.writeSync(1, `${text}\n`);

for (const name of (options.ignore ?? '').split(',').filter(Boolean)) {
  process.on(name, () => say(`signal ${name}`));
}
if (options.heed) {
  const [name, status] = options.heed.split(':');
  process.on(name, () => {
    say(`signal ${name}`);
    process.exit(Number(status));
  });
}

const grandchild = 'background' in options ? spawn('sleep', ['1000'], { stdio: 'ignore' }) : null;

/** /proc/PID/stat counts from the state after the name: state, ppid, pgrp, session. */
function processGroup(pid) {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]);
}

const ready = {
  pid: process.pid,
  ppid: process.ppid,
  broker: Number(process.env.EPHEMERAL_BROKER_PID),
  group: processGroup(process.pid),
  parentGroup: processGroup(process.ppid),
  grandchild: grandchild?.pid,
  isTTY: [0, 1, 2].map((fd) => require('node:tty').isatty(fd)),
};
say(`ready ${JSON.stringify(ready)}`);
setInterval(() => {}, 1000);

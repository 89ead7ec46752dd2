/**
 * What the client commands print: one place for numbers, times, tables, and for a reader that
 * goes away (`epb list | head -1`), which ends us quietly.
 */
'use strict';

const fs = require('node:fs');

const STDOUT = 1;
const RETRY_MS = 5;

/**
 * Writes all of it before it returns; process.stdout would do so for files and pipes only.
 *
 * @param {string | Uint8Array} data
 */
function write(data) {
  let rest = typeof data === 'string' ? Buffer.from(data) : data;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(fs.writeSync(STDOUT, rest));
    } catch (/** @type {any} */ error) {
      if (error.code === 'EPIPE') process.exit(0);
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }
}

/**
 * @param {string} text
 */
function line(text) {
  write(`${text}\n`);
}

/**
 * @param {unknown} value
 */
function json(value) {
  line(JSON.stringify(value));
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * The two largest units that matter: "850 ms", "59.2 s", "4m 10s", "1d 3h".
 *
 * @param {number} ms
 */
function duration(ms) {
  if (ms === Infinity) return 'forever';
  if (ms < SECOND) return `${Math.round(ms)} ms`;
  if (ms < MINUTE) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
  const [large, name, small, smallName] =
    ms < HOUR
      ? [MINUTE, 'm', SECOND, 's']
      : ms < DAY
        ? [HOUR, 'h', MINUTE, 'm']
        : [DAY, 'd', HOUR, 'h'];
  return `${Math.floor(ms / large)}${name} ${Math.floor((ms % large) / small)}${smallName}`;
}

const KIB = 1024;

/**
 * @param {number} bytes
 */
function size(bytes) {
  if (bytes < KIB) return `${bytes} B`;
  if (bytes < KIB * KIB) return `${(bytes / KIB).toFixed(1)} KiB`;
  return `${(bytes / KIB / KIB).toFixed(1)} MiB`;
}

/**
 * Control characters in a key would let it rewrite the terminal it is listed on.
 *
 * @param {string} text
 */
function printable(text) {
  // eslint-disable-next-line no-control-regex
  return /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/.test(text)
    ? JSON.stringify(text).replace(
        /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
        (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
      )
    : text;
}

/**
 * That a list has nothing, for standard error.
 *
 * @param {string} what
 * @param {string} prefix
 */
function none(what, prefix) {
  return `no ${what}${prefix === '' ? '' : ` of keys that begin with ${printable(prefix)}`}`;
}

/**
 * Columns padded to their widest cell; numbers to the right.
 *
 * @param {string[][]} rows
 * @param {('left' | 'right')[]} align
 */
function table(rows, align) {
  const widths = align.map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          align[column] === 'left' ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

module.exports = { write, line, json, duration, size, printable, none, table };

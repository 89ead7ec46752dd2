/**
 * Values on their way between the broker and a shell: words, standard input, standard output.
 */
'use strict';

const fs = require('node:fs');
const { UsageError } = require('./errors.js');
const output = require('./output.js');

const STDIN = 0;

/**
 * As a person or a shell wants it: text as it is, bytes as they are, the rest as JSON.
 *
 * @param {unknown} value
 */
function printText(value) {
  if (value instanceof Uint8Array) output.write(value);
  else if (typeof value === 'string') output.line(value);
  else output.json(value);
}

/**
 * @param {unknown} value
 */
function jsonValue(value) {
  if (!(value instanceof Uint8Array)) return value;
  return { encoding: 'base64', value: Buffer.from(value).toString('base64') };
}

/**
 * @param {unknown} value
 * @param {{ json?: boolean }} how
 */
function printValue(value, { json = false }) {
  if (json) output.json(jsonValue(value));
  else printText(value);
}

/**
 * @param {string} command  for messages
 * @param {string} hint  what to do with input that is no text
 * @param {Uint8Array} bytes
 */
function asText(command, hint, bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new UsageError(`${command}: stdin is not UTF-8 text${hint}`);
  }
}

/**
 * @param {string} command
 * @param {string} text
 */
function parseJson(command, text) {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which may be a secret.
    throw new UsageError(`${command}: with --json a value must be JSON; strings need their quotes`);
  }
}

/**
 * The value of `set`: a word, or with `-` all of standard input.
 *
 * @param {string} word
 * @param {Record<string, any>} options
 */
function readValue(word, { json, binary, trim }) {
  if (word !== '-' && binary) throw new UsageError('set: --binary reads stdin: set KEY -');
  if (binary && json) throw new UsageError('set: --binary or --json, not both');
  let given = word;
  if (word === '-') {
    const bytes = fs.readFileSync(STDIN);
    const kept = trim && bytes.at(-1) === 0x0a ? bytes.subarray(0, -1) : bytes;
    if (binary) return kept;
    given = asText('set', '; --binary stores the bytes as they are', kept);
  }
  return json ? parseJson('set', given) : given;
}

/**
 * The values of `pool`: words, or with `-` the lines of standard input that are not empty.
 *
 * @param {string[]} words
 * @param {Record<string, any>} options
 */
function readValues(words, { json }) {
  const fromStdin = words.length === 1 && words[0] === '-';
  const given = fromStdin
    ? asText('pool', ': a line is an element', fs.readFileSync(STDIN))
        .split(/\r?\n/)
        .filter((line) => line !== '')
    : words;
  if (given.length === 0) throw new UsageError('pool: stdin has no line with an element');
  return json ? given.map((text) => parseJson('pool', text)) : given;
}

module.exports = { printValue, readValue, readValues };

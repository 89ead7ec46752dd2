/**
 * Where the secret of this run comes from.
 *
 * A secret can be given by file, by a named environment variable, on standard input, by one of the
 * usual environment variables, or on the command line. Any number of these may be used as long as
 * they agree; two that differ are a mistake that must not be settled by guessing.
 * No message of this file ever contains a secret.
 */
'use strict';

const fs = require('node:fs');
const { UsageError } = require('./errors.js');

/** More than any sensible secret; a larger first line is the wrong file. */
const MOST_BYTES = 64 * 1024;

const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** How long to leave a non-blocking standard input alone before looking again. */
const RETRY_MS = 5;

/**
 * @param {number} fd
 * @param {Buffer} into
 * @param {number} offset
 * @param {number} size
 * @returns {number} bytes read; 0 at the end
 */
function readSome(fd, into, offset, size) {
  for (;;) {
    try {
      return fs.readSync(fd, into, offset, size, null);
    } catch (/** @type {any} */ error) {
      if (error.code === 'EOF') return 0;
      if (error.code !== 'EAGAIN') throw error;
      // Standard input was left non-blocking by whoever made it, and nothing has come yet.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }
}

/**
 * Reads one line and not a byte more, so that what follows is still there for the command.
 *
 * @param {number} fd
 * @param {string} source
 */
function readLine(fd, source) {
  const line = Buffer.alloc(MOST_BYTES);
  try {
    let size = 0;
    while (size < MOST_BYTES && readSome(fd, line, size, 1) === 1 && line[size] !== NEWLINE) size++;
    if (size === MOST_BYTES)
      throw new UsageError(`${source}: its first line is no secret, too long`);
    if (size > 0 && line[size - 1] === RETURN) size--;
    return line.toString('utf8', 0, size);
  } finally {
    line.fill(0);
  }
}

/**
 * @param {string} file
 * @param {(line: string) => void} complain
 */
function readFile(file, complain) {
  const source = `--secret-file "${file}"`;
  let fd;
  try {
    fd = fs.openSync(file, 'r');
  } catch (/** @type {any} */ error) {
    throw new UsageError(`${source}: it can't be read (${error.code})`);
  }
  try {
    const about = fs.fstatSync(fd);
    if (about.isDirectory()) throw new UsageError(`${source}: it is a directory`);
    if (process.platform !== 'win32' && about.isFile() && (about.mode & 0o044) !== 0) {
      complain(`${source}: other users may read it; chmod 600 it`);
    }
    return readLine(fd, source);
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * @param {string} name
 */
function readVariable(name) {
  const value = process.env[name];
  if (value === undefined) {
    throw new UsageError(`--secret-env "${name}": there is no such environment variable`);
  }
  return value;
}

/**
 * @typedef {object} SecretFlags
 * @property {string} [secretFile]
 * @property {string} [secretEnv]
 * @property {string} [secret]  only '-'
 * @property {string} [auth]
 */

/**
 * @param {SecretFlags} flags
 * @param {(line: string) => void} complain
 * @returns {{ source: string, secret: string }[]}
 */
function fromFlags(flags, complain) {
  const found = [];
  if (flags.secret !== undefined) {
    if (flags.secret !== '-') {
      throw new UsageError(
        '--secret takes only "-", which reads the secret from the first line of standard input; ' +
          'other ways are --secret-file FILE and --secret-env NAME',
      );
    }
    found.push({ source: '--secret -', secret: readLine(0, '--secret -') });
  }
  if (flags.secretFile !== undefined) {
    found.push({ source: '--secret-file', secret: readFile(flags.secretFile, complain) });
  }
  if (flags.secretEnv !== undefined) {
    found.push({
      source: `--secret-env ${flags.secretEnv}`,
      secret: readVariable(flags.secretEnv),
    });
  }
  if (flags.auth !== undefined) {
    complain(
      '--auth: other processes can read a secret on the command line; ' +
        'use --secret-file, --secret-env, --secret - or EPHEMERAL_SECRET',
    );
    found.push({ source: '--auth', secret: flags.auth });
  }
  return found;
}

/**
 * @param {SecretFlags} flags
 * @param {{ variables: string[], complain: (line: string) => void }} how
 *   variables: the environment variables that count
 * @returns {string | undefined} the one secret that was given
 */
function resolveSecret(flags, { variables, complain }) {
  const found = fromFlags(flags, complain);
  for (const name of variables) {
    const secret = process.env[name];
    if (secret !== undefined) found.push({ source: name, secret });
  }
  const empty = found.find(({ secret }) => secret === '');
  if (empty)
    throw new UsageError(`${empty.source}: the secret is empty; leave it out to do without`);
  const other = found.find(({ secret }) => secret !== found[0].secret);
  if (other) {
    throw new UsageError(`${found[0].source} and ${other.source} give different secrets: keep one`);
  }
  return found[0]?.secret;
}

module.exports = { resolveSecret };

/**
 * The memory of another process (Linux): its mappings, and the positions of certain bytes in them.
 *
 * A search looks for a mark: eight random characters that a test draws and repeats in every value and name
 * that it uses. One search therefore finds the remains of any of them, as raw bytes, as the two-byte
 * characters of a JavaScript string, and as base64. The bytes after the mark identify the value. A piece of
 * 19 bytes or more always contains a whole mark.
 */
'use strict';

const fs = require('node:fs');
const { randomBytes } = require('node:crypto');

const LABEL_CHARACTERS = 4;
const PIECE_BYTES = 4 * 1024 * 1024;
const PAGE_BYTES = 4096;
/** The overlap of two pieces in bytes, for matches across their border. */
const OVERLAP_BYTES = 64;
/** Six bytes are eight digits of base64, independent of the bytes that follow. */
const BASE64_BYTES = 6;

const canScan = process.platform === 'linux' && process.getuid() === 0;

/**
 * @typedef {object} Mapping
 * @property {number} start
 * @property {number} end
 * @property {string} permissions  as in rw-p
 * @property {string} name  of the file, [heap], [stack], or ''
 * @property {Set<string>} flags  of VmFlags
 */

/** Every mapping of a process. */
function mappingsOf(pid) {
  /** @type {Mapping[]} */
  const mappings = [];
  for (const line of fs.readFileSync(`/proc/${pid}/smaps`, 'latin1').split('\n')) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+\s*(.*)$/.exec(line);
    if (head) {
      const [start, end] = [head[1], head[2]].map((text) => parseInt(text, 16));
      mappings.push({ start, end, permissions: head[3], name: head[4], flags: new Set() });
    }
    const flags = /^VmFlags: (.*)$/.exec(line);
    if (flags) mappings.at(-1).flags = new Set(flags[1].trim().split(' '));
  }
  return mappings;
}

/** The mappings that can contain data of the process: those that are writable, or may have been. */
function holdsData({ permissions, name }) {
  if (/^\[v(var|syscall|dso)/.test(name)) return false;
  return permissions[1] === 'w' || (name === '' && permissions[0] === 'r');
}

/** The bytes at an address, without pages that the process has unmapped meanwhile. */
function readAt(memory, into, address) {
  let size = 0;
  while (size < into.length) {
    try {
      const read = fs.readSync(memory, into, size, into.length - size, address + size);
      if (read === 0) break;
      size += read;
    } catch (error) {
      if (error.code !== 'EIO') throw error;
      const end = Math.min(into.length, size + PAGE_BYTES - ((address + size) % PAGE_BYTES));
      into.fill(0, size, end);
      size = end;
    }
  }
  return into.subarray(0, size);
}

/** All positions of the needles in the memory of a process, with a few bytes around each. */
function search(pid, needles) {
  const longest = Math.max(...needles.map((needle) => needle.length));
  const piece = Buffer.allocUnsafe(PIECE_BYTES + OVERLAP_BYTES);
  const found = [];
  const memory = fs.openSync(`/proc/${pid}/mem`, 'r');
  try {
    for (const mapping of mappingsOf(pid).filter(holdsData)) {
      for (let at = mapping.start; at < mapping.end; at += PIECE_BYTES) {
        const wanted = Math.min(PIECE_BYTES + OVERLAP_BYTES, mapping.end - at);
        const bytes = readAt(memory, piece.subarray(0, wanted), at);
        for (const needle of needles) {
          for (let i = bytes.indexOf(needle); i >= 0; i = bytes.indexOf(needle, i + 1)) {
            // The overlap serves only matches across the border; the second piece finds the others.
            if (i >= PIECE_BYTES) break;
            found.push({
              address: at + i,
              mapping,
              around: bytes.toString('latin1', Math.max(0, i - 8), i + longest + 24),
            });
          }
        }
      }
    }
  } finally {
    fs.closeSync(memory);
  }
  return found;
}

/** The marked content of a test: draws the mark, creates values from it, and finds their remains. */
class Marks {
  #mark = randomBytes(BASE64_BYTES).toString('hex').slice(0, 8);

  /** Marked text of this length that can be recognized: `label` has four characters. */
  text(label, sizeBytes) {
    if (label.length !== LABEL_CHARACTERS) throw new Error(`${label} is no label`);
    const unit = this.#mark + label;
    return unit.repeat(Math.ceil(sizeBytes / unit.length)).slice(0, sizeBytes);
  }

  /** The remains in the memory of a process, a few words for each; empty if there are none. */
  leftIn(pid) {
    return this.find(pid).map(({ address, mapping, around }) => {
      const { start, end, permissions, name } = mapping;
      const where = `${name || 'anonymous'} ${permissions} ${(end - start) / 1024} KiB`;
      const text = around.replace(/[^\x20-\x7e]/g, '.');
      return `${address.toString(16)} in ${start.toString(16)} ${where}: ${text}`;
    });
  }

  /** The number of texts with this label in the memory of a process, as raw bytes. */
  count(pid, label) {
    return this.find(pid).filter(({ around }) => around.includes(this.#mark + label)).length;
  }

  find(pid) {
    return search(pid, this.#needles());
  }

  /** The positions of the mark in the bytes of a file. */
  placesIn(bytes) {
    return this.#needles()
      .map((needle) => bytes.indexOf(needle))
      .filter((place) => place >= 0);
  }

  #needles() {
    const base64 = Buffer.from(this.#mark.slice(0, BASE64_BYTES)).toString('base64');
    return [Buffer.from(this.#mark), Buffer.from(this.#mark, 'utf16le'), Buffer.from(base64)];
  }
}

/**
 * The number of connections of the broker in a process, from the operating system. Asking the broker would
 * need another connection, which would overwrite the remains of the last one. Accepted sockets have the
 * address of the listening socket.
 */
function connectionsOf(pid) {
  const folder = `/proc/${pid}/fd`;
  const bound = fs.readFileSync('/proc/net/unix', 'latin1').matchAll(/ (\d+) \S*\/\.epb-\w+$/gm);
  const inodes = new Set(Array.from(bound, ([, inode]) => `socket:[${inode}]`));
  const sockets = fs.readdirSync(folder).filter((fd) => {
    try {
      return inodes.has(fs.readlinkSync(`${folder}/${fd}`));
    } catch {
      return false;
    }
  });
  return sockets.length - 1;
}

/** Whether arenas of a process are secret memory: a kernel may lack it, or have it turned off. */
const hasSecretMemory = (pid) => mappingsOf(pid).some(({ name }) => name.startsWith('/secretmem'));

module.exports = { hasSecretMemory, Marks, canScan, connectionsOf, mappingsOf, search };

/**
 * Watches the elements that test workers hold, from outside of broker and library: a file of the file system
 * per use. `framework.js` copies this file into each project as `witness.cjs`, and names the folder of the
 * files in WITNESS_FOLDER. It must not require anything but Node's modules.
 */
'use strict';

const { randomUUID } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

/** @param {unknown} element as a name of a folder */
const nameOf = (element) =>
  encodeURIComponent(typeof element === 'string' ? element : JSON.stringify(element));

/** The kernel's flag of a process that exits. */
const EXITING = 0x4;

/**
 * A killed process holds nothing. The kernel closes its socket, which frees its leases, before it becomes a
 * zombie, and sets the flag before that.
 */
function isAlive(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state, , , , , , flags] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return !/[ZX]/.test(state) && (Number(flags) & EXITING) === 0;
  } catch {
    return false;
  }
}

class Witness {
  #folder;

  constructor(folder = process.env.WITNESS_FOLDER) {
    this.#folder = folder;
  }

  /** Adds an event of any kind to the log. @param {string} what @param {object} [about] */
  note(what, about = {}) {
    const event = { what, at: Date.now(), pid: process.pid, ...about };
    fs.appendFileSync(path.join(this.#folder, 'log'), `${JSON.stringify(event)}\n`);
  }

  /** Begins to use an element. @returns {() => void} ends it */
  enter(element) {
    const name = nameOf(element);
    const folder = path.join(this.#folder, 'held', name);
    const file = path.join(folder, `${process.pid}.${randomUUID()}`);
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(file, '');
    // Of two that enter at the same time, at least one sees both files.
    const users = fs.readdirSync(folder).filter((other) => isAlive(Number.parseInt(other, 10)));
    this.note('enter', { element, users: users.length });
    return () => {
      fs.rmSync(file);
      this.note('leave', { element });
    };
  }

  /** Uses an element while `work` runs. */
  async hold(element, work) {
    const leave = this.enter(element);
    try {
      return await work();
    } finally {
      leave();
    }
  }

  /** All events so far. */
  events() {
    const log = path.join(this.#folder, 'log');
    const text = fs.existsSync(log) ? fs.readFileSync(log, 'utf8') : '';
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
  }

  /** The events in which an element had more than one user. */
  violations() {
    return this.events().filter(({ users = 0 }) => users > 1);
  }
}

const witness = new Witness();

// Names that an ES module can import.
const note = (what, about) => witness.note(what, about);
const enter = (element) => witness.enter(element);
const hold = (element, work) => witness.hold(element, work);

module.exports = { Witness, enter, hold, note };

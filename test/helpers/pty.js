/**
 * Runs a command on a pseudo-terminal, so that a test can act as a person at a keyboard.
 */
'use strict';

const path = require('node:path');
const { spawn } = require('node:child_process');
const { Running, cleanEnv } = require('./cli.js');

const KEYS = { CTRL_C: '\x03', CTRL_Z: '\x1a', QUIT: '\x1c', ENTER: '\r', END_OF_FILE: '\x04' };

class Terminal extends Running {
  /**
   * @param {string[]} command
   * @param {{ env?: object, cwd?: string }} options
   */
  constructor(command, { env, cwd } = {}) {
    const helper = path.join(__dirname, 'pty_run.py');
    super(spawn('python3', [helper, ...command], { env: cleanEnv(env), cwd, stdio: 'pipe' }));
    this.child.stdin.on('error', () => {});
  }

  type(text) {
    this.child.stdin.write(text);
  }

  /** The end of the command on the terminal: { exit: 3 } or { signal: 2 }. */
  async ending() {
    const { stderr } = await this.result();
    const [, how, number] = /^(exit|signal) (\d+)$/m.exec(stderr) ?? [];
    return { [how]: Number(number) };
  }
}

module.exports = { KEYS, Terminal };

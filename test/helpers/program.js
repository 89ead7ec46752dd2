/** A broker in a separate process, so that a test can inspect, starve and kill it. */
'use strict';

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { ROOT } = require('./broker.js');

const SOURCE = `'use strict';
  const { Broker } = require(process.argv[1]);
  const broker = new Broker({ exportEnv: false, ...JSON.parse(process.argv[2]) });
  process.send('starting');
  try {
    process.send({ pipe: broker.startSync(), secret: broker.secret });
  } catch ({ code, message }) {
    process.send({ code, message });
  }
  process.on('message', async (asked) => process.send({ answer: await broker[asked]() }));`;

class Program {
  stderr = '';

  /** @param {import('node:child_process').ChildProcess} child */
  constructor(child) {
    this.child = child;
    this.pid = child.pid;
    child.stderr.setEncoding('utf8').on('data', (text) => (this.stderr += text));
    this.ended = once(child, 'close').then(([status, signal]) => ({ status, signal }));
  }

  /** Resolves the result of the broker's method with this name. */
  async ask(method) {
    const answered = once(this.child, 'message');
    this.child.send(method);
    return (await answered)[0].answer;
  }

  /** Kills the process; resolves when it has ended. */
  kill(signal = 'SIGKILL') {
    this.child.kill(signal);
    return this.ended;
  }
}

/**
 * Starts a broker. Resolves with its pipe and secret, or with the code and message of the error. The returned
 * promise has the process as `program`, available before it resolves, and `starting`, a promise that resolves
 * just before the broker starts.
 * @param {import('node:test').TestContext} t  kills the process at its end
 * @param {object} options  of the Broker
 * @param {{ env?: object, cwd?: string, before?: string[] }} how  before: the command that runs it
 * @returns {Promise<Program & { pipe?: string, secret?: string | null, code?: string,
 *   message?: string }> & { program: Program, starting: Promise<unknown> }}
 */
function startProgram(t, options = {}, { env = {}, cwd, before = [] } = {}) {
  const given = JSON.stringify({ secret: null, ...options });
  const [file, ...args] = [...before, process.execPath, '-e', SOURCE, ROOT, given];
  const child = spawn(file, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
  });
  const program = new Program(child);
  t.after(() => program.kill());
  // Both listeners are added now: the two messages may arrive together.
  const starting = once(child, 'message');
  const started = new Promise((resolve) => {
    child.on('message', function hear(said) {
      if (said === 'starting') return;
      child.off('message', hear);
      resolve(Object.assign(program, said));
    });
  });
  return Object.assign(started, { program, starting });
}

module.exports = { startProgram };

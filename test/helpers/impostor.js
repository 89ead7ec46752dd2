/**
 * An impostor that listens at a broker's path, in a separate thread, so that it answers while a synchronous
 * call blocks the test. It records the bytes of each connection, and answers as configured.
 */
'use strict';

const net = require('node:net');
const { once } = require('node:events');
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');

/** The answers to the first bytes of a connection: bytes, or null for no answer. */
const ANSWERS = {
  silence: () => null,
  noise: () => require('node:crypto').randomBytes(80),
  reflection: (hello) => Buffer.concat(Array(3).fill(hello.subarray(4))),
  given: (hello, { bytes }) => Buffer.from(bytes),
};

/** The thread's side: listens. On any message it posts the received bytes when all connections are closed. */
function listen({ pipe, answer, bytes }) {
  const connections = [];
  let open = 0;
  let asked = false;
  const tell = () => {
    if (asked && open === 0)
      parentPort.postMessage(connections.map((parts) => Buffer.concat(parts)));
  };
  const server = net.createServer((socket) => {
    const parts = [];
    connections.push(parts);
    open++;
    socket.on('data', (chunk) => {
      parts.push(chunk);
      const said = parts.length === 1 ? ANSWERS[answer](chunk, { bytes }) : null;
      if (said !== null) socket.write(said);
      if (answer === 'given') socket.end();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      open--;
      tell();
    });
  });
  parentPort.on('message', () => {
    asked = true;
    tell();
  });
  server.listen(pipe, () => parentPort.postMessage('listening'));
}

/**
 * @param {import('node:test').TestContext} t
 * @param {{ pipe: string, answer: keyof typeof ANSWERS, bytes?: Uint8Array }} settings
 * @returns {Promise<() => Promise<Buffer[]>>} resolves the bytes of each connection when all are closed
 */
async function startImpostor(t, settings) {
  const worker = new Worker(__filename, { workerData: settings });
  t.after(() => worker.terminate());
  await once(worker, 'message');
  return async () => {
    worker.postMessage('tell');
    const [connections] = await once(worker, 'message');
    return connections.map((bytes) => Buffer.from(bytes));
  };
}

if (!isMainThread && require.main === module) listen(workerData);

module.exports = { startImpostor };

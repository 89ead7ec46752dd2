'use strict';

// A hand-written minimum: node:net, one line for each request and each reply, in order, all lines of a tick
// in one write. It has no limits, no TTL and no security, and values can't contain line breaks.
const net = require('node:net');
const path = require('node:path');
const { once } = require('node:events');
const { beServer, serveFile } = require('../common.js');

const OK = 'ok';

/** Calls `take` with every complete line, and `after` at the end of each chunk. */
function readLines(socket, take, after = () => {}) {
  let rest = '';
  socket.setEncoding('latin1');
  socket.on('data', (chunk) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop();
    lines.forEach(take);
    after();
  });
}

const COMMANDS = {
  get: (store, key) => store.get(key) ?? '',
  set(store, key, value) {
    store.set(key, value);
    return OK;
  },
  del: (store, key) => (store.delete(key) ? '1' : ''),
  incr(store, key) {
    const sum = String(Number(store.get(key) ?? 0) + 1);
    store.set(key, sum);
    return sum;
  },
  ping: () => OK,
};

function serveSocket(store, socket) {
  let replies = '';
  const take = (line) => {
    const [command, key, value] = line.split(' ');
    replies += `${COMMANDS[command](store, key, value)}\n`;
  };
  readLines(socket, take, () => {
    socket.write(replies, 'latin1');
    replies = '';
  });
  // The client was killed.
  socket.on('error', () => socket.destroy());
}

async function start({ dir }) {
  const store = new Map();
  const address = path.join(dir, `lines-${process.pid}.sock`);
  net.createServer((socket) => serveSocket(store, socket)).listen({ path: address, backlog: 1024 });
  return { address };
}

async function connect(address) {
  const socket = net.connect(address);
  await once(socket, 'connect');
  const waiting = [];
  let first = 0;
  let lines = '';
  const take = (line) => waiting[first++](line);
  readLines(socket, take, () => waiting.splice(0, first) && (first = 0));
  const flush = () => {
    socket.write(lines, 'latin1');
    lines = '';
  };
  const ask = (line) => {
    if (lines === '') process.nextTick(flush);
    lines += `${line}\n`;
    return new Promise((resolve) => void waiting.push(resolve));
  };
  return {
    get: (key) => ask(`get ${key}`),
    set: (key, value) => ask(`set ${key} ${value}`),
    del: (key) => ask(`del ${key}`),
    ping: () => ask('ping'),
    incr: (key) => ask(`incr ${key}`).then(Number),
  };
}

module.exports = [
  {
    name: 'node:net lines',
    order: 5,
    ttl: 'never',
    can: ['growth'],
    missing: () => null,
    versions: () => ({}),
    serve: ({ dir, cpus }) => serveFile(__filename, { cpus, options: { dir } }),
    connect,
  },
];

if (require.main === module) beServer(start);

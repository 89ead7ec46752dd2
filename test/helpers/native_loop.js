/**
 * A worker thread that repeats one call into native code without a pause until it is terminated. workerData
 * contains the call's name, a broker's pipe and secret, and `begun`, a shared number that becomes 1 when the
 * calls begin.
 */
'use strict';

const path = require('node:path');
const { workerData } = require('node:worker_threads');
const findAddon = require('node-gyp-build');
const { requestFrame } = require('./wire.js');

const ROOT = path.join(__dirname, '..', '..');
const native = findAddon(ROOT);
const { actions, Broker, Channel } = native;

const ping = requestFrame({ action: actions.ping });
const into = Buffer.alloc(1 << 16);
const { pipe, secret } = workerData ?? {};
const newChannel = () => new Channel(pipe, Buffer.from(secret), () => {});
const exchange = (channel) => channel.exchange(ping, ping.length, into, 100);
/** An array that throws when it is read. */
const thrower = Object.defineProperty([], 0, {
  get() {
    throw new Error('not to be read');
  },
});

/** The calls. A channel that is passed is connected. */
const CALLS = {
  'new Channel': () => newChannel(),
  'new Channel, wrong': () => new Channel(1),
  connect: (channel) => channel.connect(),
  exchange,
  'exchange, wrong': (channel) => channel.exchange(ping, 'much', into, 0),
  'exchange, too much': (channel) => channel.exchange(ping, ping.length + 1, into, 0),
  wait: (channel) => channel.wait(1),
  arm(channel) {
    exchange(channel);
    channel.arm();
  },
  alarm: (channel) => channel.alarm(1000, true),
  'alarm, wrong': (channel) => channel.alarm(1000, 'always'),
  turn: (channel) => channel.turn(),
  ref(channel) {
    channel.ref();
    channel.unref();
  },
  close(channel) {
    channel.connect();
    channel.close();
  },
  keep: (channel) => channel.stopRenewal(channel.startRenewal(ping, 10)),
  'keep, wrong': (channel) => channel.startRenewal(ping, 0),
  msSinceRenewal: (channel) => channel.msSinceRenewal(1),
  wakeSiblings: (channel) => channel.wakeSiblings(),
  properties: (channel) =>
    [channel.open, channel.siblings, channel.session, channel.unsent, channel.needed].concat(
      channel.errno,
    ),
  collect: () => native.collect(() => {}),
  'new Broker': () => new Broker({ maxItems: 10, debug: true, pipeId: 'x' }, null, () => {}),
  'new Broker, wrong': () => new Broker({ requireTTL: 'yes' }, null, () => {}),
  start() {
    const broker = new Broker({}, Buffer.from(secret), () => {});
    broker.start();
    broker.unref();
    broker.stop(0, () => {});
    broker.stopSync();
  },
  'start, twice'() {
    const broker = new Broker({}, null, () => {});
    broker.start();
    try {
      broker.start();
    } finally {
      broker.stopSync();
    }
  },
  'start, nowhere': () => new Broker({ path: '/none/x.sock' }, null, () => {}).start(),
  'stop, not started': () => new Broker({}, null, () => {}).stop(0, () => {}),
  'become, thrower': () => native.become('/none', thrower, false),
  isPlain: () => native.isPlain(new DataView(into.buffer), 0, 100),
  now: () => native.now(),
  load: () => process.dlopen({ exports: {} }, findAddon.path(ROOT)),
};

function main() {
  const call = CALLS[workerData.call];
  const channel = newChannel();
  channel.connect();
  workerData.begun[0] = 1;
  for (;;) {
    try {
      call(channel);
    } catch {
      // Wrong calls, and calls at a wrong time, throw.
    }
  }
}

if (workerData?.begun) main();

module.exports = { CALLS: Object.keys(CALLS) };

/**
 * The native binding as lib/ uses it, without lib/: Channel against Broker, their events and
 * lives, in the main thread and in workers, to the end and in the middle.
 */
'use strict';

const test = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { once } = require('node:events');
const { setImmediate } = require('node:timers/promises');
const { Worker } = require('node:worker_threads');

const root = path.join(__dirname, '..', '..');
const binding = require('node-gyp-build')(root);
const { requestFrame, takeReply } = require('../helpers/wire.js');
const { stretched } = require('../helpers/time_limits.js');

const SECRET = Buffer.from('a secret of thirty-two bytes, ok');
const STATUS = Object.fromEntries(binding.statuses.map(({ code, number }) => [code, number]));
const { actions, flags } = binding;

/** A started broker that is stopped when the test ends. */
function startBroker(t, { options = {}, secret = null, onEvent = () => {} } = {}) {
  const broker = new binding.Broker(options, secret, onEvent);
  const started = { broker, path: broker.start() };
  t.after(() => broker.stopSync());
  return started;
}

/** One request after the other over a Channel; each waits for `onReady` as lib/ does. */
class Conversation {
  constructor(t, brokerPath, secret = null) {
    this.into = Buffer.alloc(1 << 20);
    this.onReady = () => {};
    this.channel = new binding.Channel(brokerPath, secret, () => this.onReady());
    t.after(() => this.channel.close());
  }

  /** Sends frames and resolves with the replies, `count` of them. */
  exchange(frames, count, spinUs = 0) {
    return new Promise((resolve, reject) => {
      let received = Buffer.alloc(0);
      const replies = [];
      const step = (out) => {
        for (let size = -1; size !== 0; out = null) {
          size = this.channel.exchange(out, out === null ? 0 : out.length, this.into, spinUs);
          if (size < 0) return reject(Object.assign(new Error('dead'), { status: -size }));
          received = Buffer.concat([received, this.into.subarray(0, size)]);
          for (let taken; (taken = takeReply(received)) !== null; received = taken.rest) {
            replies.push(taken.reply);
          }
        }
        if (replies.length >= count) return resolve(replies);
        this.channel.arm();
      };
      this.onReady = () => step(null);
      step(frames);
    });
  }

  async ask(request, spinUs) {
    const [reply] = await this.exchange(requestFrame(request), 1, spinUs);
    return reply;
  }

  set(key, value) {
    return this.ask({
      action: actions.set,
      flags: flags.ttl | flags.binary,
      numbers: [60000],
      key,
      value,
    });
  }
}

function connect(t, brokerPath, secret) {
  const conversation = new Conversation(t, brokerPath, secret);
  assert.equal(conversation.channel.connect(), STATUS.ok, conversation.channel.errno);
  return conversation;
}

/** Runs a script in a process of its own, with the binding and a broker's directory to itself. */
function runScript(t, script) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'epb-binding-'));
  t.after(() => fs.rmSync(directory, { recursive: true }));
  const prelude = `
    const binding = require('node-gyp-build')(${JSON.stringify(root)});
    const { requestFrame } = require(${JSON.stringify(path.join(__dirname, '../helpers/wire.js'))});
    const { Worker, isMainThread, parentPort } = require('node:worker_threads');
  `;
  const file = path.join(directory, 'script.js');
  fs.writeFileSync(file, prelude + script);
  const node = spawnSync(process.execPath, [file], {
    encoding: 'utf8',
    timeout: 600_000,
    env: { ...process.env, TMPDIR: directory, NODE_PATH: path.join(root, 'node_modules') },
  });
  fs.rmSync(file);
  return { ...node, left: fs.readdirSync(directory) };
}

test('the tables of the core are there', () => {
  assert.equal(binding.statuses[0].code, 'ok');
  binding.statuses.forEach((row, index) => {
    assert.equal(row.number, index);
    assert.match(row.code, /^[a-z_]+$/);
    assert.match(row.message, /\.$/);
  });
  assert.equal(actions.ping, 1);
  assert.equal(binding.commands.length, Object.keys(actions).length);
  assert.equal(flags.gzip, 0x800);
  const { fresh, shared, detached, discard } = flags;
  assert.deepEqual([fresh, shared, detached, discard], [0x1000, 0x2000, 0x4000, 0x8000]);
  assert.equal(binding.frameVersion, 1);
  assert.deepEqual(Object.keys(binding.versions), [
    'addon',
    'mbedtls',
    'libsodium',
    'cjson',
    'libuv',
  ]);
  for (const version of Object.values(binding.versions)) assert.match(version, /^\d+\.\d+\.\d+/);
});

for (const secret of [null, SECRET]) {
  const how = secret === null ? 'without a secret' : 'with a secret';

  test(`a channel talks to a broker ${how}`, async (t) => {
    const { path: brokerPath, broker } = startBroker(t, { secret });
    assert.equal(broker.path, brokerPath);
    const client = connect(t, brokerPath, secret);
    assert.equal((await client.ask({ action: actions.ping })).status, STATUS.ok);
    assert.equal(client.channel.open, true);
    assert.equal((await client.set('key', 'value')).status, STATUS.ok);
    for (const spinUs of [0, 25]) {
      const reply = await client.ask({ action: actions.get, key: 'key', id: 9 }, spinUs);
      assert.equal(reply.id, 9);
      assert.equal(reply.body.toString(), 'value');
    }
  });

  test(`thousands of requests in one exchange, ${how}`, async (t) => {
    const { path: brokerPath } = startBroker(t, { secret });
    const client = connect(t, brokerPath, secret);
    await client.set('key', Buffer.alloc(500, 7));
    const frames = [];
    for (let id = 1; id <= 5000; id++) {
      frames.push(requestFrame({ action: actions.get, id, key: id % 3 === 0 ? 'no' : 'key' }));
    }
    const replies = await client.exchange(Buffer.concat(frames), frames.length, 25);
    replies.forEach((reply, index) => {
      assert.equal(reply.id, index + 1);
      assert.equal(reply.body.length, (index + 1) % 3 === 0 ? 0 : 500);
    });
  });
}

test('a reply larger than the buffer says how much it needs', async (t) => {
  const { path: brokerPath } = startBroker(t);
  const client = connect(t, brokerPath);
  await client.set('key', Buffer.alloc(5000, 1));
  const { channel } = client;
  const small = Buffer.alloc(100);
  const frame = requestFrame({ action: actions.get, key: 'key' });
  assert.equal(channel.exchange(frame, frame.length, small, 0), 0);
  while (channel.needed === 0) {
    assert.equal(channel.wait(10000), true);
    assert.equal(channel.exchange(null, 0, small, 0), 0);
  }
  assert.equal(channel.needed, 5012);
  assert.equal(channel.exchange(null, 0, Buffer.alloc(channel.needed), 0), 5012);
  assert.equal(channel.needed, 0);
});

test('waiting blocks for an answer and not for longer than told', (t) => {
  const { path: brokerPath } = startBroker(t, { secret: SECRET });
  const { channel, into } = connect(t, brokerPath, SECRET);
  const frame = requestFrame({ action: actions.ping });
  let size = channel.exchange(frame, frame.length, into, 0);
  while (size === 0) {
    assert.equal(channel.wait(10000), true);
    size = channel.exchange(null, 0, into, 0);
  }
  assert.equal(takeReply(into.subarray(0, size)).reply.status, STATUS.ok);
  assert.equal(channel.wait(1), false);
});

test('a client and a broker that do not share the secret part', async (t) => {
  const { path: sealed } = startBroker(t, { secret: SECRET });
  const { path: plain } = startBroker(t);
  const ping = { action: actions.ping };
  const cases = [
    [sealed, Buffer.from('another'), STATUS.auth_failed],
    [sealed, null, STATUS.auth_required],
    [plain, SECRET, STATUS.auth_failed],
  ];
  for (const [brokerPath, secret, status] of cases) {
    await assert.rejects(connect(t, brokerPath, secret).ask(ping), { status });
  }
});

test('connecting to nothing names the error', (t) => {
  const missing = new Conversation(t, '/nonexistent/broker.sock').channel;
  assert.equal(missing.connect(), STATUS.broker_gone);
  assert.equal(missing.errno, 'ENOENT');
  const long = new Conversation(t, `/${'x'.repeat(300)}`).channel;
  assert.equal(long.connect(), STATUS.broker_gone);
  assert.equal(long.errno, 'ENAMETOOLONG');
  const file = new Conversation(t, __filename).channel;
  assert.equal(file.connect(), STATUS.broker_gone);
  assert.equal(file.errno, 'ENOTSOCK');
  assert.equal(file.exchange(null, 0, Buffer.alloc(10), 0), -STATUS.broker_gone);
  file.arm();
  file.close();
  file.close();
});

test('wrong types throw a TypeError, and nothing else', (t) => {
  const nop = () => {};
  const wrong = [
    () => new binding.Channel(),
    () => new binding.Channel(1, null, nop),
    () => new binding.Channel('a\0b', null, nop),
    () => new binding.Channel('a', 'secret', nop),
    () => new binding.Channel('a', null),
    () => binding.Channel('a', null, nop),
    () => new binding.Broker(null, null, nop),
    () => new binding.Broker({}, null, null),
    () => new binding.Broker({ maxItems: '10' }, null, nop),
    () => new binding.Broker({ maxItems: NaN }, null, nop),
    () => new binding.Broker({ maxItems: -1 }, null, nop),
    () => new binding.Broker({ maxItems: 1.5 }, null, nop),
    () => new binding.Broker({ debug: 1 }, null, nop),
    () => new binding.Broker({ singleLease: 1 }, null, nop),
    () => new binding.Broker({ pipeId: 5 }, null, nop),
    () => binding.isPlain(Buffer.alloc(9), 0, 9),
    () => binding.isPlain(new DataView(new ArrayBuffer(9)), 0, 10),
    () => binding.isPlain(new DataView(new ArrayBuffer(9)), 8, 7),
    () => binding.isPlain(new DataView(new ArrayBuffer(9)), 0),
    () => binding.Channel.prototype.connect.call({}),
  ];
  for (const call of wrong) assert.throws(call, TypeError, String(call));
  const { path: brokerPath } = startBroker(t);
  const { channel } = connect(t, brokerPath);
  const into = Buffer.alloc(10);
  assert.throws(() => channel.exchange(Buffer.alloc(3), 4, into, 0), TypeError);
  assert.throws(() => channel.exchange('frames', 1, into, 0), TypeError);
  assert.throws(() => channel.exchange(null, 0, into, -1), TypeError);
  assert.throws(() => channel.exchange(null, 0, new Float64Array(3), 0), TypeError);
});

test('a broker that can not listen says why', (t) => {
  const { broker } = startBroker(t, { options: { pipeId: `test-${process.pid}` } });
  const other = new binding.Broker({ pipeId: `test-${process.pid}` }, null, () => {});
  assert.throws(() => other.start(), { code: 'EADDRINUSE' });
  assert.throws(() => new binding.Broker({ pipeId: 'a/b' }, null, () => {}).start(), {
    code: 'EINVAL',
  });
  const nowhere = new binding.Broker({ path: '/nonexistent/x.sock' }, null, () => {});
  assert.throws(() => nowhere.start(), { code: 'ENOENT' });
  assert.throws(() => broker.start(), { code: 'internal' });
  broker.stopSync();
  other.start();
  other.stopSync();
  assert.equal(other.path, null);
  assert.throws(() => other.stop(0, () => {}), { code: 'internal' });
});

/** A lock of its own for a worker, for so long; resolves with the fencing token. */
async function takeLock(client, worker, ttl, name = 'lock') {
  const reply = await client.ask({
    action: actions.lock,
    flags: flags.ttl | flags.fresh,
    numbers: [ttl],
    key: name,
    worker,
  });
  assert.equal(reply.status, STATUS.ok);
  return reply.numbers[1];
}

const renewFrame = (token, id = 0) =>
  requestFrame({ action: actions.renew, id, flags: flags.fence, numbers: [token] });

/** Nothing of JavaScript runs on this thread meanwhile. */
function block(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Long for the thread that keeps one, however slow; over well within the block. */
const LEASE_MS = stretched(1000);
const BLOCK_MS = 1.5 * LEASE_MS;

for (const secret of [null, SECRET]) {
  const how = secret === null ? 'without a secret' : 'with a secret';

  test(`a kept lease outlives a blocked event loop, ${how}`, async (t) => {
    const { path: brokerPath } = startBroker(t, { secret });
    const client = connect(t, brokerPath, secret);
    const token = await takeLock(client, 'kept', LEASE_MS);
    const lost = await takeLock(client, 'not kept', LEASE_MS, 'another');
    const id = client.channel.startRenewal(renewFrame(token), 50);
    assert.ok(id > 0);
    block(BLOCK_MS);
    assert.ok(client.channel.msSinceRenewal(id) < LEASE_MS);
    // What was lost meanwhile is told first, without having been asked for.
    const frames = Buffer.concat([renewFrame(token, 1), renewFrame(lost, 2)]);
    const replies = await client.exchange(frames, 3);
    assert.deepEqual(
      replies.map((reply) => [reply.id, reply.status]),
      [
        [0, STATUS.lease_lost],
        [1, STATUS.ok],
        [2, STATUS.lease_lost],
      ],
    );
    assert.equal(replies[0].body.toString(), 'another');
    client.channel.stopRenewal(id);
    assert.equal(client.channel.msSinceRenewal(id), null);
  });
}

test('what is kept ends with its connection', async (t) => {
  const { path: brokerPath } = startBroker(t);
  const client = connect(t, brokerPath);
  const { channel } = client;
  const frame = renewFrame(await takeLock(client, 'w', 60000));
  const first = channel.startRenewal(frame, 5);
  const second = channel.startRenewal(frame, 1000000);
  assert.notEqual(first, second);
  assert.ok(channel.msSinceRenewal(second) >= 0);
  channel.stopRenewal(123456789);
  channel.close();
  assert.equal(channel.msSinceRenewal(first), null);
  assert.equal(channel.msSinceRenewal(second), null);
  assert.equal(channel.startRenewal(frame, 5), 0, 'there is nothing to keep it on');
  assert.equal(channel.connect(), STATUS.ok);
  assert.equal(channel.msSinceRenewal(first), null);
  assert.ok(channel.startRenewal(frame, 5) > second);
});

test('only whole frames are kept, and only every so often', (t) => {
  const { path: brokerPath } = startBroker(t);
  const { channel } = connect(t, brokerPath);
  const frame = renewFrame(1);
  const wrong = [
    () => channel.startRenewal(),
    () => channel.startRenewal('frame', 5),
    () => channel.startRenewal(null, 5),
    () => channel.startRenewal(Buffer.alloc(0), 5),
    () => channel.startRenewal(frame.subarray(1), 5),
    () => channel.startRenewal(Buffer.concat([frame, frame]), 5),
    () => channel.startRenewal(frame, 0),
    () => channel.startRenewal(frame, 1.5),
    () => channel.startRenewal(frame),
    () => channel.stopRenewal(),
    () => channel.stopRenewal(-1),
    () => channel.msSinceRenewal('1'),
  ];
  for (const call of wrong) assert.throws(call, TypeError, String(call));
});

test('a broker may allow a worker one lease, and few to wait', async (t) => {
  const options = { singleLease: true, maxWaiters: 1 };
  const { path: brokerPath } = startBroker(t, { options });
  const client = connect(t, brokerPath);
  const lease = (key, worker, id, wait = 0) =>
    requestFrame({ action: actions.lease, flags: flags.wait, numbers: [wait], key, worker, id });
  await client.ask({ action: actions.limit, flags: flags.count, numbers: [1], key: 'a' });
  const frames = [lease('a', 'w', 1), lease('b', 'w', 2), lease('a', 'x', 3, 60000)];
  frames.push(lease('a', 'y', 4, 60000));
  const replies = await client.exchange(Buffer.concat(frames), 3);
  assert.deepEqual(
    replies.map(({ id, status }) => [id, status]),
    [
      [1, STATUS.ok],
      [2, STATUS.worker_already_has_lease],
      [4, STATUS.max_waiters],
    ],
  );
});

test('draining refuses new work, then tells that it has stopped', async (t) => {
  const { broker, path: brokerPath } = startBroker(t);
  const client = connect(t, brokerPath);
  await client.ask({ action: actions.ping });
  await new Promise((resolve) => {
    broker.stop(10000, resolve);
  });
  assert.equal(fs.existsSync(brokerPath), false);
  await assert.rejects(client.ask({ action: actions.ping }), { status: STATUS.broker_gone });
  assert.equal(client.channel.connect(), STATUS.broker_gone);
});

test('a stopped broker can be started again', async (t) => {
  const { broker, path: first } = startBroker(t, { secret: SECRET });
  broker.stopSync();
  const second = broker.start();
  assert.notEqual(second, first);
  assert.equal((await connect(t, second, SECRET).ask({ action: actions.ping })).status, STATUS.ok);
});

test('events arrive as JSON, without values', async (t) => {
  const events = [];
  const { path: brokerPath } = startBroker(t, {
    options: { debug: true, heartbeatInterval: 20, idleTimeout: 30 },
    onEvent: (type, json) => events.push([type, JSON.parse(json)]),
  });
  const client = connect(t, brokerPath);
  await client.set('some "key"', 'hush-hush');
  const seen = (wanted) => events.some(([type]) => type === wanted);
  while (!seen('heartbeat') || !seen('idle')) await setImmediate();
  const logged = events.filter(([type]) => type === 'log').map(([, line]) => line);
  assert.ok(logged.some((line) => line.action === 'set' && line.key === 'some "key"'));
  assert.ok(events.some(([type, stats]) => type === 'heartbeat' && stats.items === 1));
  assert.equal(events.filter(([type]) => type === 'idle').length, 1);
  assert.doesNotMatch(JSON.stringify(events), /hush/);
});

test('what a callback throws is an uncaught exception', (t) => {
  const { stdout, left } = runScript(
    t,
    `process.on('uncaughtException', (error) => {
       console.log(error.message);
       broker.stopSync();
     });
     const broker = new binding.Broker({ debug: true }, null, () => { throw new Error('boo'); });
     broker.start();`,
  );
  assert.match(stdout, /^boo\n/);
  assert.deepEqual(left, []);
});

// Those that are waited for are held by lib/client/connection.js: the addon would hold their realm for ever.
test('a channel that nobody holds is collected, whatever it waits for', (t) => {
  const { status, stderr, left } = runScript(
    t,
    `require('node:v8').setFlagsFromString('--expose-gc');
     const gc = require('node:vm').runInNewContext('gc');
     const broker = new binding.Broker({}, null, () => {});
     const path = broker.start();
     const gone = [];
     const registry = new FinalizationRegistry((name) => gone.push(name));
     function make(name) {
       // The closure holds the channel: a cycle.
       const channel = new binding.Channel(path, null, () => channel.close());
       channel.connect();
       if (name !== 'idle') channel.arm();
       if (name === 'armed for events') channel.unref();
       if (name === 'to be woken') channel.alarm(600_000, true);
       registry.register(channel, name);
     }
     const names = ['armed for events', 'armed for events', 'idle', 'idle', 'to be woken', 'waited for'];
     for (const name of names) make(name);
     let rounds = 0;
     (function collect() {
       gc();
       if (gone.length < names.length && rounds++ < 1000) return setImmediate(collect);
       if (gone.sort().join() !== names.join()) throw new Error(gone.join());
       broker.stopSync();
     })();`,
  );
  assert.equal(status, 0, stderr);
  assert.deepEqual(left, []);
});

test('only what waits and is ref’d keeps a process alive', (t) => {
  const { status, stdout, left } = runScript(
    t,
    `const broker = new binding.Broker({}, null, () => {});
     const path = broker.start();
     broker.unref();
     const idle = new binding.Channel(path, null, () => {});
     idle.connect();
     const waiting = new binding.Channel(path, null, () => {});
     waiting.connect();
     waiting.unref();
     waiting.arm();
     console.log('end of script');`,
  );
  assert.equal(status, 0);
  assert.equal(stdout, 'end of script\n');
  assert.deepEqual(left, []);
});

test('an answer that is waited for keeps the process alive until it comes', (t) => {
  const { status, stdout, left } = runScript(
    t,
    `const broker = new binding.Broker({}, null, () => {});
     const path = broker.start();
     broker.unref();
     const into = Buffer.alloc(1000);
     const channel = new binding.Channel(path, null, () => {
       console.log(channel.exchange(null, 0, into, 0) > 0 ? 'answered' : 'nothing');
     });
     channel.connect();
     const frame = requestFrame({ action: 1 });
     if (channel.exchange(frame, frame.length, into, 0) === 0) channel.arm();
     else console.log('answered');`,
  );
  assert.equal(status, 0);
  assert.equal(stdout, 'answered\n');
  assert.deepEqual(left, []);
});

for (const [name, end] of [
  ['process.exit', 'process.exit(7)'],
  ['an exception', 'process.exitCode = 7; throw new Error("end")'],
  ['process.exit in a callback', 'onReady = () => process.exit(7)'],
]) {
  test(`nothing is left after ${name} in the middle`, (t) => {
    const { status, signal, left } = runScript(
      t,
      `const broker = new binding.Broker({ pipeId: 'x', debug: true }, null, () => {});
       const other = new binding.Broker({}, Buffer.from('s'), () => {});
       other.start();
       const into = Buffer.alloc(1000);
       let onReady = () => {};
       const channel = new binding.Channel(broker.start(), null, () => onReady());
       channel.connect();
       const frame = requestFrame({ action: 1 });
       channel.arm();
       channel.exchange(frame, frame.length, into, 0);
       ${end}`,
    );
    assert.equal(signal, null);
    assert.equal(status, name === 'an exception' ? 1 : 7);
    assert.deepEqual(left, []);
  });
}

/** A worker with a broker and channels of its own that never stop talking. */
const CHATTING = `
  const { parentPort, workerData } = require('node:worker_threads');
  const binding = require('node-gyp-build')(workerData.root);
  const { requestFrame } = require(workerData.wire);
  const secret = Buffer.from('s');
  const broker = new binding.Broker({ debug: true }, secret, () => {});
  const path = broker.start();
  const frame = requestFrame({ action: 1 });
  const kept = requestFrame({ action: 1, id: 0 });
  for (let i = 0; i < 4; i++) {
    const into = Buffer.alloc(1000);
    const step = () => {
      const size = channel.exchange(frame, frame.length, into, i % 2 ? 25 : 0);
      if (size < 0) throw new Error('dead');
      channel.arm();
    };
    const channel = new binding.Channel(path, secret, step);
    channel.connect();
    step();
    for (let ms = 1; ms <= 20; ms++) channel.startRenewal(kept, ms);
  }
  parentPort.postMessage(path);
`;

function chattingWorker() {
  const wire = path.join(__dirname, '../helpers/wire.js');
  return new Worker(CHATTING, { eval: true, workerData: { root, wire } });
}

test('workers have brokers of their own, and may be terminated at any time', async () => {
  for (let round = 0; round < 5; round++) {
    const workers = [chattingWorker(), chattingWorker(), chattingWorker()];
    const paths = await Promise.all(workers.map(async (w) => (await once(w, 'message'))[0]));
    assert.equal(new Set(paths).size, workers.length);
    await Promise.all(workers.map((worker) => worker.terminate()));
    for (const brokerPath of paths) assert.equal(fs.existsSync(brokerPath), false);
  }
});

test('a worker may be terminated while an object of the binding is being made', (t) => {
  const { status, stderr } = runScript(
    t,
    `const making = (what) => \`
       const { parentPort } = require('node:worker_threads');
       const binding = require('node-gyp-build')(${JSON.stringify(root)});
       const options = {};
       const nop = () => {};
       parentPort.postMessage('ready');
       for (;;) new binding.\${what};
     \`;
     (async () => {
       for (let round = 0; round < 30; round++) {
         for (const what of ['Channel("pipe", null, nop)', 'Broker(options, null, nop)']) {
           const worker = new Worker(making(what), { eval: true });
           await new Promise((resolve) => worker.once('message', resolve));
           await worker.terminate();
         }
       }
     })();`,
  );
  assert.equal(status, 0, stderr);
});

test('process.exit while workers talk leaves nothing', (t) => {
  const { status, signal, stderr, left } = runScript(
    t,
    `let talking = 0;
     const workerData = {
       root: ${JSON.stringify(root)},
       wire: ${JSON.stringify(path.join(__dirname, '../helpers/wire.js'))},
     };
     for (let i = 0; i < 3; i++) {
       new Worker(${JSON.stringify(CHATTING)}, { eval: true, workerData }).on('message', () => {
         if (++talking === 3) process.exit(7);
       });
     }`,
  );
  assert.equal(signal, null, stderr);
  assert.equal(status, 7, stderr);
  assert.deepEqual(left, []);
});

test('a broker of one thread serves another', async (t) => {
  const { path: brokerPath } = startBroker(t, { secret: SECRET });
  await connect(t, brokerPath, SECRET).set('key', 'from the main thread');
  const script = `
    const { parentPort, workerData } = require('node:worker_threads');
    const binding = require('node-gyp-build')(workerData.root);
    const { requestFrame, takeReply } = require(workerData.wire);
    const into = Buffer.alloc(1000);
    const channel = new binding.Channel(workerData.path, Buffer.from(workerData.secret), () => {});
    channel.connect();
    const frame = requestFrame({ action: binding.actions.get, key: 'key' });
    let size = channel.exchange(frame, frame.length, into, 0);
    while (size === 0 && channel.wait(10000)) size = channel.exchange(null, 0, into, 0);
    parentPort.postMessage(takeReply(into.subarray(0, size)).reply.body.toString());
  `;
  const wire = path.join(__dirname, '../helpers/wire.js');
  const workerData = { root, wire, path: brokerPath, secret: SECRET.toString() };
  const [text] = await once(new Worker(script, { eval: true, workerData }), 'message');
  assert.equal(text, 'from the main thread');
});

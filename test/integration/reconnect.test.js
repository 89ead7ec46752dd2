'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { once } = require('node:events');
const { test } = require('node:test');
const { Worker } = require('node:worker_threads');
const {
  PipeClient,
  SECRET,
  runNode,
  startBroker,
  startPair,
  temporaryDirectory,
  until,
  withCode,
} = require('../helpers/broker.js');
const { hasEnded } = require('../helpers/cli.js');
const { stretched } = require('../helpers/time_limits.js');
const { startProgram } = require('../helpers/program.js');
const { Broker } = require('../..');

const TTL = 60_000;
/** The action by which a client says first which session it is of. */
const JOIN = 29;
let names = 0;

/** Options of brokers that follow each other under one name. */
function sameName(secret = null) {
  return { exportEnv: false, secret, pipeId: `reconnect-${process.pid}-${names++}` };
}

function clientOf(t, pipe, options = {}) {
  const client = new PipeClient(pipe, options);
  t.after(() => client.close());
  return client;
}

/** A listener that says nothing, or what `onConnection` does. */
async function listener(t, onConnection = () => {}) {
  const pipe = path.join(temporaryDirectory(t), 'fake.sock');
  const server = net.createServer((socket) => {
    t.after(() => socket.destroy());
    socket.on('error', () => {});
    onConnection(socket);
  });
  server.listen(pipe);
  t.after(() => server.close());
  await once(server, 'listening');
  return pipe;
}

/** A broker that the test itself starts and stops, and its path. */
async function briefBroker(options) {
  const broker = new Broker(options);
  const pipe = await broker.start();
  return { broker, pipe };
}

/** A client whose broker has ended, long enough ago that its connection is looked at before it is used. */
async function abandoned(t, broker, pipe, options = { timeout: 30_000 }) {
  const client = clientOf(t, pipe, options);
  await client.ping();
  await broker.stop();
  await new Promise((resolve) => {
    setTimeout(resolve, 60);
  });
  return client;
}

for (const secret of [null, SECRET]) {
  test(`a client finds the next broker of the same name, ${secret ? 'with' : 'without'} a secret`, async (t) => {
    const options = sameName(secret);
    let { broker, pipe } = await briefBroker(options);
    t.after(() => broker.stop());
    const client = clientOf(t, pipe, { secret });
    for (let round = 0; round < 3; round++) {
      await client.set('k', round, TTL);
      assert.equal(client.getSync('k'), round);
      await broker.stop();
      ({ broker, pipe } = await briefBroker(options));
      // A connection that was used a moment ago is trusted; this one lay unused.
      await new Promise((resolve) => {
        setTimeout(resolve, 60);
      });
      // So much that a part of it leaves before the tick ends.
      const keys = Array.from({ length: 60 }, (_, i) => `many ${i}`);
      const many = keys.map((key) => client.set(key, 'x'.repeat(1_000), TTL));
      assert.equal(await client.has('k'), false);
      await Promise.all(many);
    }
  });
}

test('of a broker that was there, calls wait for the next one', async (t) => {
  const options = sameName();
  const { broker, pipe } = await briefBroker(options);
  const client = await abandoned(t, broker, pipe);
  const calls = Promise.all([client.set('k', 1, TTL), client.incr('n', 2, TTL), client.get('k')]);
  await new Promise((resolve) => {
    setTimeout(resolve, 30);
  });
  startBroker(t, options);
  assert.deepEqual(await calls, [true, 2, 1]);
});

test('or no longer than connectTimeout', async (t) => {
  const options = sameName();
  const { broker, pipe } = await briefBroker(options);
  const client = await abandoned(t, broker, pipe, { timeout: 3_600_000, connectTimeout: 50 });
  for (const call of [() => client.get('k'), async () => client.getSync('k')]) {
    await assert.rejects(call(), withCode('broker_gone', /No broker at /));
  }
  startBroker(t, options);
  assert.equal(await client.set('k', 1, TTL), true);
});

test('no broker: broker_gone, naming the pipe and what to do', async (t) => {
  const pipe = path.join(temporaryDirectory(t), 'none.sock');
  const client = clientOf(t, pipe);
  const message = /^get "k": No broker at .*none\.sock: .*start -- <command>.*\(ENOENT\)\.$/;
  await assert.rejects(client.get('k'), withCode('broker_gone', message));
});

test('a socket nobody listens to any more: broker_gone', async (t) => {
  const directory = temporaryDirectory(t);
  const script = `
    const net = require('node:net');
    net.createServer().listen(process.env.PIPE, () => process.kill(process.pid, 'SIGKILL'));
  `;
  const pipe = path.join(directory, 'dead.sock');
  await runNode(script, { env: { PIPE: pipe } });
  const client = clientOf(t, pipe, { timeout: 600_000 });
  await assert.rejects(client.get('k'), withCode('broker_gone', /has died \(ECONNREFUSED\)/));
});

test('what cannot become a broker is not waited for', async (t) => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'file');
  fs.writeFileSync(file, '');
  for (const pipe of [
    file,
    directory,
    path.join(directory, 'x'.repeat(200)),
    path.join(file, 'below'),
  ]) {
    const client = clientOf(t, pipe, { timeout: 60_000 });
    await assert.rejects(client.get('k'), withCode('broker_gone', /No broker at /), pipe);
    assert.throws(() => client.getSync('k'), withCode('broker_gone', /No broker at /), pipe);
  }
});

test('a call that failed for want of a broker is not carried out later', async (t) => {
  const options = sameName();
  const { broker, pipe } = await briefBroker(options);
  const client = await abandoned(t, broker, pipe);
  const kept = client.set('kept', 1, TTL);
  await assert.rejects(
    client.set('dropped', 1, { ttl: TTL, timeout: 200 }),
    withCode('broker_gone'),
  );
  const after = client.set('after', 1, TTL);
  startBroker(t, options);
  await Promise.all([kept, after]);
  assert.deepEqual(
    (await client.list()).map(({ key }) => key),
    ['after', 'kept'],
  );
});

test('no answer within the timeout: timeout, naming operation and key', async (t) => {
  const pipe = await listener(t);
  for (const secret of [null, SECRET]) {
    const client = clientOf(t, pipe, { timeout: 40, secret });
    const start = performance.now();
    await assert.rejects(
      client.get('k'),
      withCode('timeout', /^get "k": No answer came within 40 ms\.$/),
    );
    assert.ok(performance.now() - start >= 39);
    await assert.rejects(client.ping({ timeout: 10 }), withCode('timeout', /^ping: .* 10 ms/));
  }
});

test('calls with different timeouts end each at its own', async (t) => {
  const pipe = await listener(t);
  const client = clientOf(t, pipe);
  const start = performance.now();
  const long = stretched(1000);
  const left = new Set([90, 30, 60, 10, long]);
  const calls = [...left].map((timeout) =>
    client.get('k', { timeout }).catch(({ code }) => {
      left.delete(timeout);
      return { timeout, code, isEarly: performance.now() - start < timeout - 1 };
    }),
  );
  const assertEnded = (ended) =>
    assert.deepEqual(ended, { timeout: ended.timeout, code: 'timeout', isEarly: false });
  // A busy machine may let several be over before it looks.
  for (const call of calls.slice(0, -1)) assertEnded(await call);
  assert.deepEqual([...left], [long]);
  assertEnded(await calls.at(-1));
});

test('a large request leaves while an earlier one waits for its answer', async (t) => {
  let received = 0;
  let hangUp = () => {};
  const pipe = await listener(t, (socket) => {
    socket.on('data', (chunk) => (received += chunk.length));
    hangUp = () => socket.destroy();
  });
  const client = clientOf(t, pipe, { timeout: 60_000 });
  const calls = [client.get('k')];
  await until(() => received > 0, 'the first request is there');
  const before = received;
  calls.push(client.set('k', 'x'.repeat(4_000_000), TTL));
  await until(() => received > before + 4_000_000, 'the second is there, to its end');
  hangUp();
  for (const call of calls) await assert.rejects(call, withCode('broker_gone'));
});

test('a thread that was busy elsewhere does not miss answers that have come', async (t) => {
  const pipe = path.join(temporaryDirectory(t), 'fake.sock');
  // 0: nothing yet, 1: the request is there, 2: answer it, 3: answered
  const state = new Int32Array(new SharedArrayBuffer(4));
  const source = `
    const { workerData, parentPort } = require('node:worker_threads');
    const { state, pipe, reply } = workerData;
    const server = require('node:net').createServer((socket) => {
      socket.once('data', () => {
        Atomics.store(state, 0, 1);
        Atomics.wait(state, 0, 1);
        socket.write(reply, () => {
          Atomics.store(state, 0, 3);
          Atomics.notify(state, 0);
        });
      });
    });
    server.listen(pipe, () => parentPort.postMessage('listening'));
  `;
  const reply = Buffer.from([9, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0x35]);
  const worker = new Worker(source, { eval: true, workerData: { state, pipe, reply } });
  t.after(() => worker.terminate());
  await once(worker, 'message');
  const timeout = stretched(500);
  const start = performance.now();
  const call = clientOf(t, pipe).get('k', { timeout });
  await until(() => Atomics.load(state, 0) === 1, 'the request is there');
  // From here the event loop goes to its timers first.
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  Atomics.store(state, 0, 2);
  Atomics.notify(state, 0);
  Atomics.wait(state, 0, 2);
  while (performance.now() < start + timeout + 20);
  assert.equal(await call, 5);
});

test('an answer that comes after its timeout reaches nobody else', async (t) => {
  const replies = [];
  // Answers every request, with the key as its value, when it is told to.
  const pipe = await listener(t, (socket) => {
    let input = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      input = Buffer.concat([input, chunk]);
      if (input.toString('latin1', 0, 4) === 'EPB0') input = input.subarray(4);
      while (input.length >= 4 && input.length >= 4 + input.readUInt32LE(0)) {
        if (input[5] !== JOIN) replies.push(replyTo(input, socket));
        input = input.subarray(4 + input.readUInt32LE(0));
      }
    });
  });
  const client = clientOf(t, pipe);
  await assert.rejects(client.get('first', { timeout: 20 }), withCode('timeout'));
  const second = client.get('second');
  await until(() => replies.length === 2, 'both requests are there');
  for (const reply of replies) reply();
  assert.equal(await second, 'second');
});

/** A function that sends the reply to the get request at the front of some bytes. */
function replyTo(bytes, socket) {
  const key = bytes.toString('utf8', 16, 16 + bytes.readUInt16LE(12));
  const body = Buffer.from(JSON.stringify(key));
  const reply = Buffer.alloc(12 + body.length);
  reply.writeUInt32LE(reply.length - 4, 0);
  reply[4] = 1;
  bytes.copy(reply, 8, 8, 12);
  body.copy(reply, 12);
  return () => socket.write(reply);
}

test('a broker killed in the middle: every call ends, most with broker_gone', async (t) => {
  const directory = temporaryDirectory(t);
  const script = `
    const { Broker } = require(ROOT);
    process.stdout.write(new Broker({ secret: null }).startSync());
  `;
  let client;
  let calls = [];
  await runNode(script, {
    env: { TMPDIR: directory },
    onChild(child) {
      child.stdout.once('data', async (pipe) => {
        client = clientOf(t, String(pipe), { timeout: stretched(300) });
        await client.set('k', 'v'.repeat(1000), { ttl: TTL, timeout: 120_000 });
        calls = Array.from({ length: 2000 }, () =>
          client.get('k').then(
            () => 'ok',
            (error) => error.code,
          ),
        );
        child.kill('SIGKILL');
      });
    },
  });
  const outcomes = new Set(await Promise.all(calls));
  for (const outcome of outcomes) assert.match(outcome, /^(ok|broker_gone)$/);
  await assert.rejects(client.get('k'), withCode('broker_gone'));
});

const inProc = { skip: process.platform !== 'linux' && 'reads /proc' };

test(
  'what ends with its connection is carried to no other: close() waits for none',
  inProc,
  async (t) => {
    const program = await startProgram(t, { secret: SECRET });
    const client = new PipeClient(program.pipe, { secret: SECRET, timeout: 600_000 });
    const watch = client.watch();
    await watch.ready;
    const [closed, released] = [await client.number('port'), await client.number('port')];
    program.child.kill('SIGKILL');
    // It is gone, and the connection has not been used for a while, before this thread hears of it.
    const end = performance.now() + 100;
    while (performance.now() < end || !hasEnded(program.pid)) continue;
    watch.close();
    const ended = assert.rejects(released.release(), withCode('broker_gone', /^release "port": /));
    await client.close();
    await ended;
    await assert.rejects(released.release(), withCode('broker_gone'), 'the same answer');
    await assert.rejects(closed.release(), withCode('broker_gone'), 'that of close()');
  },
);

test('a broker that talks nonsense: version_mismatch, and it is not believed', async (t) => {
  const nonsense = [
    Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 0]),
    Buffer.from([1, 0, 0, 0, 9]),
    Buffer.alloc(64, 9),
  ];
  for (const bytes of nonsense) {
    const pipe = await listener(t, (socket) => socket.end(bytes));
    const client = clientOf(t, pipe, { timeout: 300 });
    await assert.rejects(client.get('k'), (error) =>
      ['version_mismatch', 'broker_gone', 'too_large', 'internal', 'timeout'].includes(error.code),
    );
  }
});

test('a connection that ends before the broker has proved itself costs no call its life', async (t) => {
  const options = sameName(SECRET);
  const { broker, pipe } = await briefBroker(options);
  await broker.stop();
  // Slams the door a few times, then makes room for a real one.
  let slammed = 0;
  const rude = net.createServer((socket) => {
    socket.destroy();
    if (++slammed === 5) rude.close(() => startBroker(t, options));
  });
  rude.listen(pipe);
  await once(rude, 'listening');
  const client = clientOf(t, pipe, { secret: SECRET, timeout: 30_000 });
  assert.deepEqual(await Promise.all([client.set('k', 1, TTL), client.get('k')]), [true, 1]);
  assert.equal(slammed, 5);
});

test('one that always closes: broker_gone in the end, without haste', async (t) => {
  let connections = 0;
  const pipe = await listener(t, (socket) => {
    connections++;
    socket.destroy();
  });
  const timeout = stretched(100);
  const client = clientOf(t, pipe, { secret: SECRET, timeout });
  const closes = withCode('broker_gone', /closes the connection \(ECONNRESET\)/);
  await assert.rejects(client.get('k'), closes);
  assert.ok(connections > 1 && connections < 0.4 * timeout, `${connections} in ${timeout} ms`);
});

test('an impostor that has no secret learns nothing', async (t) => {
  const seen = [];
  const pipe = await listener(t, (socket) => {
    socket.on('data', (chunk) => {
      seen.push(chunk);
      socket.write(Buffer.alloc(74, 7));
    });
  });
  const client = clientOf(t, pipe, { secret: SECRET, timeout: 60_000 });
  await assert.rejects(client.set('the key', 'the value', TTL), withCode('auth_failed'));
  const bytes = Buffer.concat(seen);
  assert.equal(bytes.length, 44);
  assert.doesNotMatch(bytes.toString('latin1'), /the key|the value/);
});

test('a pending call keeps its process alive until its timeout, and no longer', async (t) => {
  const pipe = await listener(t);
  const script = `
    const { PipeClient } = require(ROOT);
    new PipeClient().get('k', { timeout: 60 }).catch((error) => console.log(error.code));
  `;
  const hung = await runNode(script, { env: { EPHEMERAL_PIPE: pipe } });
  assert.deepEqual(hung, { status: 0, signal: null, stdout: 'timeout\n', stderr: '' });
  const none = await runNode(script, { env: { EPHEMERAL_PIPE: `${pipe}.none` } });
  assert.deepEqual(none, { status: 0, signal: null, stdout: 'broker_gone\n', stderr: '' });
});

test('process.exit with calls pending ends the process', async (t) => {
  const { broker } = startPair(t);
  const script = `
    const { PipeClient } = require(ROOT);
    const client = new PipeClient();
    for (let i = 0; i < 1000; i++) client.set('k' + i, i, 60000);
    process.nextTick(() => process.nextTick(() => process.exit(4)));
  `;
  const result = await runNode(script, { env: broker.env() });
  assert.deepEqual(result, { status: 4, signal: null, stdout: '', stderr: '' });
});

test('a worker thread may be terminated at any moment', async (t) => {
  const { broker, client } = startPair(t);
  const script = `
    const { Worker } = require('node:worker_threads');
    const source = \`
      const { PipeClient } = require(\${JSON.stringify(ROOT)});
      const client = new PipeClient();
      const again = () => client.incr('n', 1, 60000).then(again);
      for (let i = 0; i < 10; i++) again();
      client.ping().then(() => require('node:worker_threads').parentPort.postMessage('running'));
    \`;
    (async () => {
      for (let i = 0; i < 10; i++) {
        const worker = new Worker(source, { eval: true });
        await new Promise((resolve) => worker.once('message', resolve));
        await worker.terminate();
      }
      console.log('survived');
    })();
  `;
  const result = await runNode(script, { env: broker.env() });
  assert.deepEqual(result, { status: 0, signal: null, stdout: 'survived\n', stderr: '' });
  assert.ok((await client.get('n')) > 0);
  await until(async () => (await client.stats()).connections === 1, 'their connections are closed');
});

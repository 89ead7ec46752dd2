'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { once } = require('node:events');
const { test } = require('node:test');
const { BrokerError, Broker } = require('../..');
const {
  PipeClient,
  SECRET,
  runNode,
  startBroker,
  startClient,
  startPair,
  temporaryDirectory,
  until,
  withCode,
} = require('../helpers/broker.js');

const TTL = 60_000;

test('start gives the path of a socket that is ours alone; stop removes it', async () => {
  const broker = new Broker({ exportEnv: false });
  assert.equal(broker.pipe, null);
  const pipe = await broker.start();
  assert.equal(broker.pipe, pipe);
  assert.match(path.basename(pipe), /^broker-[0-9a-f]{32}\.sock$/);
  const { mode } = fs.statSync(pipe);
  assert.equal(mode & 0o777, 0o700);
  await broker.stop();
  assert.equal(broker.pipe, null);
  assert.equal(fs.existsSync(pipe), false);
});

test('start exports EPHEMERAL_PIPE, stop puts back what was there', async () => {
  for (const before of [undefined, '/an/outer/one.sock']) {
    if (before === undefined) delete process.env.EPHEMERAL_PIPE;
    else process.env.EPHEMERAL_PIPE = before;
    const broker = new Broker();
    assert.equal(broker.startSync(), process.env.EPHEMERAL_PIPE);
    assert.equal(new PipeClient().pipe, broker.pipe);
    await broker.stop();
    assert.equal(process.env.EPHEMERAL_PIPE, before);
  }
  const first = new Broker();
  const second = new Broker();
  first.startSync();
  second.startSync();
  await first.stop();
  assert.equal(process.env.EPHEMERAL_PIPE, second.pipe, 'what another set since is left alone');
  await second.stop();
  delete process.env.EPHEMERAL_PIPE;
});

test('a broker starts once', async (t) => {
  const broker = startBroker(t);
  await assert.rejects(broker.start(), withCode('invalid_request', /^start: .*running already/));
  await broker.stop();
  await assert.rejects(
    broker.start(),
    withCode('invalid_request', /stopped already: make a new one/),
  );
  assert.throws(() => broker.env(), withCode('invalid_request', /not running/));
  assert.throws(() => broker.client(), withCode('invalid_request', /not running/));
  await assert.rejects(broker.stats(), withCode('invalid_request', /not running/));
});

test('stop: any number of times, at any time', async () => {
  const never = new Broker();
  await never.stop();
  never.stopSync();
  assert.throws(() => never.startSync(), withCode('invalid_request'));
  const broker = new Broker({ exportEnv: false });
  await broker.start();
  await Promise.all([broker.stop(), broker.stop(), broker.stop({ drainMs: 0 })]);
  await broker.stop();
  broker.stopSync();
  const hurried = new Broker({ exportEnv: false });
  const pipe = hurried.startSync();
  const stopping = hurried.stop();
  hurried.stopSync();
  await stopping;
  assert.equal(fs.existsSync(pipe), false);
  await assert.rejects(broker.stop({ drainMs: -1 }), withCode('invalid_request', /drainMs/));
  await assert.rejects(
    broker.stop({ drain: 1 }),
    withCode('invalid_request', /Did you mean drainMs/),
  );
});

test('stop answers whoever asked before: with the result, or that it is too late', async (t) => {
  const broker = startBroker(t);
  const client = broker.client();
  await client.ping();
  const calls = Array.from({ length: 500 }, (_, i) =>
    client.set(`k${i}`, i, TTL).catch((error) => error.code),
  );
  // The requests leave when this tick ends; the broker is told to stop after that.
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  const stopped = broker.stop();
  for (const outcome of await Promise.all(calls)) {
    assert.ok(outcome === true || outcome === 'draining', String(outcome));
  }
  await stopped;
  await client.close();
});

test(
  'a fixed name that is left from before a restart of the machine is not taken, and named',
  { skip: process.platform === 'win32' },
  (t) => {
    const pipeId = `left-${process.pid}`;
    const [socket, lock] = ['sock', 'lock'].map((end) =>
      path.join(os.tmpdir(), `broker-${pipeId}.${end}`),
    );
    fs.writeFileSync(lock, `epb ${'0'.repeat(32)}\n`);
    fs.writeFileSync(socket, '');
    t.after(() => [socket, lock].forEach((file) => fs.rmSync(file)));
    const broker = new Broker({ exportEnv: false, secret: null, pipeId });
    assert.throws(
      () => broker.startSync(),
      withCode('conflict', new RegExp(`restart: remove broker-${pipeId}\\.sock`)),
    );
    assert.ok(fs.existsSync(socket));
  },
);

test('a stopped broker has forgotten everything, also under the same name', async (t) => {
  const options = { exportEnv: false, secret: null, pipeId: `test-${process.pid}` };
  const first = new Broker(options);
  const pipe = first.startSync();
  const suffix = process.platform === 'win32' ? '' : '.sock';
  assert.equal(path.basename(pipe), `broker-test-${process.pid}${suffix}`);
  const client = first.client();
  await client.set('k', 1, TTL);
  assert.throws(
    () => new Broker(options).startSync(),
    withCode('conflict', new RegExp(`Another broker has the pipe id "test-${process.pid}"`)),
  );
  assert.equal(await client.get('k'), 1);
  await client.close();
  await first.stop();
  const second = startBroker(t, options);
  assert.equal(second.pipe, pipe);
  await assert.rejects(startClient(t, second).get('k'), withCode('not_found'));
});

test('several brokers in one process do not know each other', async (t) => {
  const pairs = Array.from({ length: 5 }, (_, i) => startPair(t, { secret: `${SECRET} ${i}` }));
  await Promise.all(pairs.map(({ client }, i) => client.set('k', i, TTL)));
  assert.deepEqual(await Promise.all(pairs.map(({ client }) => client.get('k'))), [0, 1, 2, 3, 4]);
  await pairs[0].broker.stop();
  assert.equal(await pairs[1].client.get('k'), 1);
});

test('a broker in a worker thread serves the others, and goes with the thread', async () => {
  const script = `
    const { Worker, isMainThread, parentPort } = require('node:worker_threads');
    const { PipeClient } = require(ROOT);
    const source = \`
      const { Broker } = require(\${JSON.stringify(ROOT)});
      const broker = new Broker({ exportEnv: false });
      require('node:worker_threads').parentPort.postMessage(broker.startSync());
    \`;
    const worker = new Worker(source, { eval: true });
    worker.once('message', async (pipe) => {
      const client = new PipeClient(pipe);
      await client.set('k', 1, 60000);
      console.log(await client.get('k'));
      await worker.terminate();
      console.log(require('node:fs').existsSync(pipe));
      console.log(await client.get('k', { timeout: 300 }).catch((error) => error.code));
    });
  `;
  const result = await runNode(script);
  assert.deepEqual(result, {
    status: 0,
    signal: null,
    stdout: '1\nfalse\nbroker_gone\n',
    stderr: '',
  });
});

test("secret 'auto' makes 256 random bits; each broker its own", async (t) => {
  const [one, two] = [startBroker(t, { secret: 'auto' }), startBroker(t, { secret: 'auto' })];
  assert.match(one.secret, /^[0-9a-f]{64}$/);
  assert.notEqual(one.secret, two.secret);
  assert.equal(await startClient(t, one).ping(), true);
  assert.equal(one.env().EPHEMERAL_SECRET, one.secret);
  const client = new PipeClient(one.pipe, { secret: two.secret });
  t.after(() => client.close());
  await assert.rejects(client.ping(), withCode('auth_failed'));
});

test('a short secret gets a warning, once for each broker, that does not show it', async () => {
  const script = `
    const { Broker } = require(ROOT);
    new Broker({ secret: 'hunter2' });
    new Broker({ secret: 'sixteen bytes ok' });
  `;
  const { status, stderr } = await runNode(script);
  assert.equal(status, 0);
  assert.equal(stderr.match(/shorter than 16 bytes/g).length, 1);
  assert.doesNotMatch(stderr, /hunter2/);
});

test('env() has what a child needs; a secret that is no text is refused there', async (t) => {
  const plain = startBroker(t);
  assert.deepEqual(plain.env(), {
    EPHEMERAL_PIPE: plain.pipe,
    EPHEMERAL_BROKER_PID: String(process.pid),
  });
  const bytes = startBroker(t, { secret: Buffer.from('ff00ff00ff00ff00ff00ff00ff00ff00', 'hex') });
  assert.throws(() => bytes.env(), withCode('invalid_request', /no text/));
  assert.equal(await startClient(t, bytes).ping(), true);
});

test('spawn gives a command the variables, and no secret of another broker', async (t) => {
  const { broker, client } = startPair(t);
  const script = `
    const { PipeClient } = require(${JSON.stringify(path.join(__dirname, '../..'))});
    new PipeClient().set('child', process.env.EXTRA + process.env.EPHEMERAL_SECRET, 60000);
  `;
  const env = {
    ...process.env,
    EXTRA: 'e',
    EPHEMERAL_SECRET: 'outer secret',
    CLIENT_SECRET: 'another',
  };
  const child = broker.spawn(process.execPath, ['-e', script], { env, stdio: 'inherit' });
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  assert.equal(await client.get('child'), 'eundefined');
});

test('the pipe is gone after process.exit, an exception and the end of the work', async (t) => {
  for (const [end, status] of [
    ['process.exit(3)', 3],
    ['throw new Error("own")', 1],
    ['broker.unref()', 0],
  ]) {
    const directory = temporaryDirectory(t);
    const script = `
      const { Broker } = require(ROOT);
      const broker = new Broker();
      console.log(broker.startSync());
      ${end};
    `;
    const result = await runNode(script, { env: { TMPDIR: directory } });
    assert.equal(result.status, status, result.stderr);
    assert.equal(path.dirname(result.stdout.trim()), directory);
    assert.deepEqual(fs.readdirSync(directory), [], end);
  }
});

test('a running broker keeps its process alive, until it is stopped', async () => {
  const script = `
    const { Broker } = require(ROOT);
    const broker = new Broker();
    broker.startSync();
    // Nothing else waits: without the broker this process would end before the timer.
    setTimeout(() => broker.stop().then(() => console.log('stopped')), 30).unref();
  `;
  const result = await runNode(script);
  assert.deepEqual(result, { status: 0, signal: null, stdout: 'stopped\n', stderr: '' });
});

test('it installs no signal handler', async () => {
  const script = `
    const { Broker } = require(ROOT);
    new Broker().startSync();
    const names = ['SIGINT', 'SIGTERM', 'SIGHUP', 'exit', 'beforeExit', 'uncaughtException'];
    console.log(names.map((name) => process.listenerCount(name)).join());
    process.kill(process.pid, 'SIGTERM');
  `;
  const result = await runNode(script);
  assert.equal(result.signal, 'SIGTERM');
  assert.equal(result.stdout, '0,0,0,0,0,0\n');
});

test('log records name keys and actions, never values or secrets', async (t) => {
  const records = [];
  const broker = startBroker(t, {
    secret: SECRET,
    debug: true,
    log: (record) => records.push(record),
  });
  const client = startClient(t, broker);
  await client.set('the key', 'the value', TTL);
  await client.get('the key');
  const stranger = new PipeClient(broker.pipe, { secret: 'a wrong secret' });
  t.after(() => stranger.close());
  await assert.rejects(stranger.ping(), withCode('auth_failed'));
  await until(() => records.length >= 3, 'there are records');
  const text = JSON.stringify(records);
  assert.match(text, /the key/);
  assert.doesNotMatch(text, /the value|a secret for tests|a wrong secret/);
  for (const record of records) {
    assert.match(record.level, /^(debug|info|warn|error)$/);
    assert.equal(typeof record.event, 'string');
  }
});

test('debug logs to stderr as JSON lines, and leaves stdout alone', async () => {
  const script = `
    const { Broker } = require(ROOT);
    const broker = new Broker({ debug: true });
    broker.startSync();
    const client = broker.client();
    client.set('k', 'the value', 1000).then(() => broker.stop());
  `;
  const { status, stdout, stderr } = await runNode(script);
  assert.equal(status, 0);
  assert.equal(stdout, '');
  const records = stderr
    .trim()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
  assert.ok(
    records.some((record) => record.action === 'set' && record.key === 'k'),
    stderr,
  );
  assert.doesNotMatch(stderr, /the value/);
});

test('heartbeats carry the statistics', async (t) => {
  const records = [];
  startBroker(t, { heartbeatInterval: 5, log: (record) => records.push(record) });
  const beat = await until(() => records.find(({ event }) => event === 'heartbeat'), 'a heartbeat');
  assert.equal(beat.stats.items, 0);
});

test('an idle broker stops itself when told to', async () => {
  const script = `
    const { Broker } = require(ROOT);
    const broker = new Broker({ idleTimeout: 20 });
    console.log(broker.startSync());
  `;
  const { status, stdout } = await runNode(script);
  assert.equal(status, 0);
  assert.equal(fs.existsSync(stdout.trim()), false);
});

test('limits: items, memory, values, and least recently used', async (t) => {
  const { client } = startPair(t, { maxItems: 3, maxValueSize: 100 });
  for (const key of ['a', 'b', 'c']) await client.set(key, key, TTL);
  await assert.rejects(client.set('d', 1, TTL), withCode('max_items', /^set "d": .*maxItems/));
  await client.set('a', 'again', TTL);
  await assert.rejects(client.set('a', 'x'.repeat(100), TTL), withCode('too_large'));
  await client.del('b');
  await client.set('d', 1, TTL);

  const small = startPair(t, { maxMemory: 64 * 1024 }).client;
  const fill = async () => {
    for (let i = 0; i < 1000; i++) await small.set(`k${i}`, 'x'.repeat(1000), TTL);
  };
  await assert.rejects(fill(), withCode('max_memory', /maxMemory/));

  const evicting = startPair(t, { maxItems: 3, eviction: 'lru' }).client;
  for (const key of ['a', 'b', 'c']) await evicting.set(key, key, TTL);
  await evicting.get('a');
  await evicting.set('d', 'd', TTL);
  assert.deepEqual(
    (await evicting.list()).map(({ key }) => key),
    ['a', 'c', 'd'],
  );
});

test('refreshTTLOnGet: a read restarts the time', async (t) => {
  const { client } = startPair(t, { refreshTTLOnGet: true });
  await client.set('k', 1, TTL);
  // Without a restart the remaining time only falls.
  await until(async () => {
    const before = await client.ttl('k');
    await client.get('k');
    return (await client.ttl('k')) > before;
  }, 'a read gives a later end');
});

test('more connections than allowed are refused, and say so', async (t) => {
  const broker = startBroker(t, { maxConnections: 1, secret: SECRET });
  const client = startClient(t, broker);
  await client.ping();
  const script = `
    const { PipeClient } = require(ROOT);
    new PipeClient(undefined, { timeout: 10000 }).ping().catch((error) => console.log(error.code));
  `;
  const { stdout, stderr } = await runNode(script, { env: broker.env() });
  assert.equal(stdout, 'max_connections\n', stderr);
  assert.equal(await client.ping(), true);
});

test('options reach the broker from the environment', async (t) => {
  const script = `
    const { Broker } = require(ROOT);
    const broker = new Broker();
    broker.startSync();
    const client = broker.client();
    (async () => {
      await client.set('a', 1);
      console.log(await client.set('b', 1).catch((error) => error.code), broker.secret);
      await broker.stop();
    })();
  `;
  const env = { BROKER_MAX_ITEMS: '1', BROKER_REQUIRE_TTL: 'false', BROKER_SECRET: SECRET };
  const { stdout, stderr } = await runNode(script, {
    env: { ...env, TMPDIR: temporaryDirectory(t) },
  });
  assert.equal(stdout, `max_items ${SECRET}\n`, stderr);
});

test('the exports are the same from CommonJS and as an ES module', async () => {
  const module = await import('ephemeral-pipe-broker');
  assert.equal(module.Broker, Broker);
  assert.equal(module.BrokerError, BrokerError);
  assert.equal(module.Client, module.PipeClient);
  const error = new BrokerError('timeout', 'Late.', { operation: 'get', key: 'k' });
  assert.equal(String(error), 'BrokerError: get "k": Late.');
  assert.ok(error instanceof Error);
});

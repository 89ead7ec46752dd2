/**
 * What test runners and bundlers do to a program: modules that are replaced, code that is moved,
 * environments that end, variables of a broker that is dead.
 */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { once } = require('node:events');
const { test } = require('node:test');
const {
  ROOT,
  PipeClient,
  SECRET,
  runNode,
  startBroker,
  startClient,
  startPair,
  temporaryDirectory,
} = require('../helpers/broker.js');
const { Broker } = require(ROOT);
const OwnBroker = require(path.join(ROOT, 'lib/broker')).Broker;

const codeOf = (error) => error.code;

test('a replaced fs', async (t) => {
  const broker = startBroker(t, { secret: SECRET });
  const script = `
    const fs = require('node:fs');
    const { PipeClient } = require(ROOT);
    for (const name of Object.keys(fs)) {
      if (/^(exists|readdir|stat|access|lstat)(Sync)?$/.test(name)) fs[name] = () => undefined;
    }
    new PipeClient().set('k', 'v', 1000).then(console.log);
  `;
  const { stdout, stderr } = await runNode(script, { env: broker.env() });
  assert.equal(stdout, 'true\n', stderr);
});

test('a bundle is told to leave the package outside', async (t) => {
  const directory = temporaryDirectory(t);
  fs.cpSync(path.join(ROOT, 'lib'), path.join(directory, 'dist'), { recursive: true });
  fs.writeFileSync(path.join(directory, 'package.json'), '{ "name": "a-program" }');
  const moved = require(path.join(directory, 'dist'));
  const error = await new moved.PipeClient('/tmp/none.sock').ping().catch((caught) => caught);
  assert.match(error.message, /external/);
  assert.doesNotMatch(error.message, /install\.js|compiler/);
});

test('Broker is a plain property, its code is loaded with the first', async () => {
  const exported = require(ROOT);
  for (const name of Object.keys(exported)) {
    assert.ok('value' in Object.getOwnPropertyDescriptor(exported, name), name);
  }
  const own = Object.getOwnPropertyNames(OwnBroker.prototype);
  assert.deepEqual(Object.getOwnPropertyNames(Broker.prototype).sort(), own.sort());
  const script = `
    const { Broker } = require(ROOT);
    const isLoaded = () => Object.keys(require.cache).some((file) => /lib.broker\\.js$/.test(file));
    const before = isLoaded();
    new Broker();
    console.log(before, isLoaded());
  `;
  assert.equal((await runNode(script)).stdout, 'false true\n');
});

test('the end of a broker that keeps no process alive is seen', async () => {
  const script = `
    const { Broker } = require(ROOT);
    const broker = new Broker();
    broker.startSync();
    broker.unref();
    broker.stop().then(() => console.log('stopped'));
  `;
  assert.equal((await runNode(script)).stdout, 'stopped\n');
});

test('detached bytes are no value', async (t) => {
  const { client } = startPair(t);
  const bytes = new Uint8Array(8);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  assert.equal(await client.set('k', bytes, 1000).catch(codeOf), 'invalid_value');
  assert.equal(await client.pool('p', [bytes]).catch(codeOf), 'invalid_value');
  await client.set('k', new Uint8Array(0), 60_000);
  assert.equal((await client.get('k')).length, 0);
});

test('a pipe that is missing, or whose broker is dead, is noticed soon', async (t) => {
  const directory = temporaryDirectory(t);
  const dead = path.join(directory, 'dead');
  // A socket that nobody listens to stays behind when its process is killed.
  await runNode(
    `require('net').createServer().listen(${JSON.stringify(dead)}, () => process.kill(process.pid, 9))`,
  );
  assert.ok(fs.existsSync(dead));
  for (const [pipe, why] of [
    [path.join(directory, 'missing'), /ENOENT/],
    [dead, /ECONNREFUSED/],
  ]) {
    const client = new PipeClient(pipe, { secret: null, timeout: 3_600_000 });
    for (const call of [async () => client.getSync('k'), () => client.get('k')]) {
      await assert.rejects(
        call(),
        (error) => error.code === 'broker_gone' && why.test(error.message),
      );
    }
  }
});

test('connectTimeout bounds connecting, whatever it waits for', async (t) => {
  const pipe = path.join(temporaryDirectory(t), 'silent');
  const server = net
    .createServer(() => {})
    .listen(pipe)
    .unref();
  t.after(() => server.close());
  await once(server, 'listening');
  const client = new PipeClient(pipe, { secret: SECRET, timeout: 60_000, connectTimeout: 100 });
  await assert.rejects(client.get('k'), { code: 'broker_gone', message: /100 ms/ });
  await assert.rejects(async () => client.getSync('k'), { code: 'broker_gone' });
});

/** What is in the environment of brokers. */
const seen = () =>
  ['EPHEMERAL_PIPE', 'EPHEMERAL_SECRET', 'EPHEMERAL_BROKER_PID'].map((name) => process.env[name]);

test('what a broker exports is enough for a client, and goes with it', async (t) => {
  const before = seen();
  const broker = startBroker(t, { secret: 'auto', exportEnv: true });
  assert.deepEqual(seen(), [broker.pipe, broker.secret, String(process.pid)]);
  const script = `
    const { PipeClient } = require(ROOT);
    new PipeClient().ping().then(console.log);
  `;
  assert.equal((await runNode(script)).stdout, 'true\n');
  await broker.stop();
  assert.deepEqual(seen(), before);
});

test('brokers of one process end in any order', async (t) => {
  const before = seen();
  for (const order of [
    [0, 1, 2],
    [2, 1, 0],
    [1, 0, 2],
    [0, 2, 1],
  ]) {
    const brokers = ['auto', null, undefined].map((secret) =>
      startBroker(t, { secret, exportEnv: true }),
    );
    // Without a secret of its own it takes none from another broker.
    assert.equal(brokers[2].secret, null);
    const running = [...brokers];
    for (const place of order) {
      assert.equal(process.env.EPHEMERAL_PIPE, running.at(-1).pipe);
      assert.equal(process.env.EPHEMERAL_SECRET, running.at(-1).secret ?? undefined);
      running.splice(running.indexOf(brokers[place]), 1);
      await brokers[place].stop({ drainMs: 0 });
    }
    assert.deepEqual(seen(), before);
  }
});

test('who has set another pipe meanwhile keeps it', async (t) => {
  const before = seen();
  t.after(() => {
    delete process.env.EPHEMERAL_PIPE;
    assert.deepEqual(seen().slice(0, 1), before.slice(0, 1));
  });
  const broker = startBroker(t, { secret: null, exportEnv: true });
  process.env.EPHEMERAL_PIPE = '/tmp/another';
  await broker.stop();
  assert.equal(process.env.EPHEMERAL_PIPE, '/tmp/another');
});

test('a scope ends what was made in it', async (t) => {
  const broker = startBroker(t, { secret: SECRET });
  const other = startClient(t, broker, { workerId: 'other' });
  await other.ping();
  const key = Symbol.for('ephemeral-pipe-broker.scope');
  globalThis[key] = new Set();
  t.after(() => delete globalThis[key]);
  const client = new PipeClient(`${path.dirname(broker.pipe)}//${path.basename(broker.pipe)}`, {
    secret: SECRET,
  });
  await client.limit('slots', 2);
  const handle = await client.acquire('slots');
  await client.lease('slots', 'worker');
  const waiting = client.acquire('slots').catch(codeOf);
  while ((await other.leases()).length < 3) await client.ping();
  assert.equal(globalThis[key].size, 1);
  for (const connection of globalThis[key]) connection.end();
  assert.equal(globalThis[key].size, 0);
  assert.equal(await waiting, 'broker_gone');
  assert.equal(handle.lost, true);
  // What lease() gave is the thread's.
  while ((await other.leases()).length > 1) await other.ping();
  assert.deepEqual(
    (await other.leases()).map(({ workerId }) => workerId),
    ['worker'],
  );
  // A hook that comes after the end is served.
  assert.equal(await client.release('worker', 'slots'), true);
  assert.equal(globalThis[key].size, 1);
  await client.close();
  assert.equal(globalThis[key].size, 0);
});

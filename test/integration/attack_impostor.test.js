'use strict';

// Who listens at the pipe's path and does not know the secret gets the first 44 bytes of the
// handshake, whatever is called and whatever it answers: no key, no value, no worker id.
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { test } = require('node:test');
const {
  PipeClient,
  SECRET,
  startBroker,
  startClient,
  temporaryDirectory,
  until,
  withCode,
} = require('../helpers/broker.js');
const { startImpostor } = require('../helpers/impostor.js');
const { stretched } = require('../helpers/time_limits.js');
const { startProgram } = require('../helpers/program.js');
const { CLIENT_HELLO_BYTES, SERVER_HELLO_BYTES, offerHello } = require('../helpers/sealed.js');
const { rawConnection } = require('../helpers/wire.js');

const TTL = 60_000;
const KEY = 'the-key-nobody-sees';
const VALUE = 'the-value-nobody-sees';
const WORKER = 'the-worker-nobody-sees';
const HIDDEN = /nobody-sees|a secret for tests/;
const never = () => assert.fail('it went on without the broker');

/** Every call that a client has. */
const CALLS = {
  get: (client) => client.get(KEY),
  getSync: (client) => client.getSync(KEY),
  getEntry: (client) => client.getEntry(KEY),
  set: (client) => client.set(KEY, VALUE, TTL),
  del: (client) => client.del(KEY),
  has: (client) => client.has(KEY),
  ttl: (client) => client.ttl(KEY),
  touch: (client) => client.touch(KEY, TTL),
  incr: (client) => client.incr(KEY, 1, TTL),
  incrEntry: (client) => client.incrEntry(KEY, 1, TTL),
  list: (client) => client.list(KEY),
  lease: (client) => client.lease(KEY, WORKER, TTL),
  number: (client) => client.number(KEY, { workerId: WORKER }),
  leaseSync: (client) => client.leaseSync(KEY, WORKER, TTL),
  renew: (client) => client.renew(WORKER),
  release: (client) => client.release(WORKER, KEY),
  acquire: (client) => client.acquire(KEY, { workerId: WORKER }),
  withLease: (client) => client.withLease(KEY, { workerId: WORKER }, never),
  lock: (client) => client.lock(KEY, { workerId: WORKER }, never),
  acquireLock: (client) => client.acquireLock(KEY, { workerId: WORKER }),
  acquireAll: (client) => client.acquireAll([KEY], { workerId: WORKER }),
  pool: (client) => client.pool(KEY, [VALUE]),
  poolAdd: (client) => client.poolAdd(KEY, [VALUE]),
  limit: (client) => client.limit(KEY, 2),
  discard: (client) => client.discard(KEY, VALUE),
  clear: (client) => client.clear(KEY),
  describe: (client) => client.describe(KEY),
  leases: (client) => client.leases(KEY),
  getOrSet: (client) => client.getOrSet(KEY, TTL, never),
  waitFor: (client) => client.waitFor(KEY),
  watch: (client) => client.watch(KEY).next(),
  barrier: (client) => client.barrier(KEY, 2),
  throttle: (client) => client.throttle(KEY, { limit: 1, periodMs: 1000 }),
  ping: (client) => client.ping(),
  pingMs: (client) => client.pingMs(),
  stats: (client) => client.stats(),
  health: (client) => client.health(),
  metrics: (client) => client.metrics(),
};
/** What asks nobody. */
const SILENT = ['constructor', 'pipe', 'namespace', 'close'];

/** A refusal as a broker words it (PROTOCOL.md), with this status. */
const refusal = (status) => Buffer.from([8, 0, 0, 0, 1, status, 0, 0, 0, 0, 0, 0]);

/** What a real broker that knows the secret answered somebody else's hello. */
async function recordedHello(t) {
  const broker = startBroker(t, { secret: SECRET });
  const raw = await rawConnection(t, broker.pipe);
  raw.write(offerHello(3));
  const chunks = [];
  for (let size = 0; size < SERVER_HELLO_BYTES; size += chunks.at(-1).length) {
    const [chunk] = await once(raw.socket, 'data');
    chunks.push(chunk);
  }
  raw.socket.destroy();
  return Buffer.concat(chunks);
}

/** Makes every call, each over a connection of its own; resolves the codes of the errors. */
async function callEverything(t, pipe, timeout) {
  const outcomes = [];
  for (const [name, call] of Object.entries(CALLS)) {
    // Clients of one path share a connection.
    const own = `${pipe}-${name}`;
    fs.symlinkSync(pipe, own);
    const client = new PipeClient(own, { secret: SECRET, timeout });
    const outcome = (async () => call(client))().then(
      () => assert.fail(`${name} succeeded`),
      (error) => error,
    );
    outcomes.push(outcome.then((error) => ({ name, error })));
    outcome.finally(() => client.close());
  }
  return Promise.all(outcomes);
}

/** @param {Buffer[]} connections */
function assertHellosOnly(connections, least) {
  assert.ok(connections.length >= least, `${connections.length} connections`);
  for (const bytes of connections) {
    assert.equal(bytes.length, CLIENT_HELLO_BYTES);
    assert.equal(bytes.toString('latin1', 0, 4), 'EPB3');
    assert.doesNotMatch(bytes.toString('latin1'), HIDDEN);
  }
  const nonces = new Set(connections.map((bytes) => bytes.toString('hex', 6, 38)));
  assert.equal(nonces.size, connections.length, 'a random number came twice');
}

test('every call of a client is tried below', () => {
  const names = Object.getOwnPropertyNames(PipeClient.prototype);
  assert.deepEqual(
    names.filter((name) => !SILENT.includes(name)).sort(),
    Object.keys(CALLS).sort(),
  );
});

const IMPOSTORS = [
  ['one that is silent', 'silence', null, /^(timeout|broker_gone|aborted|wait_timeout)$/],
  ['one that answers noise', 'noise', null, /^auth_failed$/],
  ['one that reflects the hello', 'reflection', null, /^auth_failed$/],
  ['one that replays a real broker', 'given', recordedHello, /^auth_failed$/],
  ['one that asks for no secret', 'given', () => refusal(15), /^auth_required$/],
  ['one that feigns another version', 'given', () => refusal(28), /^version_mismatch$/],
  ['one that sends a byte', 'given', () => Buffer.from('E'), /^auth_failed$/],
];

for (const [what, answer, make, codes] of IMPOSTORS) {
  test(`${what} gets 44 bytes of every call`, async (t) => {
    const pipe = path.join(temporaryDirectory(t), 's');
    const bytes = make === null ? undefined : await make(t);
    const heard = await startImpostor(t, { pipe, answer, bytes });
    for (const { name, error } of await callEverything(
      t,
      pipe,
      answer === 'silence' ? 300 : 20_000,
    )) {
      assert.equal(error.name, 'BrokerError', `${name}: ${error.stack}`);
      assert.match(error.code, codes, name);
      assert.doesNotMatch(
        `${error.message} ${error.cause ?? ''}`,
        /value-nobody-sees|a secret for/,
      );
    }
    assertHellosOnly(await heard(), Object.keys(CALLS).length);
  });
}

/** Renewed three times as often. */
const RENEWED_TTL = stretched(900);
const SUCCESSORS = IMPOSTORS.filter(([what]) => /silent|noise|replays|no secret/.test(what));

/** Resolves when the clock of another broker has gone on by so much. */
async function untilLater(t, ms) {
  const client = startClient(t, startBroker(t));
  const alarm = client.watch('alarm');
  await alarm.ready;
  await client.set('alarm', VALUE, ms);
  for await (const { type } of alarm) if (type === 'expire') return;
}

/**
 * A client in the middle of everything: it holds leases that are renewed, waits, computes and watches.
 * Resolves what ends with its broker, and what it does of its own accord then.
 */
async function beBusy(client) {
  const lease = await client.number(KEY, { ttl: RENEWED_TTL });
  const lock = await client.acquireLock(KEY, { ttl: RENEWED_TTL });
  await client.lease(`${KEY} 2`, WORKER, TTL);
  const watch = client.watch(KEY);
  await watch.ready;
  let finish;
  const computed = new Promise((resolve) => {
    finish = () => resolve(VALUE);
  });
  const computing = await new Promise((begun) => {
    const result = client.getOrSet(`${KEY} 3`, TTL, () => {
      begun({ result });
      return computed;
    });
  });
  const other = { workerId: `${WORKER} 2` };
  const waits = Promise.allSettled([
    client.acquireLock(KEY, other),
    client.waitFor(`${KEY} 4`),
    client.barrier(KEY, 2),
    watch.next(),
    computing.result,
  ]);
  const before = Date.now() + RENEWED_TTL;
  const renewed = () => [lease, lock].every(({ expiresAt }) => expiresAt > before);
  await until(renewed, 'both are renewed');
  assert.equal(lease.lost || lock.lost, false);
  return { lease, lock, watch, waits, finish };
}

for (const [what, answer, make, codes] of SUCCESSORS) {
  test(`${what} takes a killed broker's place, and gets 44 bytes of all its client does`, async (t) => {
    const directory = temporaryDirectory(t);
    const program = await startProgram(
      t,
      { secret: SECRET, pipeId: 'killed' },
      { env: { TMPDIR: directory } },
    );
    const { pipe } = program;
    const options = { workerId: WORKER, timeout: answer === 'silence' ? 300 : 20_000 };
    const client = new PipeClient(pipe, { secret: SECRET, ...options });
    t.after(() => client.close());
    const { lease, lock, watch, waits, finish } = await beBusy(client);
    const bytes = make === null ? undefined : await make(t);
    const aside = path.join(directory, 'aside');
    const heard = await startImpostor(t, { pipe: aside, answer, bytes });
    // So there is no moment without a listener.
    fs.renameSync(aside, pipe);
    await program.kill();

    finish();
    const gone = new RegExp(`^broker_gone$|${codes.source}`);
    for (const { status, reason } of await waits) {
      assert.equal(status, 'rejected');
      assert.match(reason.code, gone, reason.stack);
    }
    const done = [lease.renew(), lease.release(), lock.renew(), lock.release(), watch.next()];
    const calls = Object.values(CALLS).map(async (call) => call(client));
    const settled = await Promise.allSettled([...done, ...calls]);
    for (const { reason } of settled.slice(done.length)) {
      assert.match(reason?.code ?? 'none', codes, reason?.stack);
    }
    assert.deepEqual([lease.lost, lock.lost], [true, true]);
    // Whatever was to be renewed would have been by now.
    await untilLater(t, RENEWED_TTL / 2);
    await client.close();
    assertHellosOnly(await heard(), 1);
  });
}

test('many calls at once wait for the proof, and none of them leaks', async (t) => {
  const pipe = path.join(temporaryDirectory(t), 's');
  const heard = await startImpostor(t, { pipe, answer: 'noise' });
  const client = new PipeClient(pipe, { secret: SECRET, timeout: 20_000 });
  const calls = Array.from({ length: 500 }, (_, i) => client.set(KEY, VALUE.repeat(100) + i, TTL));
  for (const outcome of await Promise.allSettled(calls)) {
    assert.equal(outcome.reason?.code, 'auth_failed');
  }
  assert.throws(() => client.getSync(KEY), withCode('auth_failed'));
  await client.close();
  assertHellosOnly(await heard(), 1);
});

/** What the calls of a client of an ordinary user fail with. */
async function refusals(t, pipe, secret) {
  const script = `
    const { PipeClient } = require(process.argv[1]);
    const { pipe, secret, key, value, ttl, worker } = JSON.parse(process.argv[2]);
    const reasons = async (at) => {
      const client = new PipeClient(at, { secret, timeout: 10_000, connectTimeout: 1000 });
      const calls = [
        () => client.set(key, value, ttl),
        () => client.getSync(key),
        () => client.leaseSync(key, worker, ttl),
      ];
      const all = [];
      for (const call of calls) {
        try {
          all.push((await call(), 'it went on'));
        } catch (error) {
          all.push(error.code + ': ' + error.message);
        }
      }
      await client.close();
      return all;
    };
    (async () => {
      // The user may not be able to read the files of the library: all that is needed is loaded first.
      await reasons(pipe + '-missing');
      process.setgid(65533);
      process.setuid(65533);
      process.send(await reasons(pipe));
    })();`;
  const data = { pipe, secret, key: KEY, value: VALUE, ttl: TTL, worker: WORKER };
  const args = ['-e', script, path.join(__dirname, '../../lib/index.js'), JSON.stringify(data)];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    cwd: '/',
  });
  t.after(() => child.kill('SIGKILL'));
  const [reasons] = await once(child, 'message');
  assert.equal(reasons.length, 3);
  return reasons;
}

test("another user's impostor hears nothing but hellos of root with a secret", async (t) => {
  if (process.getuid?.() !== 0) {
    t.skip('only root can become another user');
    return;
  }
  const directory = temporaryDirectory(t);
  fs.chmodSync(directory, 0o777);
  const pipe = path.join(directory, 's');
  const script = `
    process.setgid(65534);
    process.setuid(65534);
    let heard = 0;
    let connections = 0;
    const server = require('node:net').createServer((socket) => {
      connections++;
      socket.on('data', (chunk) => (heard += chunk.length));
      socket.on('error', () => {});
    });
    server.listen(process.argv[1], () => {
      require('node:fs').chmodSync(process.argv[1], 0o777);
      process.send('listening');
    });
    // The news of connections may come after that of the question.
    const tell = () =>
      connections === 0 ? setImmediate(tell) : process.send({ heard, connections });
    process.on('message', tell);
    process.on('disconnect', () => process.exit());
  `;
  const child = spawn(process.execPath, ['-e', script, pipe], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    cwd: '/',
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child, 'message');
  const told = async () => {
    child.send('tell');
    return (await once(child, 'message'))[0];
  };
  const refused = withCode('broker_gone', /another user/);
  const client = new PipeClient(pipe, { secret: null, timeout: 10_000 });
  t.after(() => client.close());
  await assert.rejects(client.set(KEY, VALUE, TTL), refused);
  assert.throws(() => client.getSync(KEY), refused);
  assert.throws(() => client.leaseSync(KEY, WORKER, TTL), refused);
  for (const secret of [SECRET, null]) {
    for (const reason of await refusals(t, pipe, secret)) assert.match(reason, /another user/);
  }
  const { heard, connections } = await told();
  assert.equal(heard, 0);
  assert.ok(connections > 0, 'nobody came by');

  // With a secret, root's client says hello to any user's broker, and waits for the proof.
  const sealed = new PipeClient(pipe, { secret: SECRET, timeout: 10_000, connectTimeout: 300 });
  t.after(() => sealed.close());
  await assert.rejects(sealed.set(KEY, VALUE, TTL), withCode('broker_gone'));
  const after = await told();
  assert.ok(
    after.heard > 0 && after.heard <= CLIENT_HELLO_BYTES * (after.connections - connections),
  );
});

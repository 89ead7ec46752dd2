/**
 * `epb pipe`: requests as JSON lines on its standard input, replies on its standard output.
 */
'use strict';

const assert = require('node:assert/strict');
const { after, before, describe, it } = require('node:test');
const { launchCli, runCli, standalone, until, runDirectly } = require('../helpers/cli.js');
const { PipeClient } = require('../../lib/index.js');

runDirectly();

/** One broker for all tests of this file; each uses keys of its own. */
let broker;
let client;
const cleanUps = [];
before(async () => {
  broker = await standalone({ after: (work) => cleanUps.push(work) });
  client = new PipeClient(broker.env.EPHEMERAL_PIPE, { secret: broker.env.EPHEMERAL_SECRET });
});
after(async () => {
  await client.close();
  for (const work of cleanUps.reverse()) await work();
});

/** Runs it with these lines as its whole input, and parses what it prints. */
async function exchange(lines, { env = {} } = {}) {
  const input = lines
    .map((line) => (typeof line === 'string' ? line : JSON.stringify(line)))
    .join('\n');
  const result = await runCli(['pipe'], { env: { ...broker.env, ...env }, input });
  const replies = result.stdout
    .trimEnd()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
  return { ...result, replies };
}

/** A running pipe, with its lines so far. */
class Session {
  constructor(t) {
    this.running = launchCli(['pipe'], { env: broker.env, input: null });
    t.after(() => this.running.child.kill());
  }

  send(request) {
    this.running.child.stdin.write(`${JSON.stringify(request)}\n`);
  }

  get lines() {
    const { stdout } = this.running;
    return stdout
      .slice(0, stdout.lastIndexOf('\n') + 1)
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  }

  /** The first line that has these members. */
  sees(members) {
    const fits = (line) => Object.entries(members).every(([name, value]) => line[name] === value);
    return until(
      () => this.lines.find(fits),
      () => `${JSON.stringify(members)} in ${this.running.stdout}`,
    );
  }

  async end() {
    this.running.child.stdin.end();
    const { code } = await this.running.closed;
    return code;
  }
}

describe('a whole input', () => {
  it('gets a reply for each line, in order without ids', async () => {
    const { code, stderr, replies } = await exchange([
      { action: 'set', key: 'k', value: { n: 1 }, ttl: 60_000 },
      { action: 'get', key: 'k' },
      { action: 'get', key: 'nothing at all' },
      { action: 'incr', key: 'n', ttl: 60_000 },
      { action: 'incr', key: 'n' },
    ]);
    assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual(
      replies.map(({ ok, value, error }) => [ok, value, error]),
      [
        [true, undefined, undefined],
        [true, { n: 1 }, undefined],
        [false, undefined, 'not_found'],
        [true, 1, undefined],
        [true, 2, undefined],
      ],
    );
  });

  it('answers lines that are no request, and loses nothing', async () => {
    const { replies } = await exchange([
      'this is no JSON',
      '[1]',
      '',
      '{"action":"no such action","id":7}',
      '{"action":"join","value":"0123456789abcdef","id":8}',
      '{"action":"watch"}',
      { action: 'ping', id: 'last' },
    ]);
    assert.deepEqual(
      replies.map(({ ok, id, error }) => [ok, id, error]),
      [
        [false, undefined, 'invalid_json'],
        [false, undefined, 'invalid_request'],
        [false, 7, 'unknown_action'],
        [false, 8, 'unknown_action'],
        [false, undefined, 'invalid_request'],
        [true, 'last', undefined],
      ],
    );
  });

  it('of thousands of lines is answered', async () => {
    const lines = Array.from({ length: 5000 }, (_, id) => ({
      action: 'incr',
      key: 'many',
      ttl: 60_000,
      id,
    }));
    const { replies } = await exchange(lines);
    assert.deepEqual(
      replies.map(({ id }) => id).sort((a, b) => a - b),
      lines.map(({ id }) => id),
    );
    assert.equal(await client.get('many'), 5000);
  });

  it('has reports, lists and descriptions', async () => {
    await client.pool('pipe:pool', ['a']);
    await client.set('pipe:value', 'v', 60_000);
    const { replies } = await exchange([
      { action: 'stats' },
      { action: 'health' },
      { action: 'metrics' },
      { action: 'list', prefix: 'pipe:' },
      { action: 'describe', key: 'pipe:pool' },
      { action: 'leases' },
    ]);
    const [stats, health, metrics, list, description, leases] = replies;
    assert.ok(stats.stats.items > 0);
    assert.equal(health.status, 'healthy');
    assert.match(metrics.metrics, /ephemeral_broker_/);
    assert.deepEqual(Object.keys(list.items), ['pipe:value']);
    assert.equal(description.kind, 'pool');
    assert.ok(Array.isArray(leases.leases));
  });

  it('has values that a program has compressed', async () => {
    const secret = broker.env.EPHEMERAL_SECRET;
    const zipping = new PipeClient(broker.env.EPHEMERAL_PIPE, { secret, compression: true });
    await zipping.set('zipped', 'x'.repeat(5000), 60_000);
    await zipping.close();
    const { replies } = await exchange([{ action: 'get', key: 'zipped' }]);
    assert.deepEqual(replies, [{ ok: true, value: 'x'.repeat(5000) }]);
  });

  it('waits for requests that wait before it ends', async () => {
    const { replies } = await exchange([
      { action: 'waitFor', key: 'given later', waitMs: 600_000, id: 'w' },
      { action: 'set', key: 'given later', value: 'now', ttl: 60_000, id: 's' },
    ]);
    const byId = Object.fromEntries(replies.map((reply) => [reply.id, reply]));
    assert.equal(byId.w.value, 'now');
    assert.equal(byId.s.ok, true);
  });

  it('refuses an id that is in use', async (t) => {
    const session = new Session(t);
    session.send({ action: 'waitFor', key: 'twice', waitMs: 600_000, id: 'a' });
    session.send({ action: 'ping', id: 'a' });
    await session.sees({ id: 'a', error: 'invalid_request' });
    await client.set('twice', 1, 60_000);
    await session.sees({ id: 'a', ok: true });
    assert.equal(await session.end(), 0);
  });
});

describe('a conversation', () => {
  it('has replies in any order, by their ids', async (t) => {
    const session = new Session(t);
    session.send({ action: 'waitFor', key: 'slow', waitMs: 600_000, id: 1 });
    session.send({ action: 'ping', id: 2 });
    await session.sees({ id: 2, ok: true });
    await client.set('slow', 'there', 60_000);
    assert.equal((await session.sees({ id: 1 })).value, 'there');
    session.send({ action: 'waitFor', key: 'never', waitMs: 600_000, id: 3 });
    session.send({ action: 'cancel', target: 3, id: 4 });
    assert.equal((await session.sees({ id: 4 })).cancelled, true);
    assert.equal((await session.sees({ id: 3 })).ok, false);
    assert.equal(await session.end(), 0);
  });

  it('has the events of a watch until it is cancelled', async (t) => {
    const session = new Session(t);
    session.send({ action: 'watch', prefix: 'seen:', id: 'w' });
    await session.sees({ id: 'w', ok: true });
    await client.set('seen:1', 1, 60_000);
    assert.equal((await session.sees({ event: 'set' })).key, 'seen:1');
    session.send({ action: 'cancel', target: 'w', id: 'c' });
    await session.sees({ id: 'c', ok: true });
    await client.set('seen:2', 1, 60_000);
    session.send({ action: 'ping', id: 'p' });
    await session.sees({ id: 'p' });
    assert.ok(!session.lines.some(({ key }) => key === 'seen:2'));
    assert.equal(await session.end(), 0);
  });

  it('holds its leases until it ends, and says when one is lost', async (t) => {
    await client.limit('held by pipe', 1);
    const session = new Session(t);
    session.send({ action: 'acquire', key: 'held by pipe', workerId: 'w', id: 1 });
    const { token } = await session.sees({ id: 1, ok: true });
    session.send({ action: 'lock', key: 'lost', workerId: 'w', id: 2 });
    await session.sees({ id: 2, ok: true });
    assert.equal(await client.release(undefined, 'lost', { force: true }), true);
    await session.sees({ event: 'lease_lost', key: 'lost' });
    const [lease] = await client.leases('held by pipe');
    assert.deepEqual([lease.token, lease.pid], [token, session.running.pid]);
    assert.equal(await session.end(), 0);
    await until(
      async () => (await client.leases('held by pipe')).length === 0,
      'it should be free',
    );
  });

  it('renews its leases', async (t) => {
    const session = new Session(t);
    const computeTtl = 2000;
    session.send({
      action: 'getOrSet',
      key: 'computed',
      workerId: 'w',
      ttl: 60_000,
      computeTtl,
      id: 2,
    });
    assert.equal((await session.sees({ id: 2 })).compute, true);
    const ageOf = async () => {
      const [lease] = await client.leases('computed');
      assert.ok(lease, 'it was lost');
      return Date.now() - lease.since;
    };
    await until(async () => (await ageOf()) > computeTtl, 'it should outlive its TTL');
    assert.equal(await session.end(), 0);
  });

  it('ends with its broker, after an error for what is in flight', async (t) => {
    const own = await standalone(t);
    const running = launchCli(['pipe'], { env: own.env, input: null });
    running.child.stdin.write(
      '{"action":"waitFor","key":"k","waitMs":600000,"id":1}\n{"action":"ping","id":2}\n',
    );
    await running.sees(/"id":2/);
    own.running.child.kill('SIGKILL');
    const { code } = await running.closed;
    assert.equal(code, 3);
    const last = JSON.parse(running.stdout.trimEnd().split('\n').pop());
    assert.deepEqual([last.id, last.error], [1, 'broker_gone']);
    assert.match(running.stderr, /^ephemeral-pipe-broker: pipe: The broker at .* went away/);
  });

  it('says why it cannot begin', async () => {
    const wrong = await exchange([], { env: { EPHEMERAL_SECRET: 'another secret' } });
    assert.deepEqual([wrong.code, wrong.stdout], [3, '']);
    assert.match(wrong.stderr, /same secret/);
  });
});

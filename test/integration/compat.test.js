/**
 * The reference implementation's own client, as it comes from the registry, against our broker.
 */
'use strict';

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const path = require('node:path');
const { describe, test } = require('node:test');
const { promisify } = require('node:util');
const { SECRET, startBroker, startClient, until } = require('../helpers/broker.js');

const TTL = 60_000;

async function referenceClient(pipe, options) {
  const { Client } = await import('@ephemeral-broker/core');
  // It takes CLIENT_TIMEOUT for milliseconds, whatever the unit.
  return new Client(pipe, { timeout: 120_000, ...options });
}

/** Rejects with an error whose message is the code: that is all the reference client tells. */
const says = (code) => ({ message: code });

const brokers = [
  ['without a secret', {}, {}],
  ['with legacyHmac and a secret', { secret: SECRET, legacyHmac: true }, { secret: SECRET }],
];

for (const [how, brokerOptions, clientOptions] of brokers) {
  describe(how, () => {
    async function pair(t, more = {}) {
      const broker = startBroker(t, { ...brokerOptions, ...more });
      const theirs = await referenceClient(broker.pipe, clientOptions);
      return { theirs, ours: startClient(t, broker), broker };
    }

    test('set, get, del', async (t) => {
      const { theirs } = await pair(t);
      for (const value of ['x', 5, true, null, [1, 'é'], { a: { b: '\u{1f600}' } }, '']) {
        assert.equal(await theirs.set('k', value, TTL), true);
        assert.deepEqual(await theirs.get('k'), value);
      }
      assert.equal(await theirs.del('k'), true);
      await assert.rejects(theirs.get('k'), says('not_found'));
      assert.equal(await theirs.del('k'), true, 'it resolves true whether or not there was one');
    });

    test('values below and above its threshold for compression', async (t) => {
      const { theirs, ours } = await pair(t);
      for (const size of [0, 1, 1021, 1022, 1023, 5000, 100_000, 262_142]) {
        const wide = Math.floor(size / 8);
        const value = 'é'.repeat(wide) + 'x'.repeat(size - 2 * wide);
        await theirs.set('theirs', value, TTL);
        assert.ok((await theirs.get('theirs')) === value, `${size}`);
        assert.ok((await ours.get('theirs')) === value, `ours of theirs, ${size}`);
        await ours.set('ours', value, TTL);
        assert.ok((await theirs.get('ours')) === value, `theirs of ours, ${size}`);
      }
    });

    test('what our client compressed, theirs reads', async (t) => {
      const { theirs, broker } = await pair(t);
      const zipping = startClient(t, broker, { compression: true });
      const value = { text: 'repeat '.repeat(2000) };
      await zipping.set('k', value, TTL);
      assert.deepEqual(await theirs.get('k'), value);
    });

    test('an uncompressed client of theirs', async (t) => {
      const { broker, ours } = await pair(t);
      const plain = await referenceClient(broker.pipe, { ...clientOptions, compression: false });
      const value = 'x'.repeat(50_000);
      await plain.set('k', value, TTL);
      assert.equal(await ours.get('k'), value);
      assert.equal(await plain.get('k'), value);
    });

    test('errors', async (t) => {
      const { theirs, broker } = await pair(t, { maxItems: 1 });
      const lax = await referenceClient(broker.pipe, {
        ...clientOptions,
        allowNoTtl: true,
        compression: false,
      });
      await assert.rejects(lax.set('k', 1), says('ttl_required'));
      await assert.rejects(theirs.get('no'), says('not_found'));
      await theirs.set('k', 1, TTL);
      await assert.rejects(theirs.set('more', 1, TTL), says('max_items'));
      await assert.rejects(lax.set('k', 'x'.repeat(300_000), TTL), says('too_large'));
      await assert.rejects(theirs.set('k', 'x'.repeat(300_000), TTL), says('too_large'));
      await assert.rejects(theirs.get(''), says('invalid_key'));
    });

    test('list', async (t) => {
      const { theirs } = await pair(t);
      assert.deepEqual(await theirs.list(), {});
      const before = Date.now();
      await theirs.set('a', 1, TTL);
      await theirs.set('__proto__x', 2, TTL);
      const items = await theirs.list();
      assert.deepEqual(Object.keys(items).sort(), ['__proto__x', 'a']);
      assert.equal(items.a.hasValue, true);
      assert.ok(Math.abs(items.a.expires - before - TTL) < 120_000);
    });

    test('ping, stats, health, metrics', async (t) => {
      const { theirs } = await pair(t);
      assert.ok(Math.abs((await theirs.ping()) - Date.now()) < 120_000);
      await theirs.set('k', 1, TTL);
      const stats = await theirs.stats();
      assert.equal(stats.items, 1);
      for (const name of ['items', 'leases', 'memory', 'uptime']) {
        assert.equal(typeof stats[name], 'number', name);
      }
      const health = await theirs.health();
      assert.equal(health.ok, true);
      assert.equal(health.status, 'healthy');
      assert.equal(typeof health.uptime, 'number');
      assert.match(await theirs.metrics(), /^# HELP ephemeral_broker_/m);
    });

    test('numbered slots: lease(key, workerId, ttl), release(workerId)', async (t) => {
      const { theirs, ours, broker } = await pair(t);
      const other = await referenceClient(broker.pipe, clientOptions);
      assert.equal(await theirs.lease('slot', 'a', TTL), 0);
      assert.equal(await other.lease('slot', 'b', TTL), 1);
      assert.equal(await other.lease('slot', 'a', TTL), 0, 'the same worker, wherever it asks');
      assert.equal(await ours.lease('slot', 'b'), 2, 'ours holds in the name of its connection');
      assert.equal(await theirs.lease('slot', 'c'), 3, 'without a TTL it is a minute');
      assert.equal(await other.release('a'), true);
      assert.equal(await theirs.release('a'), false);
      assert.equal(await ours.lease('slot', 'd'), 0);
      assert.equal((await theirs.stats()).leases, 4);
      assert.equal(
        await ours.lease('slot', 'b', { detached: true }),
        1,
        'without one, it is theirs',
      );
      assert.equal(await ours.release('b', 'slot', { detached: true }), true);
      await assert.rejects(theirs.release('b'), says('lease_held'), 'that of ours is not theirs');
    });

    test('what they lease ends with its TTL; what they may not have is an error', async (t) => {
      const { theirs, ours } = await pair(t);
      await ours.limit('one', 1);
      assert.equal(await theirs.lease('one', 'a', 30), 0);
      const start = performance.now();
      assert.equal(await ours.lease('one', 'b', { waitMs: 120_000 }), 0);
      assert.ok(performance.now() - start < 120_000);
      await assert.rejects(theirs.lease('one', 'a', TTL), says('lease_held'));
      await assert.rejects(theirs.release('b'), says('lease_held'));
      await assert.rejects(theirs.lease('one', 'a', -5), says('invalid_ttl'));
      assert.equal(await ours.release('b'), true);
      await ours.set('value', { port: 5 }, TTL);
      assert.deepEqual(await theirs.lease('value', 'a', TTL), { port: 5 });
    });

    test('singleLease: a worker of theirs has one lease, as they have it', async (t) => {
      const { theirs } = await pair(t, { singleLease: true });
      assert.equal(await theirs.lease('a', 'w', TTL), 0);
      assert.equal(await theirs.lease('a', 'w', TTL), 0);
      await assert.rejects(theirs.lease('b', 'w', TTL), says('worker_already_has_lease'));
      assert.equal(await theirs.lease('b', 'v', TTL), 0);
      assert.equal(await theirs.release('w'), true);
      assert.equal(await theirs.lease('b', 'w', TTL), 1);
    });

    test('a TTL of theirs runs out', async (t) => {
      const { theirs } = await pair(t);
      await theirs.set('k', 1, 20);
      await until(() => theirs.get('k').then(() => false, says.bind(null)), 'it is gone');
      await assert.rejects(theirs.get('k'), says('not_found'));
    });

    test('many at once', async (t) => {
      const { theirs } = await pair(t);
      const keys = Array.from({ length: 100 }, (_, i) => `k${i}`);
      await Promise.all(keys.map((key, i) => theirs.set(key, i, TTL)));
      const values = await Promise.all(keys.map((key) => theirs.get(key)));
      assert.deepEqual(
        values,
        keys.map((_, i) => i),
      );
    });
  });
}

test('a wrong secret, or none, is refused', async (t) => {
  const broker = startBroker(t, { secret: SECRET, legacyHmac: true });
  await startClient(t, broker).set('k', 1, TTL);
  for (const options of [{ secret: 'another secret' }, {}]) {
    const stranger = await referenceClient(broker.pipe, options);
    await assert.rejects(stranger.get('k'), (error) =>
      /^auth_(failed|required)$/.test(error.message),
    );
    await assert.rejects(stranger.ping(), (error) =>
      /^auth_(failed|required)$/.test(error.message),
    );
  }
});

test('without legacyHmac a broker with a secret does not serve it', async (t) => {
  const broker = startBroker(t, { secret: SECRET });
  const theirs = await referenceClient(broker.pipe, { secret: SECRET });
  await assert.rejects(theirs.get('k'), says('auth_required'));
});

/** What the reference's README shows, after the import: of its chapters Configuration to Performance Tuning. */
const EXAMPLES = `
  const { Broker, Client, checkReadiness } = require(${JSON.stringify(require.resolve('../..'))});
  const assert = require('node:assert/strict');
  const warnings = [];
  process.on('warning', ({ code, message }) => warnings.push({ code, message }));
  (async () => {
    const broker = new Broker({
      defaultTTL: 600000,
      maxItems: 10000,
      maxValueSize: 262144,
      maxRequestSize: 1048576,
      sweeperInterval: 30000,
      requireTTL: true,
      debug: false,
      secret: 'hmac-secret',
      compression: true,
      compressionThreshold: 1024,
      logLevel: 'info',
      structuredLogging: false,
      metrics: true,
      idleTimeout: 0,
      heartbeatInterval: 0,
    });
    const pipePath = await broker.start();
    const client = new Client(pipePath, {
      timeout: 120000,
      debug: false,
      allowNoTtl: false,
      secret: 'hmac-secret',
      compression: true,
      compressionThreshold: 1024,
    });
    await client.set('foo', 'bar', 60000);
    assert.equal(await client.get('foo'), 'bar');
    await client.lease('publisher-api', process.env.WORKER_ID ?? 'w');
    const health = await client.health();
    assert.equal(health.status, 'healthy');
    assert.equal(health.capacity.maxItems, 10000);
    const stats = await client.stats();
    assert.equal(stats.items, 1);
    assert.match(await client.metrics(), /^# HELP ephemeral_broker_/);
    const low = new Client(pipePath, { timeout: 120000, compression: false, secret: 'hmac-secret' });
    await low.set('apiToken', 'token', 60000);
    await low.set('lastBuild', Date.now(), 60000);
    assert.equal(typeof (await low.get('lastBuild')), 'number');
    await broker.stop();

    for (const options of [
      { maxItems: 50000, maxValueSize: 10240, compression: false, sweeperInterval: 60000 },
      { maxItems: 1000, maxValueSize: 1048576, compression: true, compressionThreshold: 512 },
      { maxItems: 1000, defaultTTL: 600000, logLevel: 'debug', log: (record) => records.push(record) },
    ]) {
      const records = options.log ? (globalThis.records = []) : [];
      const another = new Broker({ secret: null, ...options });
      await another.start();
      assert.equal(await checkReadiness(), true);
      const seed = new Client(process.env.EPHEMERAL_PIPE);
      await seed.set('testBaseUrl', 'http://localhost', 600000);
      // logLevel: debug. The log comes from another thread.
      const isLogged = () => records.some(({ event }) => event === 'request');
      while (options.log && !isLogged()) await new Promise(setImmediate);
      await another.stop();
    }
    assert.equal(await checkReadiness('/nowhere', 100), false);
    await new Promise(setImmediate);
    console.log(JSON.stringify(warnings));
  })();`;

test('programs of theirs go on after changing the import, with one warning', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', EXAMPLES]);
  // The machine may warn, too: of memory that can't be locked.
  const warnings = JSON.parse(stdout).filter(({ code }) => code === 'EPB_OPTION');
  assert.equal(warnings.length, 1);
  const left = /leaves out .*compression \(.*, logLevel \(.*, structuredLogging \(.*, metrics \(/;
  assert.match(warnings[0].message, left);
});

/** Each option that the reference's classes have, in its types or with a default, as a program would give it. */
const OPTIONS = `
  const fs = require('node:fs');
  const { Broker, Client } = require(${JSON.stringify(require.resolve('../..'))});
  const warnings = [];
  process.on('warning', ({ code, message }) => warnings.push({ code, message }));
  const GIVEN = { pipeId: 'compat', secret: 'a secret', metrics: true, logLevel: 'warn' };
  const folder = ${JSON.stringify(path.join(__dirname, '../../node_modules/@ephemeral-broker/core/src/'))};
  (async () => {
    const theirs = await import('@ephemeral-broker/core');
    const tried = {};
    const defaults = { broker: new theirs.Broker().options, client: new theirs.Client('none').options };
    for (const [kind, make] of [
      ['broker', (options) => new Broker(options)],
      ['client', (options) => new Client('none', options)],
    ]) {
      const types = fs.readFileSync(folder + kind + '.d.ts', 'utf8');
      const declared = /interface \\w+Options \\{([^}]*)\\}/.exec(types)[1].match(/\\w+(?=\\?:)/g);
      tried[kind] = [...new Set([...declared, ...Object.keys(defaults[kind])])].sort();
      for (const name of tried[kind]) make({ [name]: GIVEN[name] ?? defaults[kind][name] });
      make(defaults[kind]);
    }
    await new Promise(setImmediate);
    console.log(JSON.stringify({ tried, warnings }));
  })();`;

test('each option of theirs is taken, or left out, with one warning in all', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', OPTIONS]);
  const { tried, warnings } = JSON.parse(stdout);
  assert.ok(tried.broker.length >= 17, tried.broker.join());
  assert.ok(tried.client.length >= 6, tried.client.join());
  assert.equal(warnings.filter(({ code }) => code === 'EPB_OPTION').length, 1);
});

/** Asks a broker and a client of one package what docs/migration.md says of both. */
const DIFFERENCES = (from) => `
  (async () => {
    const { Broker, Client } = await import(${JSON.stringify(from)});
    const broker = new Broker({ secret: null, logLevel: 'error' });
    const client = new Client(await broker.start(), { timeout: 120000, compression: false });
    await client.set('k', 1, 60000);
    const kind = (value) => (Array.isArray(value) ? 'array' : typeof value);
    const shown = {
      list: await client.list().then((all) => [kind(all), Object.keys(Object.values(all)[0]).sort()]),
      ping: kind(await client.ping()),
      del: await client.del('nothing'),
      lossy: await client.set('m', new Map([[1, 2]]), 60000).catch(({ code }) => code),
      missing: await client.get('nothing').catch(({ code, message }) => [code, message === 'not_found']),
      memory: kind((await client.stats()).memory),
      leases: [await client.lease('a', 'w', 60000)],
    };
    shown.leases.push(await client.lease('b', 'w', 60000).catch(({ message }) => message));
    await broker.stop();
    console.log(JSON.stringify(shown));
    process.exit();
  })();`;

test('the differences are those of docs/migration.md', async () => {
  const ask = async (from) => {
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', DIFFERENCES(from)], {
      cwd: path.join(__dirname, '../..'),
    });
    return JSON.parse(stdout.trim().split('\n').at(-1));
  };
  assert.deepEqual(await ask('@ephemeral-broker/core'), {
    list: ['object', ['expires', 'hasValue']],
    ping: 'number',
    del: true,
    lossy: true,
    missing: [null, true],
    memory: 'object',
    leases: [0, 'worker_already_has_lease'],
  });
  assert.deepEqual(await ask('ephemeral-pipe-broker'), {
    list: ['array', ['key', 'size', 'ttl', 'version']],
    ping: 'boolean',
    del: false,
    lossy: 'invalid_value',
    missing: ['not_found', false],
    memory: 'number',
    leases: [0, 0],
  });
});

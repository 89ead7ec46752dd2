'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const {
  PipeClient,
  SECRET,
  randomFrom,
  startBroker,
  startClient,
  startPair,
  withCode,
} = require('../helpers/broker.js');
const { MAGIC, rawConnection, requestFrame } = require('../helpers/wire.js');
const { load } = require('../../lib/binding.js');

const TTL = 60_000;
const binding = load();
const { actions, flags } = binding;
const STATUS = Object.fromEntries(binding.statuses.map(({ code, number }) => [code, number]));

/** Runs `attack` while somebody else uses the broker; that must not notice. */
async function whileServing(client, attack) {
  let done = false;
  const served = (async () => {
    let count = 0;
    while (!done) {
      assert.equal(await client.incr('served', 1, TTL), ++count);
      // Leave the event loop to the attack.
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
    return count;
  })();
  try {
    await attack();
  } finally {
    done = true;
  }
  assert.ok((await served) > 0);
  await client.del('served');
}

describe('secrets', () => {
  const cases = [
    ['a wrong secret', SECRET, 'another secret', 'auth_failed', /do not have the same secret/],
    ['no secret', SECRET, null, 'auth_required', /set EPHEMERAL_SECRET/],
    ['a secret for a broker without one', null, SECRET, 'auth_failed', /same secret/],
  ];
  for (const [what, brokers, clients, code, pattern] of cases) {
    test(`${what}: ${code} for every call, at once`, async (t) => {
      const broker = startBroker(t, { secret: brokers });
      const stranger = new PipeClient(broker.pipe, { secret: clients, timeout: 60_000 });
      t.after(() => stranger.close());
      await whileServing(startClient(t, broker), async () => {
        for (let round = 0; round < 3; round++) {
          const calls = [stranger.get('k'), stranger.set('k', 'v', TTL), stranger.stats()];
          for (const call of calls) await assert.rejects(call, withCode(code, pattern));
        }
        assert.throws(() => stranger.getSync('k'), withCode(code));
      });
      assert.equal(await startClient(t, broker).has('k'), false);
    });
  }

  test('errors name neither the secret nor the value', async (t) => {
    const broker = startBroker(t, { secret: SECRET });
    const stranger = new PipeClient(broker.pipe, { secret: 'another secret' });
    t.after(() => stranger.close());
    const error = await stranger.set('k', 'hunter2', TTL).catch((caught) => caught);
    const shown = require('node:util').inspect(error, { depth: 10, showHidden: true });
    assert.doesNotMatch(shown, /hunter2|another secret|a secret for tests/);
  });
});

describe('frames', () => {
  async function open(t, broker) {
    const raw = await rawConnection(t, broker.pipe);
    raw.write(MAGIC);
    return raw;
  }

  const wrong = [
    ['an action that is none', { action: 200 }, 'unknown_action'],
    ['action 0', { action: 0 }, 'unknown_action'],
    ['get without a key', { action: actions.get }, 'invalid_key'],
    ['get with a value', { action: actions.get, key: 'k', value: '1' }, 'invalid_request'],
    [
      'get with a TTL',
      { action: actions.get, key: 'k', flags: flags.ttl, numbers: [5] },
      'invalid_request',
    ],
    [
      'set without a value',
      { action: actions.set, key: 'k', flags: flags.ttl, numbers: [5] },
      'invalid_value',
    ],
    ['set without a TTL', { action: actions.set, key: 'k', value: '1' }, 'ttl_required'],
    [
      'set with TTL 0',
      { action: actions.set, key: 'k', value: '1', flags: flags.ttl, numbers: [0] },
      'invalid_ttl',
    ],
    [
      'set with TTL -1',
      { action: actions.set, key: 'k', value: '1', flags: flags.ttl, numbers: [-1] },
      'invalid_ttl',
    ],
    ['an unknown flag', { action: actions.ping, flags: 0x8000 }, 'invalid_request'],
    ['ping with a worker', { action: actions.ping, worker: 'w' }, 'invalid_request'],
    ['a key that is no UTF-8', { action: actions.get, key: Buffer.from([0xff]) }, 'invalid_key'],
    ['a key of 513 bytes', { action: actions.get, key: 'x'.repeat(513) }, 'invalid_key'],
    [
      'text that is no UTF-8',
      {
        action: actions.set,
        key: 'k',
        value: Buffer.from([0xff]),
        flags: flags.ttl,
        numbers: [TTL],
      },
      'invalid_value',
    ],
    [
      'gzip that is none',
      {
        action: actions.set,
        key: 'k',
        value: 'x'.repeat(30),
        flags: flags.ttl | flags.gzip,
        numbers: [TTL],
      },
      'invalid_value',
    ],
  ];
  for (const [what, request, code] of wrong) {
    test(`${what}: ${code}, and the connection goes on`, async (t) => {
      const { broker, client } = startPair(t);
      const raw = await open(t, broker);
      await whileServing(client, async () => {
        raw.write(requestFrame({ ...request, id: 77 }));
        raw.write(requestFrame({ action: actions.ping, id: 78 }));
        const refused = await raw.reply();
        assert.deepEqual([refused.id, refused.status], [77, STATUS[code]]);
        assert.equal(refused.body.length, 0);
        const pong = await raw.reply();
        assert.deepEqual([pong.id, pong.status], [78, STATUS.ok]);
      });
    });
  }

  test('another version: version_mismatch, and closed', async (t) => {
    const { broker, client } = startPair(t);
    await whileServing(client, async () => {
      const raw = await open(t, broker);
      const frame = requestFrame({ action: actions.ping, id: 5 });
      frame[4] = 9;
      raw.write(frame);
      assert.equal((await raw.reply()).status, STATUS.version_mismatch);
      assert.equal(await raw.reply(), null);
      const other = await rawConnection(t, broker.pipe);
      other.write('EPB7');
      assert.equal((await other.reply()).status, STATUS.version_mismatch);
      assert.equal(await other.reply(), null);
    });
  });

  test('lengths inside that contradict the frame: invalid_request', async (t) => {
    const { broker } = startPair(t);
    const raw = await open(t, broker);
    const frame = requestFrame({ action: actions.get, key: 'k', id: 9 });
    frame.writeUInt16LE(500, 12);
    raw.write(frame);
    const reply = await raw.reply();
    assert.deepEqual([reply.id, reply.status], [9, STATUS.invalid_request]);
  });

  test('a frame beyond maxRequestSize: too_large, without waiting for its end', async (t) => {
    const { broker, client } = startPair(t, { maxRequestSize: 4096 });
    await whileServing(client, async () => {
      const raw = await open(t, broker);
      const frame = requestFrame({ action: actions.set, key: 'k', id: 6, value: 'x'.repeat(5000) });
      raw.write(frame.subarray(0, 100));
      const reply = await raw.reply();
      assert.equal(reply.status, STATUS.too_large);
      assert.equal(reply.id, 6);
    });
    // Others that share the connection lose nothing by it.
    const others = [client.set('before', 1, TTL), client.ping()];
    const oversize = client.set('k', 'x'.repeat(5000), TTL);
    others.push(client.get('before'), client.ping());
    await assert.rejects(oversize, withCode('too_large'));
    assert.deepEqual(await Promise.all(others), [true, true, 1, true]);
  });

  test('a request split at every byte', async (t) => {
    const { broker, client } = startPair(t);
    const set = requestFrame({
      action: actions.set,
      key: 'k',
      id: 1,
      value: '"v"',
      flags: flags.ttl,
      numbers: [TTL],
    });
    const get = requestFrame({ action: actions.get, key: 'k', id: 2 });
    const stream = Buffer.concat([MAGIC, set, get]);
    for (let at = 1; at < stream.length; at++) {
      const raw = await rawConnection(t, broker.pipe);
      raw.write(stream.subarray(0, at));
      // By then the broker has seen the first part.
      await client.ping();
      raw.write(stream.subarray(at));
      assert.equal((await raw.reply()).status, STATUS.ok, `split at ${at}`);
      const reply = await raw.reply();
      assert.equal(reply.body.toString(), '"v"', `split at ${at}`);
      raw.socket.destroy();
    }
  });

  test('a request byte by byte', async (t) => {
    const { broker, client } = startPair(t);
    const raw = await rawConnection(t, broker.pipe);
    const stream = Buffer.concat([MAGIC, requestFrame({ action: actions.has, key: 'k', id: 3 })]);
    for (const byte of stream) {
      raw.write(Buffer.from([byte]));
      await client.ping();
    }
    assert.deepEqual((await raw.reply()).numbers, [0]);
  });

  test('5,000 requests in one write: every reply has its id, in order', async (t) => {
    const { broker } = startPair(t, { maxItems: 0 });
    const raw = await open(t, broker);
    const frames = [];
    for (let i = 0; i < 5000; i++) {
      const request = {
        action: actions.incr,
        key: `k${i % 10}`,
        id: i + 1,
        flags: flags.ttl | flags.count,
      };
      frames.push(requestFrame({ ...request, numbers: [TTL, 1] }));
    }
    raw.write(Buffer.concat(frames));
    for (let i = 0; i < 5000; i++) {
      const reply = await raw.reply();
      assert.deepEqual([reply.id, reply.numbers.at(-1)], [i + 1, Math.floor(i / 10) + 1]);
    }
  });

  test('half a frame, then gone: nothing happens', async (t) => {
    const { broker, client } = startPair(t);
    await whileServing(client, async () => {
      for (let at = 1; at < 30; at++) {
        const raw = await open(t, broker);
        const frame = requestFrame({
          action: actions.set,
          key: 'half',
          value: '1'.repeat(30),
          flags: flags.ttl,
          numbers: [TTL],
        });
        raw.socket.end(frame.subarray(0, at));
        assert.equal((await raw.rest()).length, 0);
      }
    });
    assert.equal(await client.has('half'), false);
  });
});

describe('JSON lines', () => {
  const wrong = [
    ['null', 'invalid_request'],
    ['5', 'invalid_request'],
    ['[]', 'invalid_request'],
    ['"x"', 'invalid_request'],
    ['{}', 'invalid_request'],
    ['{"action":5}', 'invalid_request'],
    ['{"action":"nonsense"}', 'unknown_action'],
    ['{"action":"get"', 'invalid_json'],
    ['{"action":"get"}', 'invalid_key'],
    ['{"action":"get","key":5}', 'invalid_key'],
    ['{"action":"get","key":""}', 'invalid_key'],
    ['{"action":"get","key":"\\ud800"}', 'invalid_key'],
    ['{"action":"set","key":"k","ttl":1000}', 'invalid_value'],
    ['{"action":"set","key":"k","value":"\\ud800","ttl":1000}', 'invalid_value'],
    ['{"action":"set","key":"k","value":1}', 'ttl_required'],
    ['{"action":"set","key":"k","value":1,"ttl":"1000"}', 'invalid_ttl'],
    ['{"action":"set","key":"k","value":1,"ttl":0}', 'invalid_ttl'],
    ['{"action":"set","key":"k","value":1,"ttl":-5}', 'invalid_ttl'],
    [
      `{"action":"set","key":"k","ttl":5,"value":${'['.repeat(100)}${']'.repeat(100)}}`,
      'invalid_json',
    ],
  ];
  for (const [line, code] of wrong) {
    // What does not begin with a brace is not taken for JSON lines at all, unless lines came before.
    test(`${line.slice(0, 60)}: ${code}, and the connection goes on`, async (t) => {
      const { broker, client } = startPair(t);
      await whileServing(client, async () => {
        const raw = await rawConnection(t, broker.pipe);
        raw.write(`{"action":"ping"}\n${line}\n{"action":"ping","id":"after"}\n`);
        assert.equal((await raw.line()).ok, true);
        const reply = await raw.line();
        assert.equal(reply.ok, false);
        assert.equal(reply.error, code);
        assert.equal(typeof reply.message, 'string');
        const after = await raw.line();
        assert.deepEqual([after.ok, after.id], [true, 'after']);
      });
    });
  }

  test('a line beyond maxRequestSize: too_large, and closed', async (t) => {
    const { broker, client } = startPair(t, { maxRequestSize: 4096 });
    await whileServing(client, async () => {
      const raw = await rawConnection(t, broker.pipe);
      raw.write(`{"action":"set","key":"k","value":"${'x'.repeat(5000)}`);
      const { ok, error, size, limit, option } = await raw.line();
      assert.deepEqual([ok, error, limit], [false, 'too_large', 4096]);
      assert.equal(option, 'maxRequestSize');
      assert.ok(size > 4096 && size <= 5050, `${size}`);
      assert.equal(await raw.line(), null);
    });
  });

  test('a line split at every byte', async (t) => {
    const { broker, client } = startPair(t);
    await client.set('ké', 'v', TTL);
    const line = Buffer.from('{"action":"get","key":"ké","id":7}\n');
    for (let at = 1; at < line.length; at++) {
      const raw = await rawConnection(t, broker.pipe);
      raw.write(line.subarray(0, at));
      await client.ping();
      raw.write(line.subarray(at));
      const reply = await raw.line();
      assert.deepEqual([reply.ok, reply.id, reply.value], [true, 7, 'v'], `split at ${at}`);
      raw.socket.destroy();
    }
  });

  test('a broker with a secret refuses them, and says why', async (t) => {
    const { broker, client } = startPair(t, { secret: SECRET });
    await client.set('k', 'the value', TTL);
    await whileServing(client, async () => {
      const raw = await rawConnection(t, broker.pipe);
      raw.write('{"action":"get","key":"k"}\n');
      const refusal = await raw.line();
      assert.equal(refusal.error, 'auth_required');
      assert.match(refusal.message, /--no-auth or --legacy-hmac/);
      assert.equal(await raw.line(), null);
      const bare = await rawConnection(t, broker.pipe);
      bare.write(MAGIC);
      bare.write(requestFrame({ action: actions.get, key: 'k' }));
      assert.equal((await bare.reply()).status, STATUS.auth_required);
      assert.equal(await bare.reply(), null);
    });
  });

  test('frames and lines are one store', async (t) => {
    const { broker, client } = startPair(t);
    const raw = await rawConnection(t, broker.pipe);
    await client.set('bytes', Buffer.from([0, 255]), TTL);
    raw.write('{"action":"get","key":"bytes"}\n');
    const reply = await raw.line();
    assert.deepEqual([reply.value, reply.encoding], ['AP8=', 'base64']);
    raw.write('{"action":"set","key":"back","value":"AP8=","encoding":"base64","ttl":60000}\n');
    assert.equal((await raw.line()).ok, true);
    assert.deepEqual(await client.get('back'), Buffer.from([0, 255]));
    raw.write('{"action":"set","key":"json","value": { "a" : [ 1 , "\\u00e9" ] } ,"ttl":60000}\n');
    assert.equal((await raw.line()).ok, true);
    assert.deepEqual(await client.get('json'), { a: [1, 'é'] });
  });
});

describe('garbage', () => {
  for (const secret of [null, SECRET]) {
    test(`random bytes ${secret === null ? 'without' : 'with'} a secret: closed or answered, and the rest served`, async (t) => {
      const { broker, client } = startPair(t, { secret });
      const seed = Date.now() >>> 0;
      t.diagnostic(`seed ${seed}`);
      const random = randomFrom(seed);
      await whileServing(client, async () => {
        for (let i = 0; i < 63; i++) {
          const starts = [
            '',
            'EPB0',
            'EPB1',
            'EPB2',
            'EPB3',
            'EPB3\x26\0',
            'EPBM',
            '{',
            'GET / HTTP/1.1\r\n',
          ];
          const start = starts[i % starts.length];
          const noise = Buffer.from(
            Array.from({ length: Math.floor(random() * 400) }, () => random() * 256),
          );
          const raw = await rawConnection(t, broker.pipe);
          raw.socket.end(Buffer.concat([Buffer.from(start), noise]));
          await raw.rest();
        }
      });
      assert.deepEqual(await client.list(), []);
    });
  }
});

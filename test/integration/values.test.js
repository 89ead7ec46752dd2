'use strict';

const assert = require('node:assert/strict');
const vm = require('node:vm');
const zlib = require('node:zlib');
const { test } = require('node:test');
const {
  randomFrom,
  startBroker,
  startClient,
  startPair,
  withCode,
} = require('../helpers/broker.js');
const { rawConnection } = require('../helpers/wire.js');
const values = require('../../lib/client/values.js');

const TTL = 60_000;

async function roundTrip(client, value) {
  await client.set('k', value, TTL);
  return client.get('k');
}

test('every kind of JSON value comes back as it was', async (t) => {
  const { client } = startPair(t);
  const all = [
    null,
    true,
    false,
    0,
    -1,
    1.5,
    1e300,
    2 ** 53 - 1,
    '',
    'x',
    [],
    {},
    [null],
    { a: { b: [{}] } },
  ];
  for (const value of all) assert.deepEqual(await roundTrip(client, value), value);
  assert.ok(Object.is(await roundTrip(client, 5e-324), 5e-324));
});

test('every character there is comes back', async (t) => {
  const { client } = startPair(t);
  const chunk = 40_000;
  for (let from = 0; from <= 0x10ffff; from += chunk) {
    let text = '';
    for (let point = from; point < Math.min(from + chunk, 0x110000); point++) {
      if (point < 0xd800 || point > 0xdfff) text += String.fromCodePoint(point);
    }
    assert.ok((await roundTrip(client, text)) === text, `from ${from}`);
  }
});

test('half a surrogate pair is refused, wherever it is; what only looks like one is not', async (t) => {
  const { client } = startPair(t);
  const halves = ['\ud800', 'a\udfffb', '\udc00\ud800', '\\\ud800', '\ud83d\ud83d\ude00'];
  for (const half of halves) {
    for (const value of [half, [half], { a: half }, { [half]: 1 }]) {
      await assert.rejects(client.set('k', value, TTL), withCode('invalid_value', /surrogate/));
    }
  }
  for (const text of [
    '\\ud800',
    '\\\\ud800',
    '\\\\\\udc00',
    '"\\ud83d"',
    '\ud83d\ude00',
    '\\u',
    '\\ud8',
  ]) {
    assert.equal(await roundTrip(client, text), text);
  }
});

test('what JSON cannot hold is refused before it is sent', async (t) => {
  const { client } = startPair(t);
  const circular = {};
  circular.self = circular;
  const refused = [
    undefined,
    () => 1,
    Symbol('s'),
    10n,
    { a: 10n },
    circular,
    NaN,
    Infinity,
    { toJSON: () => undefined },
    {
      toJSON() {
        throw new Error('no');
      },
    },
    new Map([[1, 2]]),
    new Set([1]),
    Promise.resolve(1),
    new Uint16Array(2),
    new DataView(new ArrayBuffer(2)),
    new ArrayBuffer(2),
  ];
  for (const value of refused) {
    await assert.rejects(client.set('k', value, TTL), withCode('invalid_value', /^set "k": /));
  }
  assert.equal(await client.has('k'), false);
});

test('an error about a value does not show the value', async (t) => {
  const { client } = startPair(t);
  const value = { password: 'hunter2', n: 1n };
  await assert.rejects(
    client.set('k', value, TTL),
    (error) => !JSON.stringify(error.message).includes('hunter2'),
  );
});

test('objects follow the rules of JSON', async (t) => {
  const { client } = startPair(t);
  const date = new Date(0);
  assert.equal(await roundTrip(client, date), date.toJSON());
  assert.deepEqual(await roundTrip(client, { at: date, a: undefined, [Symbol('s')]: 1 }), {
    at: date.toJSON(),
  });
  const own = { toJSON: () => 'own', more: new Map(), again: null };
  own.again = own;
  assert.equal(await roundTrip(client, own), 'own');
  assert.deepEqual(await roundTrip(client, { url: new URL('http://x/'), own: [own] }), {
    url: 'http://x/',
    own: ['own'],
  });
});

class User {
  name = 'ann';
}
class List extends Array {}

/** What JSON would lose, and what an error calls it. */
const LOSSES = [
  [NaN, 'NaN'],
  [-Infinity, '-Infinity'],
  [() => 1, 'a function'],
  [Symbol('s'), 'a symbol'],
  [10n, 'a BigInt. '],
  [new Map([[1, 2]]), 'a Map. '],
  [new Set([1]), 'a Set. '],
  [new WeakMap(), 'a WeakMap. '],
  [Promise.resolve(1), 'a Promise. Await it first'],
  [Buffer.from('x'), 'a Buffer. '],
  [new Uint8Array(2), 'a Uint8Array. '],
  [new ArrayBuffer(2), 'an ArrayBuffer. '],
  [new DataView(new ArrayBuffer(2)), 'a DataView. '],
  [new Error('hunter2'), 'an Error. '],
  [new RangeError('hunter2'), 'a RangeError. '],
  [new Date(NaN), 'an invalid Date'],
  [new Number(NaN), 'a Number. '],
  [new String('hunter2'), 'a String. '],
  [/hunter2/, 'a RegExp. '],
  [new URLSearchParams('a=1'), 'a URLSearchParams. '],
  [new User(), 'a User. '],
  [List.from([1]), 'a List. '],
  [Object.create({ inherited: 1 }), 'an object with its own prototype. '],
  [{ [Symbol('s')]: 1 }, 'an object whose only keys are symbols. '],
];

test('what JSON would lose is refused at any depth, with its path', async (t) => {
  const { client } = startPair(t);
  const places = [
    [(lost) => ({ lost }), '$.lost'],
    [(lost) => [1, lost], '$[1]'],
    [(lost) => ({ user: { tokens: [{ a: 1, 'a b': lost }] } }), '$.user.tokens[0]["a b"]'],
    [(lost) => Object.assign(Object.create(null), { lost }), '$.lost'],
  ];
  for (const [lost, what] of LOSSES) {
    for (const [put, path] of places) {
      await assert.rejects(client.set('k', put(lost), TTL), (error) => {
        assert.equal(error.code, 'invalid_value');
        const told = `set "k": A value is any JSON value, or bytes: ${path}: ${what}`;
        assert.ok(error.message.startsWith(told), `${error.message} ${told}`);
        return !error.message.includes('hunter2');
      });
    }
  }
  await assert.rejects(client.set('k', [1, undefined], TTL), /\$\[1\]: undefined/);
  // eslint-disable-next-line no-sparse-arrays
  await assert.rejects(client.set('k', { a: [1, , 3] }, TTL), /\$\.a\[1\]: undefined/);
  await assert.rejects(client.pool('p', [{ a: new Set() }]), /invalid_value|\$\.a: a Set/);
  assert.equal(await client.has('k'), false);
});

const failing = () => {
  throw new Error('hunter2');
};
const circular = { list: [{}] };
circular.list[0].back = circular.list;

/** What only reading a value, or its toJSON, tells. */
const TOLD = [
  [{ a: { toJSON: () => NaN } }, '$.a: NaN'],
  [{ a: [{ toJSON: () => ({ b: [0, Infinity] }) }] }, '$.a[0].b[1]: Infinity'],
  [[{ toJSON: () => undefined }], '$[0]: undefined'],
  [{ a: { toJSON: () => new Date(0) } }, '$.a: a Date. '],
  [{ a: { toJSON: () => new User() } }, '$.a: a User. '],
  [{ a: { toJSON: failing } }, '$.a: its toJSON failed'],
  [{ a: [Object.defineProperty({}, 'toJSON', { value: () => NaN })] }, '$.a[0]: NaN'],
  [
    { a: Object.defineProperty(new Date(0), 'toISOString', { value: () => -Infinity }) },
    '$.a: -Inf',
  ],
  [{ a: Object.assign(() => 1, { toJSON: () => 1n }) }, '$.a: a BigInt. '],
  [{ a: Object.defineProperty([0], 0, { get: failing }) }, '$.a[0]: reading it failed'],
  [{ b: { get a() { return failing(); } } }, '$.b.a: reading it failed'], // prettier-ignore
  [{ a: [new Proxy({}, { ownKeys: failing })] }, '$.a[0]: reading it failed'],
  [circular, '$.list[0].back: a circular reference'],
  [{ a: ['\ud800'] }, '$.a[0]: half a surrogate pair'],
  [{ a: { '\udc00': 1 } }, '$.a: half a surrogate pair'],
];

test('what reading a value tells is refused with its path, too', async (t) => {
  const { client } = startPair(t);
  for (const [value, what] of TOLD) {
    await assert.rejects(client.set('k', value, TTL), (error) => {
      assert.equal(error.code, 'invalid_value');
      const told = `set "k": A value is any JSON value, or bytes: ${what}`;
      assert.ok(error.message.startsWith(told), `${error.message} ${told}`);
      return !error.message.includes('hunter2');
    });
  }
  assert.equal(await client.has('k'), false);
});

test('a toJSON is asked once, and so is a getter that leads to it', async (t) => {
  const { client } = startPair(t);
  let asked = 0;
  const value = { a: { toJSON: () => ++asked }, b: [{ toJSON: (key) => key }] };
  assert.deepEqual(await roundTrip(client, value), { a: 1, b: ['0'] });
  assert.deepEqual(await client.getOrSet('n', TTL, () => ({ a: { toJSON: () => ++asked } })), {
    a: 2,
  });
});

test('-0 is a number like any other', async (t) => {
  const { client } = startPair(t);
  assert.ok(Object.is(await roundTrip(client, -0), -0));
  const value = { a: [-0, 0, { b: -0 }], text: '-0' };
  assert.deepStrictEqual(await roundTrip(client, value), value);
});

test('plain objects and arrays of another realm are plain', async (t) => {
  const { client } = startPair(t);
  const made =
    '({ a: [{ b: null, c: [1, "x"] }], d: Object.assign(Object.create(null), { e: 1 }) })';
  const expected = { a: [{ b: null, c: [1, 'x'] }], d: { e: 1 } };
  assert.deepEqual(await roundTrip(client, vm.runInNewContext(made)), expected);
  for (const lost of ['new Map()', 'new (class User {})', 'new Date(NaN)', 'Promise.resolve()']) {
    const value = vm.runInNewContext(`({ a: [${lost}] })`);
    await assert.rejects(
      client.set('k', value, TTL),
      withCode('invalid_value', /\$\.a\[0\]: an? /),
    );
  }
});

test('what only Object.prototype has is nobody’s property', async (t) => {
  const { client } = startPair(t);
  Object.prototype.polluted = new Map();
  t.after(() => delete Object.prototype.polluted);
  await client.set('k', { a: { b: 1 } }, TTL);
  delete Object.prototype.polluted;
  assert.deepEqual(await client.get('k'), { a: { b: 1 } });
});

test('a value may be nested as deeply as JSON.stringify goes', async (t) => {
  const { client } = startPair(t);
  let value = 1;
  for (let depth = 0; depth < 1000; depth++) value = [{ value }];
  assert.equal(JSON.stringify(await roundTrip(client, value)), JSON.stringify(value));
  let lost = NaN;
  for (let depth = 0; depth < 1000; depth++) lost = { lost };
  await assert.rejects(client.set('k', lost, TTL), (error) => {
    assert.match(error.message, /\$\.\.\..*\.lost\.lost: NaN\.$/);
    return error.message.length < 300;
  });
});

test('a toJSON may use the client itself', async (t) => {
  const { client } = startPair(t);
  await client.set('inner', 1, TTL);
  let inner;
  const value = {
    toJSON() {
      inner = client.get('inner');
      return client.getSync('inner') + 1;
    },
  };
  assert.equal(await roundTrip(client, value), 2);
  assert.equal(await inner, 1);
});

test('__proto__ is a key like any other', async (t) => {
  const { client } = startPair(t);
  const value = JSON.parse('{"__proto__":{"polluted":true},"a":1}');
  const back = await roundTrip(client, value);
  assert.deepEqual(Object.keys(back), ['__proto__', 'a']);
  assert.equal(Object.getPrototypeOf(back), Object.prototype);
  assert.equal({}.polluted, undefined);
});

test('bytes come back as a Buffer, of any length and content', async (t) => {
  const { client } = startPair(t);
  const every = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  for (const bytes of [
    Buffer.alloc(0),
    every,
    Buffer.alloc(256 * 1024, 7),
    Buffer.from('"json"'),
  ]) {
    const back = await roundTrip(client, bytes);
    assert.ok(Buffer.isBuffer(back));
    assert.equal(Buffer.compare(back, bytes), 0);
  }
  assert.deepEqual(await roundTrip(client, new Uint8Array([1, 2])), Buffer.from([1, 2]));
  assert.deepEqual(await roundTrip(client, every.subarray(3, 5)), Buffer.from([3, 4]));
  const foreign = vm.runInNewContext('new Uint8Array([9])');
  assert.deepEqual(await roundTrip(client, foreign), Buffer.from([9]));
});

test('a value of exactly the limit is stored, one byte more is not', async (t) => {
  const { client } = startPair(t);
  const limit = 256 * 1024;
  const text = 'x'.repeat(limit - 2);
  assert.ok((await roundTrip(client, text)) === text);
  await assert.rejects(client.set('k', `${text}x`, TTL), withCode('too_large', /^set "k": /));
  await assert.rejects(client.set('k', Buffer.alloc(limit + 1), TTL), withCode('too_large'));
  assert.ok((await client.get('k')) === text, 'what was there stays');
});

test('random JSON values come back', async (t) => {
  const { client } = startPair(t);
  for (const seed of [1, 2, Date.now() >>> 0]) {
    t.diagnostic(`seed ${seed}`);
    const random = randomFrom(seed);
    for (let i = 0; i < 300; i++) {
      const value = randomValue(random, 4);
      assert.deepEqual(await roundTrip(client, value), value, `seed ${seed}, value ${i}`);
    }
  }
});

function randomValue(random, depth) {
  const pick = Math.floor(random() * (depth > 0 ? 7 : 5));
  const many = Math.floor(random() * 6);
  if (pick === 0) return null;
  if (pick === 1) return random() < 0.5;
  if (pick === 2) return Math.floor((random() - 0.5) * 2 ** 40);
  if (pick === 3) return random() * 1e6;
  if (pick === 4) return randomText(random);
  if (pick === 5) return Array.from({ length: many }, () => randomValue(random, depth - 1));
  return Object.fromEntries(
    Array.from({ length: many }, () => [randomText(random), randomValue(random, depth - 1)]),
  );
}

function randomText(random) {
  const points = Array.from({ length: Math.floor(random() * 60) }, () => {
    const point = Math.floor(random() * [0x80, 0x800, 0xd800, 0x100000][Math.floor(random() * 4)]);
    return point >= 0xd800 ? point + 0x2000 : point;
  });
  return String.fromCodePoint(...points);
}

const NAMES = ['a', 'b1', '__proto__', 'toString', 'a b', '', '7', 'constructor'];
const stepTo = (key) => (/^[A-Za-z_]\w*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`);
/** By what an object may be made whose members are [key, descriptor]. */
const MAKERS = [
  (members) => Object.defineProperties({}, Object.fromEntries(members)),
  (members) => Object.defineProperties(Object.create(null), Object.fromEntries(members)),
  (members) => Object.freeze(Object.defineProperties({}, Object.fromEntries(members))),
  vm.runInNewContext('(members) => Object.defineProperties({}, Object.fromEntries(members))'),
  (members) => ({ toJSON: () => MAKERS[0](members) }),
  (members) =>
    Object.defineProperties(
      { [Symbol('left out')]: 1, none: undefined },
      Object.fromEntries(members),
    ),
];
/** What JSON would lose, wherever it is. */
const LOST = [
  ...LOSSES.map(([lost]) => lost),
  '\ud83d',
  1n,
  Object(1n),
  { toJSON: () => NaN },
  { toJSON: () => [new Map()] },
];

/**
 * A random value, what JSON's documented ways make of it, and the paths of what JSON would lose.
 */
function randomMix(random, depth, path) {
  const dice = (n) => Math.floor(random() * n);
  if (depth === 0 || dice(3) === 0) {
    if (dice(12) === 0) return { value: LOST[dice(LOST.length)], back: null, lost: [path] };
    const date = new Date(dice(1e12));
    const pairs = [
      [-0, -0],
      [date, date.toISOString()],
      [{ toJSON: () => -0 }, -0],
      [new URL('http://x/'), 'http://x/'],
    ];
    const whole = randomValue(random, 1);
    const [value, back] = dice(3) === 0 ? pairs[dice(pairs.length)] : [whole, whole];
    return { value, back, lost: [] };
  }
  const isArray = dice(2) === 0;
  const keys = isArray ? [0, 1, 2].slice(dice(4)) : NAMES.filter(() => dice(3) === 0);
  const parts = keys.map((_key, i) =>
    randomMix(random, depth - 1, path + (isArray ? `[${i}]` : stepTo(keys[i]))),
  );
  const lost = parts.flatMap((part) => part.lost);
  if (isArray) {
    return { value: parts.map(({ value }) => value), back: parts.map(({ back }) => back), lost };
  }
  const members = keys.map((key, i) => {
    const { value } = parts[i];
    const own = dice(4) === 0 ? { get: () => value } : { value };
    return [key, { ...own, enumerable: true, configurable: true }];
  });
  const backs = keys.map((key, i) => [key, parts[i].back]);
  return { value: MAKERS[dice(MAKERS.length)](members), back: Object.fromEntries(backs), lost };
}

test('whatever is set comes back as it was, or is refused with the path of what would be lost', async (t) => {
  const { client } = startPair(t);
  let refused = 0;
  for (const seed of [1, 2, Date.now() >>> 0]) {
    t.diagnostic(`seed ${seed}`);
    const random = randomFrom(seed);
    for (let i = 0; i < 500; i++) {
      const { value, back, lost } = randomMix(random, 4, '$.v');
      const where = `seed ${seed}, value ${i}`;
      if (lost.length === 0) {
        assert.deepStrictEqual(await roundTrip(client, { v: value }), { v: back }, where);
        continue;
      }
      refused++;
      await assert.rejects(client.set('k', { v: value }, TTL), ({ code, message }) => {
        assert.equal(code, 'invalid_value', where);
        const told = message.slice(message.indexOf('$'));
        return lost.some((path) => told.startsWith(`${path}: `) || told.startsWith(`${path}[`));
      });
    }
  }
  assert.ok(refused > 100 && refused < 1400, `${refused} were refused`);
});

test('compression is off unless asked for, and kept only where it pays', async (t) => {
  const broker = startBroker(t);
  const plain = startClient(t, broker);
  const zipping = startClient(t, broker, { compression: true, compressionThreshold: 100 });
  const text = 'repeat '.repeat(1000);
  const noise = Buffer.from(Array.from({ length: 4000 }, randomByte(randomFrom(7))));
  await plain.set('plain', text, TTL);
  await zipping.set('text', text, TTL);
  await zipping.set('bytes', Buffer.from(text), TTL);
  await zipping.set('noise', noise, TTL);
  await zipping.set('short', 'x'.repeat(90), TTL);
  const sizes = Object.fromEntries((await plain.list()).map(({ key, size }) => [key, size]));
  assert.equal(sizes.plain, text.length + 2);
  assert.ok(sizes.text < 500 && sizes.bytes < 500, JSON.stringify(sizes));
  assert.equal(sizes.noise, 4000);
  assert.equal(sizes.short, 92);
  assert.equal(await plain.get('text'), text);
  assert.equal(plain.getSync('text'), text);
  assert.equal((await plain.get('bytes')).toString(), text);
  assert.equal(Buffer.compare(await plain.get('noise'), noise), 0);
});

function randomByte(random) {
  return () => Math.floor(random() * 256);
}

test('the limit counts the uncompressed size', async (t) => {
  const broker = startBroker(t);
  const client = startClient(t, broker, { compression: true });
  await assert.rejects(client.set('k', 'x'.repeat(256 * 1024), TTL), withCode('too_large'));
});

test('what another client stored and cannot be read rejects with invalid_value', async (t) => {
  const { broker, client } = startPair(t);
  const raw = await rawConnection(t, broker.pipe);
  const whole = zlib.gzipSync('"x"'.padEnd(3000, ' '));
  const bent = Buffer.from(whole);
  bent[20] ^= 0xff;
  const lied = Buffer.from(whole);
  lied.writeUInt32LE(10, lied.length - 4);
  const noJson = zlib.gzipSync('no json');
  for (const [key, bytes] of Object.entries({ bent, lied, noJson })) {
    const request = {
      action: 'set',
      key,
      value: bytes.toString('base64'),
      ttl: TTL,
      compressed: true,
    };
    raw.write(`${JSON.stringify(request)}\n`);
    assert.equal((await raw.line()).ok, true);
    await assert.rejects(client.get(key), withCode('invalid_value', /^get /), key);
    assert.throws(() => client.getSync(key), withCode('invalid_value', /^getSync /), key);
  }
});

test('nothing inflates beyond what its trailer says, or 64 MiB', () => {
  const bomb = zlib.gzipSync(Buffer.alloc(values.INFLATED_MAX_BYTES + 1));
  const { gzip } = require('../../lib/client/frame.js').FLAGS;
  assert.throws(() => values.decode(bomb, 0, bomb.length, gzip), withCode('invalid_value'));
  for (const short of [Buffer.alloc(0), Buffer.from([0x1f, 0x8b, 8])]) {
    assert.throws(() => values.decode(short, 0, short.length, gzip), withCode('invalid_value'));
  }
});

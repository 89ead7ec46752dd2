// JSON lines against JSON.parse: what it refuses is invalid_json, what it takes means the same to the
// broker, and a value comes back as it was written.
'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');

const { startBroker } = require('../helpers/broker.js');
const { dice } = require('../helpers/dice.js');
const { rawConnection } = require('../helpers/wire.js');

const CASES = 3000;
const NUMBER_MAX_CHARS = 63;
const DEPTH_MAX = 31;
const MAX = Number.MAX_SAFE_INTEGER;

const ODD_NUMBERS =
  '9007199254740991 9007199254740992 9007199254740991.0 90071992547409910e-1 9007199254740990.5 0 -0 0.0 0e0 ' +
  '1e-400 1e400 -1e400 4.9e-324 0.1 1.0000000000000000000000001 +1 01 0x10 1e 1e+ NaN Infinity - "5" null true [1] 1_0';
const PIECES = [
  ...['a', 'é', '€', '😀', '\\n', '\\u0041', '\\ud83d\\ude00', '\\ud800', '\\udc00', '\\u0000'],
  ...['\\/', '\\"', '\\x', '\t', '\u007f', '\u2028', '\\u12', '\\', '"'],
];
const MEMBERS = 'action key id ttl value workerId force fresh token fence waitMs'.split(' ');
const STRANGERS = ['__proto__', 'constructor', 'KEY', 'hmac', 'k\\u0065y', 'acti\\u006fn'];

/** @returns {{ value: any } | null} */
function parse(text) {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return null;
  }
}

/** Half a character, which JSON.parse lets pass. */
function hasLoneSurrogate(value) {
  if (typeof value === 'string') return /\p{Surrogate}/u.test(value);
  if (value === null || typeof value !== 'object') return false;
  return Object.entries(value).some((entry) => entry.some(hasLoneSurrogate));
}

const depthOf = (value) =>
  value === null || typeof value !== 'object'
    ? 0
    : 1 + Math.max(0, ...Object.values(value).map(depthOf));

function makers(choices) {
  const { below, oneIn, pick, times } = choices;
  const digits = () => times(1 + below(oneIn(6) ? 25 : 5), () => below(10)).join('');
  const number = () => {
    const made = pick([
      () => pick(['', '-']) + digits(),
      () => `${digits()}.${digits()}`,
      () => `${digits()}e${pick(['', '+', '-'])}${below(400)}`,
      () => pick(ODD_NUMBERS.split(' ')),
    ])();
    return oneIn(30) ? made + pick(['0', '.', 'e', ' ', ',', '-']) : made;
  };
  const string = () => `"${times(below(12), () => pick(PIECES)).join('')}"`;
  const comma = () => pick([',', ',', ',', ',', ', ', ' ,', ',,', '\t,']);
  const value = (depth = 0) => {
    const inner = () => value(depth + 1);
    const member = () =>
      pick(['"a"', '"b"', 'a', string()]) + pick([':', ':', ' : ', '=']) + inner();
    const kind = below(depth > 4 ? 4 : 7);
    if (kind === 0) return number();
    if (kind === 1) return string();
    if (kind === 2) return pick(['true', 'false', 'null', 'nul', 'True', '']);
    if (kind === 3) return '{}';
    if (kind < 6)
      return `[${times(below(4), inner).join(comma())}${pick([']', ']', ']', ',]', ''])}`;
    return `{${times(below(4), member).join(comma())}${pick(['}', '}', '}', ',}', ''])}`;
  };
  return { number, string, value };
}

/** Each makes a line, and says what is to come of it. */
function cases(choices) {
  const { below, oneIn, pick, times } = choices;
  const { number, string, value } = makers(choices);
  let names = 0;
  return {
    ttl() {
      const line = `{"action":"set","key":"t","value":1,"ttl":${number()}}`;
      const ttl = parse(line)?.value.ttl;
      const text = line.slice(line.lastIndexOf(':') + 1, -1).trim();
      const fits = typeof ttl === 'number' && ttl > 0 && ttl <= MAX;
      if (ttl === null) return { line, wanted: 'ttl_required' };
      return { line, wanted: fits && text.length <= NUMBER_MAX_CHARS ? 'ok' : 'invalid_ttl' };
    },
    by() {
      const line = `{"action":"incr","key":"n${names++}","ttl":200,"by":${number()}}`;
      const by = parse(line)?.value.by ?? 1;
      const fits = Number.isInteger(by) && Math.abs(by) <= MAX;
      return { line, wanted: fits ? 'ok' : 'invalid_request', count: by };
    },
    key() {
      const line = `{"action":"has","key":${string()}}`;
      const key = parse(line)?.value.key ?? '';
      const size = Buffer.byteLength(key);
      const fits = size >= 1 && size <= 512 && !hasLoneSurrogate(key);
      return { line, wanted: fits ? 'ok' : 'invalid_key' };
    },
    value() {
      const deep = 28 + below(6);
      const text = oneIn(40) ? '['.repeat(deep) + ']'.repeat(deep) : value();
      const line = `{"action":"set","key":"v","ttl":60000,"value":${text}}`;
      const parsed = parse(line)?.value;
      if (parsed === undefined) return { line };
      if (depthOf(parsed.value) > DEPTH_MAX) return { line, wanted: 'invalid_json' };
      if (hasLoneSurrogate(parsed.value)) return { line, wanted: 'invalid_value' };
      return { line, wanted: 'ok', text: text.trim() };
    },
    members() {
      const list = times(1 + below(5), () => pick([...MEMBERS, ...STRANGERS]));
      const said = list.map((name) => {
        const isAction = JSON.parse(`"${name}"`) === 'action';
        return `"${name}":${isAction ? '"ping"' : pick(['1', 'null', '"x"', 'false'])}`;
      });
      const plain = list.map((name) => JSON.parse(`"${name}"`)).filter((n) => MEMBERS.includes(n));
      const line = `{${said.join(',')}}`;
      if (new Set(plain).size < plain.length) return { line, wanted: 'invalid_json' };
      return { line, wanted: plain.includes('action') ? null : 'invalid_request' };
    },
  };
}

test('lines mean to the broker what they mean to JSON.parse', async (t) => {
  const choices = dice(t);
  const broker = startBroker(t);
  const raw = await rawConnection(t, broker.pipe);
  const ask = (line) => {
    raw.write(`${line}\n`);
    return raw.line();
  };
  const made = cases(choices);
  let taken = 0;
  for (let i = 0; i < CASES; i++) {
    const { line, wanted, count, text } = made[choices.pick(Object.keys(made))]();
    if (line.includes('\n')) continue;
    const expected = parse(line) === null ? 'invalid_json' : wanted;
    const reply = await ask(line);
    assert.ok(reply !== null, `the broker closed after ${line}`);
    if (expected !== null) assert.equal(reply.ok ? 'ok' : reply.error, expected, line);
    if (!reply.ok || expected !== 'ok') continue;
    taken++;
    if (count !== undefined) assert.equal(reply.value + 0, count + 0, line);
    if (text === undefined) continue;
    const back = await ask('{"action":"get","key":"v"}');
    assert.deepEqual(back.value, JSON.parse(text), line);
  }
  assert.ok(taken > CASES / 20, `${taken} were taken`);
});

// Writes test/fuzz/corpus, what the fuzzers start from: made of the protocol's test vectors, of the
// JSON lines in the C tests, and of fixed pseudo-random scripts. node test/fuzz/seeds.js
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const ROOT = path.join(__dirname, '../..');
const vectors = JSON.parse(fs.readFileSync(path.join(ROOT, 'test/vectors/protocol.json'), 'utf8'));
const LINES_A_FILE = 12;

const hex = (name) => Buffer.from(vectors[name], 'hex');
const named = (prefix) => Object.keys(vectors).filter((name) => name.startsWith(prefix));
const seed = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));

/** xorshift32: the same bytes everywhere. */
function noise(state, size) {
  let bits = state;
  return Buffer.from({ length: size }, () => {
    bits ^= bits << 13;
    bits ^= bits >>> 17;
    bits ^= bits << 5;
    return bits & 0xff;
  });
}

/** Every JSON line that a C test has in one string literal. */
function lines() {
  const folder = path.join(ROOT, 'test/c/wire');
  const files = fs.readdirSync(folder).filter((file) => /^(jsonl|session_).*_test\.c$/.test(file));
  const texts = files.sort().flatMap((file) => {
    const source = fs.readFileSync(path.join(folder, file), 'utf8');
    const literals = source.match(/"\{\\"(?:[^"\\\n]|\\["\\])*\}"/g) ?? [];
    return literals.map((literal) => JSON.parse(literal));
  });
  return [...new Set(texts)].filter((text) => text.length < 200);
}

function chunks(list, size) {
  const count = Math.ceil(list.length / size);
  return Array.from({ length: count }, (_, i) => list.slice(i * size, (i + 1) * size));
}

/** A step of test/fuzz/sessions.c that feeds these bytes to a connection. */
const fed = (peer, bytes) => seed([peer, bytes.length], bytes);
const WORK = 9 * 4;

function sessions() {
  const script = [...named('request_')]
    .map(hex)
    .filter((bytes) => bytes.length < 250)
    .map((bytes, i) => seed(fed(i % 2, bytes), [WORK + (i % 2)]));
  const start = seed(fed(0, Buffer.from('EPB0')), fed(1, Buffer.from('EPB0')));
  const spoken = lines()
    .slice(0, 24)
    .map((line) => seed(fed(2, Buffer.from(`${line}\n`)), [WORK + 2]));
  return {
    frames: seed([0], start, ...script),
    lines: seed([0], ...spoken),
    steps: seed([0], noise(11, 1500)),
    steps_under_limits: seed([31], noise(12, 1500)),
  };
}

/** A command line as test/fuzz/arguments.c reads it. */
const words = (flags, ...argv) => seed([flags], argv.map((word) => `${word}\0`).join(''));

const targets = {
  frames: {
    ...Object.fromEntries(named('request_').map((name) => [name, seed([0], hex(name))])),
    ...Object.fromEntries(
      [...named('reply_'), ...named('event_')].map((name) => [name, seed([1], hex(name))]),
    ),
    stream: seed([0], ...named('request_').map(hex)),
    fields: seed([2, 3, 3, 1], noise(1, 80)),
  },
  handshake: {
    broker_mac: seed([4, 0], hex('epbm_client_hello'), hex('epbm_client_proof')),
    broker_cut: seed([0, 7], 'EPB1', noise(2, 64)),
    broker_offer: seed([0, 9], hex('epb3_client_hello'), hex('epb3_client_proof')),
    broker_scope: seed([0, 0], hex('epb3_later_client_hello')),
    broker_longest: seed(
      [0, 3],
      'EPB3',
      [250, 3],
      noise(3, 32),
      [7, 0, 0, 0, 0, 0],
      noise(4, 1000),
    ),
    broker_line: seed([0, 0], '{"action":"ping"}\n'),
    broker_plain: seed([0, 0], 'EPB0', hex('request_ping')),
    client_mac: seed([5, 3], hex('epb3_mac_server_hello')),
    client_choice: seed([1, 3], hex('epb3_server_hello')),
    client_later: seed([1, 3], 'EPB3', [200, 0], noise(5, 232)),
    client_chacha20: seed([9, 3], hex('epb3_later_server_hello')),
    client_refusal: seed([1, 0], hex('refusal_auth_required')),
    relay: Buffer.from([2, 0]),
    relay_chacha20: Buffer.from([10, 0]),
    relay_choice: Buffer.from([2, 0, 1, 38, 3]),
    relay_offer: Buffer.from([2, 0, 0, 38, 2]),
    relay_length: Buffer.from([2, 0, 0, 4, 8]),
    relay_scope: Buffer.from([2, 0, 0, 42, 1]),
    relay_mac_cut: Buffer.from([6, 9]),
    relay_hello: Buffer.from([2, 5, 0, 9, 1]),
    relay_proof: Buffer.from([2, 0, 1, 40, 128]),
    relay_record: Buffer.from([6, 0, 0, 90, 4, 1, 80, 2]),
  },
  records: {
    intact: Buffer.from([0, 3, 10, 0, 90, 1, 200, 0, 5, 0]),
    intact_chacha20: Buffer.from([128, 3, 10, 0, 90, 1, 200, 0, 5, 0]),
    intact_mac_cut: Buffer.from([15, 3, 10, 0, 90, 1, 200, 0, 5, 0]),
    flipped: Buffer.from([8, 1, 10, 0, 90, 0, 0, 9, 0, 1]),
    cut: Buffer.from([0, 1, 10, 0, 90, 0, 1, 40, 0]),
    replayed: Buffer.from([1, 1, 10, 0, 90, 0, 2, 0, 0, 0]),
    first_gone: Buffer.from([0, 2, 10, 0, 90, 0, 9, 0, 3, 0, 0]),
    foreign: seed([0, 0, 10, 0, 4, 0, 0, 30], noise(3, 30)),
  },
  lines: Object.fromEntries(
    chunks(lines(), LINES_A_FILE).map((part, i) => [
      `tests_${i}`,
      seed([i * 5, i * 37], part.map((line) => `${line}\n`).join('')),
    ]),
  ),
  sessions: sessions(),
  arguments: {
    start: words(0, '--max-items', '5', '--grace=2s', '--no-require-ttl', '--', 'npm', 'test'),
    start_wrong: words(0, '--max-itms', '5', '--eviction', 'all', '--debug=perhaps'),
    sizes: words(0, '--max-memory', '1.5MiB', '--max-value-size=64k', '--default-ttl', 'forever'),
    secrets: words(0, '--secret-file', 'a', '--secret-env=B', '--secret', '-', '--auth', 'x'),
    set: words(1, 'key', 'value', '--ttl', '1.5h', '--if-absent', '--json'),
    unit: words(1, '--ttl', '60', '--wait', '0.5'),
    negative: words(1, 'count', '-3', '-', '--no-json', '-x', '-h'),
    bytes: seed([1], 'k\xff\0--\xfe\0--\0--\0', [0xff, 0xc2, 0x9b, 0]),
  },
  leases: {
    history: seed([0], noise(4, 1200)),
    history_single: seed([1], noise(5, 800)),
    history_few_waits: seed([2], noise(6, 800)),
  },
};

for (const [target, seeds] of Object.entries(targets)) {
  const folder = path.join(__dirname, 'corpus', target);
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder, { recursive: true });
  for (const [name, bytes] of Object.entries(seeds)) {
    fs.writeFileSync(path.join(folder, name), bytes);
  }
}

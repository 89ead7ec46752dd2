/**
 * Holds to each other what has to agree: the command, status and flag tables of the core (through the
 * binding), the classes, their types and PROTOCOL.md.
 */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const ts = require('typescript');
const { ROOT, startPair } = require('../helpers/broker.js');
const { requestFrame, takeReply } = require('../helpers/wire.js');
const { Broker, PipeClient } = require('../..');
const { load } = require('../../lib/binding.js');
const frame = require('../../lib/client/frame.js');
const options = require('../../lib/options.js');

const binding = load();

/** Methods of PipeClient that are no command of their own. */
const CLIENT_SIDE = [
  'acquireAll',
  'acquireLock',
  'close',
  'getSync',
  'leaseSync',
  'namespace',
  'incrEntry',
  'pingMs',
  'withLease',
];
/** Commands that no method is named after: an AbortSignal is, and what a client does by itself. */
const NO_METHOD = ['cancel', 'join', 'take'];

const read = (name) => fs.readFileSync(path.join(ROOT, name), 'utf8');
const sorted = (names) => [...new Set(names)].sort();

/** The named declarations of index.d.ts. */
function declarations() {
  const source = ts.createSourceFile(
    'index.d.ts',
    read('lib/index.d.ts'),
    ts.ScriptTarget.Latest,
    true,
  );
  return new Map(
    source.statements.filter((node) => node.name).map((node) => [node.name.text, node]),
  );
}

function membersOf(declaration, wanted = () => true) {
  const named = declaration.members.filter((member) => member.name && wanted(member));
  return sorted(
    named.map((member) => member.name.getText()).filter((name) => !name.startsWith('[')),
  );
}

function methodsOf(constructor) {
  const names = Object.getOwnPropertyNames(constructor.prototype);
  return sorted(names.filter((name) => name !== 'constructor'));
}

test('every command is a method of PipeClient, and every method a command or known to be none', () => {
  const commands = binding.commands.map(({ name }) => name);
  assert.ok(commands.length >= 27);
  const methods = methodsOf(PipeClient).filter((name) => name !== 'pipe');
  assert.deepEqual(
    methods,
    sorted([...commands.filter((name) => !NO_METHOD.includes(name)), ...CLIENT_SIDE]),
  );
});

test('the types have the members of the classes, no more and no fewer', () => {
  const types = declarations();
  assert.deepEqual(membersOf(types.get('PipeClient')), methodsOf(PipeClient));
  assert.deepEqual(membersOf(types.get('Broker')), methodsOf(Broker));
  for (const constructor of [Broker, PipeClient]) {
    assert.equal(typeof constructor.prototype[Symbol.asyncDispose], 'function');
  }
});

test('the handles have what their types say', async (t) => {
  const { client } = startPair(t);
  const types = declarations();
  const lease = await client.number('k');
  for (const name of membersOf(types.get('Lease'))) assert.ok(name in lease, name);
  const watch = client.watch();
  for (const name of membersOf(types.get('Watch'))) assert.ok(name in watch, name);
  assert.equal(typeof lease[Symbol.asyncDispose], 'function');
  assert.equal(watch[Symbol.asyncIterator](), watch);
  watch.close();
  await lease.release();
});

test('the types have the options of the table', () => {
  const types = declarations();
  for (const [kind, name] of [
    ['broker', 'BrokerOptions'],
    ['client', 'ClientOptions'],
  ]) {
    const known = options.rowsOf(kind).map((row) => row.name);
    const foreign = Object.keys(options.FOREIGN[kind]);
    const all = [...known, 'secret', 'auth', ...foreign];
    assert.deepEqual(membersOf(types.get(name)), sorted(all));
  }
});

test('the types have the error codes of the status table', () => {
  const { type } = declarations().get('ErrorCode');
  const codes = type.types.map((member) => member.literal.text);
  const statuses = binding.statuses.map(({ code }) => code).filter((code) => code !== 'ok');
  assert.deepEqual(sorted(codes), sorted(statuses));
});

test("the client's numbers are the core's", () => {
  for (const [name, bit] of Object.entries(frame.FLAGS))
    assert.equal(binding.flags[name], bit, name);
  assert.equal(frame.VERSION, binding.frameVersion);
  for (const { name, action } of binding.commands) assert.equal(binding.actions[name], action);
  assert.equal(binding.statuses.find(({ number }) => number === 0).code, 'ok');
});

test('a request with everything a request can have is encoded as PROTOCOL.md tells', () => {
  const request = new frame.Request();
  const numbers = [1, 2 ** 53 - 1, 3, -4, 5, 6, 7, 8];
  const [ttl, version, fence, count, wait, period, burst, cost] = numbers;
  for (const worker of ['w', 'é'.repeat(128)]) {
    Object.assign(request, { ttl, version, fence, count, wait, period, burst, cost, worker });
    Object.assign(request, { action: 14, flags: 0xffff, key: 'ключ', text: '"é"' });
    const buffer = Buffer.alloc(frame.requestBound(request));
    const end = frame.putRequest(buffer, 0, 77, request);
    const { key, flags, action } = request;
    const expected = requestFrame({ action, id: 77, flags, key, worker, numbers, value: '"é"' });
    assert.deepEqual(buffer.subarray(0, end), expected);
    assert.deepEqual(
      frame.silentFrame(request),
      requestFrame({ action, id: 0, flags, key, worker, numbers, value: '"é"' }),
    );
  }
});

test('a reply with every number is read as PROTOCOL.md tells', () => {
  const numbers = [11, 12, 13, -14, 15, 16, 17];
  const reply = Buffer.alloc(12 + 8 * numbers.length + 2);
  reply.writeUInt32LE(reply.length - 4, 0);
  reply.set([1, 0, 0x7f, 0x04, 9], 4);
  numbers.forEach((number, i) => reply.writeBigInt64LE(BigInt(number), 12 + 8 * i));
  reply.write('hi', reply.length - 2);
  assert.deepEqual(takeReply(reply).reply.numbers, numbers);
  const got = new frame.Reply();
  assert.equal(frame.getReply(reply, 0, reply.length, got), true);
  const { ttl, itemVersion, fence, count, wait, period, burst, id, bodyAt, bodyEnd } = got;
  assert.deepEqual([ttl, itemVersion, fence, count, wait, period, burst], numbers);
  assert.deepEqual([id, reply.toString('utf8', bodyAt, bodyEnd)], [9, 'hi']);
  assert.equal(frame.getReply(reply, 0, reply.length - 1, got), false);
});

test('PROTOCOL.md has a row for every command and every status', () => {
  const rows = read('PROTOCOL.md')
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) => line.split('|').map((cell) => cell.trim().replace(/^`(.*)`$/, '$1')));
  const has = (number, name) =>
    rows.some((cells) => cells.includes(String(number)) && cells.includes(name));
  for (const { action, name } of binding.commands)
    assert.ok(has(action, name), `command ${action} ${name}`);
  for (const { number, code } of binding.statuses)
    assert.ok(has(number, code), `status ${number} ${code}`);
});

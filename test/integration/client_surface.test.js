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
const { ROOT } = require('../helpers/broker');
const { Broker, PipeClient } = require('../..');
const { load } = require('../../lib/binding');
const frame = require('../../lib/frame');
const options = require('../../lib/options');

const binding = load();

/** Methods of PipeClient that are no command of their own. */
const CLIENT_SIDE = ['close', 'getSync', 'namespace', 'pingMs'];

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
  assert.ok(commands.length >= 12);
  const methods = methodsOf(PipeClient).filter((name) => name !== 'pipe');
  assert.deepEqual(methods, sorted([...commands, ...CLIENT_SIDE]));
});

test('the types have the members of the classes, no more and no fewer', () => {
  const types = declarations();
  assert.deepEqual(membersOf(types.get('PipeClient')), methodsOf(PipeClient));
  assert.deepEqual(membersOf(types.get('Broker')), methodsOf(Broker));
  for (const constructor of [Broker, PipeClient]) {
    assert.equal(typeof constructor.prototype[Symbol.asyncDispose], 'function');
  }
});

test('the types have the options of the table', () => {
  const types = declarations();
  for (const [kind, name] of [
    ['broker', 'BrokerOptions'],
    ['client', 'ClientOptions'],
  ]) {
    const known = options.rowsOf([kind]).map((row) => row.name);
    assert.deepEqual(membersOf(types.get(name)), sorted([...known, 'secret', 'auth']));
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

/**
 * Completions of the native program, in the shells themselves.
 */
'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { describe, it } = require('node:test');
const { cleanEnv, ROOT, scratch } = require('../helpers/cli.js');

const PROGRAM = path.join(ROOT, 'build/Release/epb');
const run = (file, args, options = {}) =>
  execFileSync(file, args, { encoding: 'utf8', env: cleanEnv(), ...options });
const { commands, options } = JSON.parse(run(PROGRAM, ['help', '--tables']));
const names = commands.map(({ name }) => name);

/** The flags of a command as help shows them, without their arguments. */
const flagsOf = (name) =>
  commands
    .find((command) => command.name === name)
    .options.map((place) => options[place].usage.split(' ')[0]);

/** What bash offers for the last of these words. */
function bash(words, cwd) {
  const script = `
    eval "$("$0" completion bash)"
    COMP_WORDS=(epb "$@") COMP_CWORD=$#
    _epb
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  return run('bash', ['-c', script, PROGRAM, ...words], { cwd })
    .split('\n')
    .filter(Boolean);
}

describe('bash', () => {
  it('commands', () => {
    assert.deepEqual(bash(['']), [...names, '--help', '--version']);
    assert.deepEqual(bash(['lea']), ['lease', 'leases']);
    assert.ok(bash(['help', '']).includes('start'));
    assert.deepEqual(bash(['completion', '']), ['bash', 'zsh', 'fish']);
  });

  it('flags of each command', () => {
    for (const name of names) {
      assert.deepEqual(bash([name, '-']).sort(), flagsOf(name).sort(), name);
    }
    assert.deepEqual(bash(['start', '--max-i']), ['--max-items']);
  });

  it('values of a flag', (t) => {
    const folder = scratch(t);
    fs.writeFileSync(path.join(folder, 'secret-of-mine'), '');
    assert.deepEqual(bash(['start', '--eviction', '']), ['none', 'lru']);
    assert.deepEqual(bash(['get', '--secret-file', 'sec'], folder), ['secret-of-mine']);
    assert.deepEqual(bash(['start', '--max-items', '']), []);
  });

  it('a command after --', () => {
    assert.ok(bash(['start', '--', 'bas']).includes('bash'));
    assert.ok(!bash(['start', '--', '-']).includes('--max-items'));
  });
});

/** What fish offers, with its descriptions. */
function fish(line) {
  const script = `"$argv[1]" completion fish | source; complete -C "$argv[2]"`;
  return run('fish', ['--no-config', '-c', script, PROGRAM, line])
    .split('\n')
    .filter(Boolean)
    .map((found) => found.split('\t'));
}

describe('fish', () => {
  it('commands, with what they do', () => {
    const found = new Map(fish('epb '));
    assert.deepEqual([...found.keys()].sort(), [...names].sort());
    assert.equal(found.get('get'), 'Print a value.');
  });

  it('flags and their values', () => {
    const words = fish('epb start --').map(([word]) => word);
    assert.deepEqual(words.sort(), flagsOf('start').sort());
    assert.deepEqual(
      fish('epb start --eviction ').map(([word]) => word),
      ['lru', 'none'],
    );
  });

  it('a command after --', () => {
    const words = fish('epb start -- bas').map(([word]) => word);
    assert.ok(words.includes('bash'), words.join(' '));
  });
});

/** What the function for zsh hands to zsh's own: one line for each argument. */
function zsh(words) {
  const script = `
    compdef() { :; }
    _describe() { print -rl -- "\${(@P)2}"; }
    _arguments() { print -rl -- "$@"; }
    words=(epb "\${@:2}") CURRENT=$#
    source <("$1" completion zsh)
    _epb`;
  return run('zsh', ['-f', '-c', script, 'zsh', PROGRAM, ...words])
    .split('\n')
    .filter(Boolean);
}

describe('zsh', () => {
  it('commands, with what they do', () => {
    const found = zsh(['']);
    assert.deepEqual(
      found.map((line) => line.split(':')[0]),
      names,
    );
    assert.ok(found.includes('get:Print a value.'));
  });

  it('flags of each command', () => {
    for (const name of names) {
      const flags = zsh([name, '-']).filter((line) => /^\*?--/.test(line));
      assert.deepEqual(
        flags.map((line) => line.replace(/^\*/, '').split(/=?\[/)[0]).sort(),
        flagsOf(name).sort(),
        name,
      );
    }
    assert.ok(
      zsh(['start', '-']).some((line) => /^--eviction=\[.*\]:value:\(none lru\)$/.test(line)),
    );
    assert.ok(zsh(['start', '-']).includes('*:::command:_normal'));
  });
});

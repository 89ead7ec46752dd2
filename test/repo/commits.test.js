// Subjects of commits, from the one that adds this file on: `part: verb ...`, at most 60 characters, one
// change. Left out where there is no history (a tarball, a shallow clone).
'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const test = require('node:test');

const { ROOT } = require('../../scripts/files.js');

const OWN_FILE = 'commits.test.js';
const SUBJECT_MAX = 60;

const git = (...args) =>
  execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });

/** Subjects since the commit that added this file, that one included; null: there is no history. */
function subjects() {
  try {
    if (git('rev-parse', '--is-shallow-repository').trim() !== 'false') return null;
    const added = git('log', '--diff-filter=A', '--format=%H', '--', `:(glob)**/${OWN_FILE}`);
    const first = added.trim().split('\n').pop();
    if (first === '') return null;
    return git('log', '--no-merges', '--format=%s', `${first}~1..HEAD`).trim().split('\n');
  } catch {
    return null;
  }
}

/** What is wrong with a subject; null: nothing. */
function fault(subject) {
  if ([...subject].length > SUBJECT_MAX) return `longer than ${SUBJECT_MAX} characters`;
  if (!/^[\w./-]+(?: [\w./-]+){0,2}: \S/.test(subject)) return 'not "part: verb ..."';
  if (subject.includes(';')) return 'more than one change';
  return /[.]$/.test(subject) ? 'ends with a full stop' : null;
}

test('faults of subjects are found', () => {
  assert.equal(fault('store: count keys by prefix'), null);
  assert.equal(fault('README.md: show the first minute'), null);
  assert.match(fault('Count keys by prefix'), /part: verb/);
  assert.match(fault('store: count keys; lease: renew by token'), /one change/);
  assert.match(fault('store: count keys.'), /full stop/);
  assert.match(fault(`store: ${'x'.repeat(60)}`), /longer/);
});

const found = subjects();

test('subjects of commits are short, and tell of one change', { skip: found === null }, () => {
  const wrong = found.map((subject) => [subject, fault(subject)]).filter(([, why]) => why !== null);
  assert.deepEqual(wrong, []);
});

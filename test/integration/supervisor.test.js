/**
 * The supervisor alone, with a clock and a native side of the test's own: what depends on time.
 */
'use strict';

const assert = require('node:assert/strict');
const { constants } = require('node:os');
const { afterEach, beforeEach, describe, it } = require('node:test');
const { Supervisor } = require('../../lib/cli/supervisor.js');

const PID = 4711;
const GRACE_MS = 10_000;
const names = Object.fromEntries(
  Object.entries(constants.signals).map(([name, number]) => [number, name]),
);

describe('the supervisor', () => {
  let clock;
  let sent;
  let supervisor;
  let end;

  beforeEach(({ mock }) => {
    mock.timers.enable({ apis: ['setTimeout'] });
    clock = 1000;
    sent = [];
    const binding = {
      spawn: (_file, _args, _env, _options, onExit) => {
        end = onExit;
        return PID;
      },
      kill: (pid, group, number) => sent.push([names[number], pid, group]),
    };
    supervisor = new Supervisor({ binding, graceMs: GRACE_MS, log: () => {}, now: () => clock });
  });

  afterEach(({ mock }) => {
    supervisor.release();
    mock.timers.reset();
  });

  /** Starts with or without a terminal, whatever the tests themselves run on. */
  function start({ ownGroup }) {
    supervisor.ownGroup = ownGroup;
    const outcomes = [];
    supervisor.start(['command'], {}, (outcome) => outcomes.push(outcome));
    return outcomes;
  }

  const signal = (name) => process.emit(name, name);
  const sentNames = () => sent.map(([name]) => name);

  it('takes copies of one Ctrl-C for one', () => {
    start({ ownGroup: true });
    for (let copy = 0; copy < 10; copy++) {
      signal('SIGINT');
      clock += 10;
    }
    assert.deepEqual(sentNames(), ['SIGINT']);
  });

  it('kills at the third press, with a terminal or without', () => {
    for (const ownGroup of [true, false]) {
      sent.length = 0;
      start({ ownGroup });
      for (let press = 0; press < 3; press++) {
        clock += 300;
        signal('SIGINT');
      }
      assert.deepEqual(sentNames(), ownGroup ? ['SIGINT', 'SIGINT', 'SIGKILL'] : ['SIGKILL']);
      supervisor.release();
      beginAgain();
    }
  });

  function beginAgain() {
    const { binding, graceMs, log, now } = supervisor;
    supervisor = new Supervisor({ binding, graceMs, log, now });
  }

  it('with a terminal, passes on what was not typed, to the command alone', () => {
    start({ ownGroup: false });
    for (const name of ['SIGINT', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGHUP', 'SIGTERM'])
      signal(name);
    assert.deepEqual(sent, [
      ['SIGUSR1', PID, false],
      ['SIGUSR2', PID, false],
      ['SIGHUP', PID, false],
      ['SIGTERM', PID, false],
    ]);
  });

  it('without one, passes on everything, to the group', () => {
    start({ ownGroup: true });
    for (const name of ['SIGINT', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGHUP', 'SIGTERM'])
      signal(name);
    assert.ok(sent.every(([, pid, group]) => pid === PID && group));
    assert.equal(sent.length, 6);
  });

  it('kills when the grace period is over, counted from the first request', ({ mock }) => {
    start({ ownGroup: true });
    signal('SIGTERM');
    mock.timers.tick(GRACE_MS - 1);
    signal('SIGTERM');
    assert.deepEqual(sentNames(), ['SIGTERM', 'SIGTERM']);
    mock.timers.tick(1);
    assert.deepEqual(sentNames(), ['SIGTERM', 'SIGTERM', 'SIGKILL']);
  });

  it('ends a command once, however many ask', () => {
    start({ ownGroup: true });
    supervisor.end('parent_died');
    supervisor.end('parent_died');
    assert.deepEqual(sentNames(), ['SIGTERM']);
  });

  it('sends nothing after the end, when the number may be somebody else', ({ mock }) => {
    const outcomes = start({ ownGroup: true });
    signal('SIGTERM');
    end(0, null);
    assert.deepEqual(outcomes, [{ code: 0, signal: null }]);
    signal('SIGTERM');
    signal('SIGUSR1');
    mock.timers.tick(GRACE_MS * 2);
    assert.deepEqual(sentNames(), ['SIGTERM']);
  });
});

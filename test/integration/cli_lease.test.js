/**
 * The commands about leases: what they print, their exit statuses, and whose a lease is when the
 * command that took it has ended.
 */
'use strict';

const assert = require('node:assert/strict');
const { after, before, describe, it } = require('node:test');
const { launchCli, runCli, standalone, until, runDirectly } = require('../helpers/cli.js');
const { PipeClient } = require('../../lib/index.js');

runDirectly();

/** One broker for all tests of this file; each uses keys and workers of its own. */
let broker;
let client;
const cleanUps = [];
before(async () => {
  broker = await standalone({ after: (work) => cleanUps.push(work) });
  client = new PipeClient(broker.env.EPHEMERAL_PIPE, { secret: broker.env.EPHEMERAL_SECRET });
});
after(async () => {
  await client.close();
  for (const work of cleanUps.reverse()) await work();
});

const withBroker = ({ env = {}, ...rest } = {}) => ({ env: { ...broker.env, ...env }, ...rest });
const epb = (args, settings) => runCli(args, withBroker(settings));

const ENDS =
  /^ephemeral-pipe-broker: lease ".+": it ends at \d\d:\d\d:\d\d, in 30m 0s; epb renew extends it, --ttl TIME .+\n$/;

/** Runs it, expects its status and silence on stderr, or when a lease ends; resolves stdout. */
async function prints(status, args, settings) {
  const { code, stdout, stderr } = await epb(args, settings);
  const isToEnd = args[0] === 'lease' && !args.includes('--ttl');
  assert.match(stderr, isToEnd ? ENDS : /^$/);
  assert.equal(code, status);
  return stdout;
}
const ok = (args, settings) => prints(0, args, settings);

async function fails(args, status, expected, settings) {
  const { code, stdout, stderr } = await epb(args, settings);
  assert.equal(stdout, '');
  assert.match(stderr, /^ephemeral-pipe-broker: .+\n$/);
  assert.match(stderr, expected);
  assert.equal(code, status);
  return stderr;
}

const waiters = async (key) =>
  (await client.leases(key)).filter(({ state }) => state === 'waiting').length;

/** Starts a command that has to wait for its turn, and resolves once it does. */
async function queued(key, args) {
  const earlier = await waiters(key);
  const running = launchCli(args, withBroker());
  await until(async () => (await waiters(key)) > earlier, `${args.join(' ')} should wait`);
  return running;
}

describe('lease', () => {
  it('gives each worker a number of its own, which outlives the command', async () => {
    assert.equal(await ok(['lease', 'port', '--worker', 'a']), '0\n');
    assert.equal(await ok(['lease', 'port', '--worker', 'b']), '1\n');
    assert.equal(await ok(['lease', 'port', '--worker', 'a']), '0\n');
    assert.equal(await ok(['release', 'port', '--worker', 'a']), 'true\n');
    assert.equal(await ok(['lease', 'port', '--worker', 'c']), '0\n');
  });

  it('knows the worker by the variables of test runners', async () => {
    for (const [name, expected] of [
      ['WORKER_ID', '0'],
      ['JEST_WORKER_ID', '1'],
      ['CLIENT_WORKER_ID', '2'],
      ['NODE_TEST_WORKER_ID', '3'],
    ]) {
      const env = { [name]: `by ${name}` };
      assert.equal(await ok(['lease', 'by variable'], { env }), `${expected}\n`);
      assert.equal(await ok(['lease', 'by variable'], { env }), `${expected}\n`);
    }
  });

  it('wants a name: the next command would be somebody else', async () => {
    for (const command of [['lease', 'k'], ['renew'], ['release'], ['release', 'k']]) {
      await fails(command, 2, /name the worker: --worker NAME, or WORKER_ID/);
    }
  });

  it('gives the elements of a pool, in order, never twice', async () => {
    assert.equal(await ok(['pool', 'words', 'ann', 'bob']), 'true\n');
    assert.equal(await ok(['pool', 'words', 'bob', 'ann']), 'false\n');
    await fails(['pool', 'words', 'cid'], 1, /pool "words": .*another list. --replace/);
    assert.equal(await ok(['pool', 'words', 'cid', '--if-absent']), 'false\n');
    assert.equal(await ok(['lease', 'words', '--worker', '1']), 'ann\n');
    assert.equal(await ok(['lease', 'words', '--worker', '2', '--json']), '"bob"\n');
    await fails(['lease', 'words', '--worker', '3'], 1, /lease "words": .*--wait TIME/);
    assert.equal(await ok(['pool', 'words', '--add', 'dot']), '3\n');
    assert.equal(await ok(['lease', 'words', '--worker', '3']), 'dot\n');
  });

  it('replaces a definition, describes what there is, and clears it', async () => {
    assert.equal(await ok(['pool', 'gone:words', 'ann', 'bob']), 'true\n');
    assert.equal(await ok(['pool', 'gone:words', 'cid', '--replace']), 'true\n');
    const pool = { kind: 'pool', size: 1, free: 1, waiting: 0 };
    assert.deepEqual(JSON.parse(await ok(['describe', 'gone:words'])), pool);
    assert.equal(await ok(['limit', 'gone:turns', '1']), 'true\n');
    await fails(['limit', 'gone:turns', '2'], 1, /limit "gone:turns": .* --replace changes it/);
    assert.equal(await ok(['limit', 'gone:turns', '2', '--replace']), 'true\n');
    assert.deepEqual(JSON.parse(await ok(['clear', 'gone:'])), { cleared: 2, held: 0 });
    await ok(['pool', 'gone:word', 'ann']);
    await fails(
      ['describe', 'gone:words'],
      1,
      /: describe "gone:words": The key does not exist.* Did you mean "gone:word" \(a pool\)\?$/m,
    );
    await ok(['set', 'gone:number', '1', '--ttl', '1m']);
    const value = { kind: 'value', free: 1, waiting: 0 };
    assert.deepEqual(JSON.parse(await ok(['describe', 'gone:number'])), value);
  });

  it('takes a pool from stdin, so that no secret is on a command line', async () => {
    const input = '{"user":"ann","password":"one"}\n\n{"user":"bob","password":"two"}\n';
    assert.equal(await ok(['pool', 'accounts', '-', '--json'], { input }), 'true\n');
    const shown = await ok(['lease', 'accounts', '--worker', '1']);
    assert.deepEqual(JSON.parse(shown), { user: 'ann', password: 'one' });
    assert.equal(await ok(['pool', 'lines', '-'], { input: 'one line\r\nanother' }), 'true\n');
    assert.equal(await ok(['lease', 'lines', '--worker', '1']), 'one line\n');
    assert.equal(await ok(['lease', 'lines', '--worker', '2']), 'another\n');
  });

  it('never repeats an element that is wrong', async () => {
    const said = await fails(['pool', 'k', '-', '--json'], 2, /must be JSON/, { input: 'hunter2' });
    assert.doesNotMatch(said, /hunter2/);
    const equal = await fails(['pool', 'k', 'hunter2', 'hunter2'], 1, /pool "k": /);
    assert.doesNotMatch(equal, /hunter2/);
    await fails(['pool', 'k', '-'], 2, /no line with an element/, { input: '\n' });
    await fails(['pool', 'k', '-'], 2, /not UTF-8 text/, { input: Buffer.from([0xff]) });
  });

  it('gives a stored value to one at a time', async () => {
    await ok(['set', 'device', 'phone', '--ttl', '1m']);
    assert.equal(await ok(['lease', 'device', '--worker', '1']), 'phone\n');
    await fails(['lease', 'device', '--worker', '2'], 1, /lease "device": /);
  });

  it('gives as many permits as limit says', async () => {
    assert.equal(await ok(['limit', 'uploads', '2']), 'true\n');
    await fails(['limit', 'uploads', '5'], 1, /limit "uploads": /);
    assert.equal(await ok(['lease', 'uploads', '--worker', '1']), '0\n');
    assert.equal(await ok(['lease', 'uploads', '--worker', '2']), '1\n');
    await fails(['lease', 'uploads', '--worker', '3'], 1, /lease "uploads": /);
    await fails(['pool', 'uploads', 'x'], 1, /pool "uploads": /);
  });

  it('waits its turn with --wait, in order of arrival', async () => {
    await client.pool('turn', ['the only one']);
    await ok(['lease', 'turn', '--worker', 'first']);
    const second = await queued('turn', ['lease', 'turn', '--worker', 'second', '--wait', '1h']);
    const third = await queued('turn', ['lease', 'turn', '--worker', 'third', '--wait', '1h']);
    await ok(['release', '--worker', 'first']);
    const { stderr, ...rest } = await second.result();
    assert.deepEqual(rest, { code: 0, signal: null, stdout: 'the only one\n' });
    assert.match(stderr, ENDS);
    assert.equal(await waiters('turn'), 1);
    await ok(['release', '--worker', 'second']);
    assert.equal((await third.result()).stdout, 'the only one\n');
  });

  it('gives up when --wait is over', async () => {
    await client.limit('busy', 1);
    await ok(['lease', 'busy', '--worker', '1']);
    const held =
      /lease "busy": It is held by worker "1" for .+\. Nothing of it is free\. --wait TIME/;
    await fails(['lease', 'busy', '--worker', '2'], 1, held);
    const late = /"busy": It is held by worker "1" for .+\. Nothing of it became free in time/;
    await fails(['lease', 'busy', '--worker', '2', '--wait', '50ms'], 1, late);
    assert.equal(await waiters('busy'), 0);
  });

  it('is out of the queue when it is killed', async () => {
    await client.limit('killed', 1);
    await ok(['lease', 'killed', '--worker', '1']);
    const waiting = await queued('killed', ['lease', 'killed', '--worker', '2', '--wait', '1h']);
    waiting.child.kill('SIGKILL');
    await until(async () => (await waiters('killed')) === 0, 'nobody should wait');
  });

  it('ends with its TTL', async () => {
    await client.limit('short', 1);
    await ok(['lease', 'short', '--worker', '1', '--ttl', '1ms']);
    assert.equal(await ok(['lease', 'short', '--worker', '2', '--wait', '30s']), '0\n');
  });
});

describe('renew', () => {
  it('extends what the worker holds', async () => {
    await ok(['lease', 'renewed:a', '--worker', 'renews', '--ttl', '1m']);
    await ok(['lease', 'renewed:b', '--worker', 'renews', '--ttl', '1m']);
    assert.equal(await ok(['renew', '--worker', 'renews', '--ttl', '1h']), 'renewed 2\n');
    const ttls = (await client.leases('renewed:')).map(({ ttl }) => ttl);
    assert.ok(ttls.length === 2 && ttls.every((ttl) => ttl > 3_000_000), String(ttls));
    assert.equal(await ok(['renew', 'renewed:a', '--worker', 'renews']), 'renewed 1\n');
  });

  it('says what is lost, by its status as well', async () => {
    await client.limit('lost\u001b', 1);
    await ok(['lease', 'lost\u001b', '--worker', 'late', '--ttl', '1ms']);
    await client.lease('lost\u001b', 'next', { waitMs: 30_000 });
    const shown = await prints(1, ['renew', '--worker', 'late']);
    assert.equal(shown, 'renewed 0\nlost "lost\\u001b"\n');
    const told = JSON.parse(await prints(1, ['renew', '--worker', 'late', '--json']));
    assert.deepEqual(told, { renewed: 0, lost: [] });
  });
});

describe('release', () => {
  it('of nothing is false, and no failure', async () => {
    assert.equal(await ok(['release', '--worker', 'nobody']), 'false\n');
  });

  it('of everything a worker holds', async () => {
    for (const key of ['all:1', 'all:2']) await ok(['lease', key, '--worker', 'holds two']);
    assert.equal(await ok(['release', '--worker', 'holds two']), 'true\n');
    assert.deepEqual(await client.leases('all:'), []);
  });

  it('refuses what a live process holds, unless forced', async () => {
    await client.lease('alive', 'w');
    await fails(['release', 'alive', '--worker', 'w'], 1, /release "alive": .*--force/);
    assert.equal((await client.leases('alive')).length, 1);
    // The name in the environment does not narrow down whose it is.
    const env = { WORKER_ID: 'somebody else' };
    assert.equal(await ok(['release', 'alive', '--force'], { env }), 'true\n');
    assert.deepEqual(await client.leases('alive'), []);
  });

  it('by force, of one worker', async () => {
    for (const worker of ['dead', 'living']) await client.lease('forced', worker);
    assert.equal(await ok(['release', '--force', '--worker', 'dead']), 'true\n');
    const left = await client.leases('forced');
    assert.deepEqual(
      left.map(({ workerId }) => workerId),
      ['living'],
    );
  });

  it('with --discard takes the element out of its pool', async () => {
    await client.pool('broken', ['a', 'b']);
    assert.equal(await ok(['lease', 'broken', '--worker', '1']), 'a\n');
    assert.equal(await ok(['release', 'broken', '--worker', '1', '--discard']), 'true\n');
    assert.equal(await ok(['lease', 'broken', '--worker', '2']), 'b\n');
    await fails(['lease', 'broken', '--worker', '3'], 1, /lease "broken": /);
  });
});

describe('wait', () => {
  it('prints the value that is there', async () => {
    await client.set('there', 'now', 60_000);
    assert.equal(await ok(['wait', 'there']), 'now\n');
    assert.equal(await ok(['wait', 'there', '--json']), '"now"\n');
  });

  it('prints the value once it comes', async () => {
    const earlier = (await client.stats()).waiting;
    const running = launchCli(['wait', 'later'], withBroker());
    await until(async () => (await client.stats()).waiting > earlier, 'it should wait');
    await client.set('later', { n: 1 }, 60_000);
    const { code, stdout, stderr } = await running.result();
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '{"n":1}\n', stderr: '' });
  });

  it('gives up when --wait is over', async () => {
    await fails(
      ['wait', 'never', '--wait', '50ms'],
      1,
      /wait "never": it has got no value in time/,
    );
    await fails(['wait', 'never', '--wait', '0'], 1, /wait "never": it has got no value in time/);
  });
});

describe('leases', () => {
  it('shows who holds and who waits, never values', async () => {
    await client.pool('who', ['SECRET-VALUE']);
    await ok(['lease', 'who', '--worker', 'the holder', '--ttl', '1h']);
    const waiting = await queued('who', ['lease', 'who', '--worker', 'w2', '--wait', '90m']);
    const lines = (await ok(['leases', 'who'])).trimEnd().split('\n');
    assert.match(lines[0], /^KEY +KIND +STATE +WORKER +PID +LEFT +SINCE$/);
    assert.match(lines[1], /^who +pool +held +the holder +- +(1h 0m|59m \d+s) +\S.* ago$/);
    assert.match(lines[2], /^who +pool +waiting +w2 +\d+ +1h (29|30)m +\S.* ago$/);
    assert.equal(lines.length, 3);
    const rows = JSON.parse(await ok(['leases', 'who', '--json']));
    assert.deepEqual(
      rows.map(({ key, kind, state, workerId }) => [key, kind, state, workerId]),
      [
        ['who', 'pool', 'held', 'the holder'],
        ['who', 'pool', 'waiting', 'w2'],
      ],
    );
    assert.doesNotMatch(lines.join() + JSON.stringify(rows), /SECRET-VALUE/);
    waiting.child.kill('SIGTERM');
    await waiting.closed;
  });

  it('shows locks, and that they are shared', async () => {
    const options = { mode: 'shared', workerId: 'reader' };
    await client.lock('seen', options, async () => {
      assert.match(await ok(['leases', 'seen']), /^seen +lock +held, shared +reader +\d+ +/m);
    });
  });

  it('of nothing prints nothing, and says so on stderr', async () => {
    const none = await epb(['leases', 'no such prefix']);
    const told =
      'ephemeral-pipe-broker: leases: no leases of keys that begin with no such prefix\n';
    assert.deepEqual([none.code, none.stdout, none.stderr], [0, '', told]);
    assert.equal(await ok(['leases', 'no such prefix', '--json']), '[]\n');
  });

  it('cannot be used to write to the terminal', async () => {
    await client.lease('evil', 'red\u001b[31m');
    const shown = await ok(['leases', 'evil']);
    assert.ok(!shown.includes('\u001b'), 'an escape sequence got through');
    assert.match(shown, /"red\\u001b\[31m"/);
  });
});

describe('wrong use is status 2', () => {
  for (const [args, expected] of [
    [['lease'], /lease: something is missing; usage: ephemeral-pipe-broker lease KEY/],
    [['lease', 'k', '--worker', ''], /--worker takes/],
    [['lease', 'k', '--worker', 'w', '--ttl', '0'], /--ttl takes/],
    [['lease', 'k', '--worker', 'w', '--wait', 'long'], /--wait takes/],
    [['release', '--force'], /--force needs to know what: a KEY, --worker NAME, or both/],
    [
      ['limit', 'k', '0'],
      /limit: how many at a time\? A whole number from 1 to 1,000,000, not "0"/,
    ],
    [['limit', 'k', 'two'], /1 to 1,000,000, not "two"/],
    [['limit', 'k', '1e9'], /1 to 1,000,000, not "1e9"/],
    [['limit', 'k', '1000001'], /1 to 1,000,000, not "1000001"/],
    [['pool', 'k'], /pool: something is missing/],
    [['leases', 'a', 'b'], /leases: too many words/],
    [['wait', 'k', '--ttl', '1'], /Unknown flag --ttl/],
  ]) {
    it(args.join(' '), () => fails(args, 2, expected));
  }
});

it('no broker is status 3', async () => {
  const args = ['lease', 'k', '--worker', 'w', '--pipe', '/no/such.sock', '--timeout', '100ms'];
  const { code, stderr } = await runCli(args);
  assert.equal(code, 3);
  assert.match(stderr, /lease "k": .*\/no\/such\.sock/);
});

describe('lease KEY --pid N', { skip: process.platform === 'win32' }, () => {
  /** A process, and its end. */
  function another(t) {
    const running = launchCli(['wait', `never ${Math.random()}`], withBroker());
    t.after(() => running.child.kill('SIGKILL'));
    return running;
  }

  it('lasts as long as the process, beyond the command and its TTL', async (t) => {
    const { child, pid } = another(t);
    const args = ['lease', 'tied', '--pid', String(pid), '--ttl', '200ms'];
    assert.deepEqual(await epb(args), { code: 0, signal: null, stdout: '0\n', stderr: '' });
    const [{ token, pid: shown, workerId }] = await client.leases('tied');
    assert.deepEqual([shown, workerId], [pid, String(pid)]);
    await until(async () => {
      const [row] = await client.leases('tied');
      assert.equal(row?.token, token);
      return Date.now() - row.since > 600;
    }, 'it should outlive its TTL');
    child.kill('SIGKILL');
    await until(async () => (await client.leases('tied')).length === 0, 'it should end');
  });

  it('waits for its turn, and no longer than the command that asked', async (t) => {
    await client.pool('tied pool', ['account']);
    const first = another(t);
    const args = (pid) => ['lease', 'tied pool', '--pid', String(pid), '--wait', '1m'];
    assert.equal((await epb(args(first.pid))).stdout, 'account\n');
    const second = another(t);
    const dying = await queued('tied pool', args(second.pid));
    const waiting = await queued('tied pool', args(second.pid));
    dying.child.kill('SIGINT');
    await until(async () => (await waiters('tied pool')) === 1, 'one should wait');
    first.child.kill('SIGKILL');
    assert.equal((await waiting.result()).stdout, 'account\n');
  });

  it('refuses what makes no sense', async () => {
    await fails(['lease', 'tied', '--pid', '2147483647'], 1, /no such process/);
    await fails(['lease', 'tied', '--pid', '4294967296'], 2, /the number of a process/);
    await fails(['lease', 'tied', '--pid', '1', '--', 'true'], 2, /without a command/);
  });
});

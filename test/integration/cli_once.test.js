/**
 * `epb once KEY --ttl T -- command`: one process runs the command, all have what it printed.
 */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, it } = require('node:test');
const { launchCli, runCli, scratch, standalone, until, runDirectly } = require('../helpers/cli.js');
const { PipeClient } = require('../../lib/index.js');

runDirectly();

/** One broker for all tests of this file; each uses keys of its own. */
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

const once = (key, ...command) => ['once', key, '--ttl', '1m', '--', ...command];
const epb = (args, settings = {}) => runCli(args, { env: broker.env, ...settings });
const launchOnce = (args, settings = {}) => launchCli(args, { env: broker.env, ...settings });

/** A script that counts its runs in a file, says that it runs, and goes on when another file is there. */
function script(t, rest) {
  const folder = scratch(t);
  const runs = path.join(folder, 'runs');
  const go = path.join(folder, 'go');
  const text = `echo run >> ${runs}; while [ -e ${runs} ] && [ ! -e ${go} ]; do sleep 0.01; done; ${rest}`;
  return {
    command: ['sh', '-c', text],
    runs: () => (fs.existsSync(runs) ? fs.readFileSync(runs, 'utf8').split('\n').length - 1 : 0),
    go: () => fs.writeFileSync(go, ''),
  };
}

const waiters = async (key) =>
  (await client.leases(key)).filter(({ state }) => state === 'waiting').length;

it('prints what the command printed, for all, and runs it once', async (t) => {
  const { command, runs, go } = script(t, 'printf "token 7\\n"');
  const all = Array.from({ length: 5 }, () => launchOnce(once('token', ...command)));
  await until(async () => (await waiters('token')) === 4, 'four should wait');
  go();
  for (const running of all) {
    const { code, stdout, stderr } = await running.result();
    assert.deepEqual([code, stdout, stderr], [0, 'token 7\n', '']);
  }
  assert.equal(runs(), 1);
  assert.equal(await client.get('token'), 'token 7');
  assert.equal((await epb(once('token', 'false'))).stdout, 'token 7\n');
});

it('a failure is the failure of all that wait, and the next one runs it again', async (t) => {
  const { command, runs, go } = script(t, 'echo half; exit 3');
  const all = Array.from({ length: 3 }, () => launchOnce(once('failing', ...command)));
  await until(async () => (await waiters('failing')) === 2, 'two should wait');
  go();
  for (const running of all) {
    const { code, stdout, stderr } = await running.result();
    assert.deepEqual([code, stdout], [3, '']);
    assert.match(stderr, /^ephemeral-pipe-broker: once: compute_failed: .* status 3\n$/);
  }
  assert.equal(runs(), 1);
  assert.equal((await epb(once('failing', 'echo', 'better'))).stdout, 'better\n');
});

it('the command has our standard input and error', async () => {
  const { code, stdout, stderr } = await epb(once('streams', 'sh', '-c', 'cat; echo told >&2'), {
    input: 'typed',
  });
  assert.deepEqual([code, stdout, stderr], [0, 'typed\n', 'told\n']);
});

it('refuses output that is no text, and says that the command is missing', async () => {
  const nul = await epb(once('nul', 'printf', 'a\\000b'));
  assert.deepEqual([nul.code, nul.stdout], [1, '']);
  assert.match(nul.stderr, /invalid_value/);
  const large = await epb(once('large', 'head', '-c', '300000', '/dev/zero'));
  assert.equal(large.code, 1);
  const tooLarge = await epb(once('too large', 'sh', '-c', 'yes | head -c 300000'));
  assert.deepEqual([tooLarge.code, tooLarge.stdout], [1, '']);
  assert.match(tooLarge.stderr, /has \d{6} bytes, and the broker takes/);
  const missing = await epb(once('missing', 'no-such-command-at-all'));
  assert.equal(missing.code, 127);
  const endless = await epb(['once', 'k', '--', 'true']);
  assert.deepEqual([endless.code, /--ttl 30s/.test(endless.stderr)], [2, true]);
});

it('TERM reaches the command, and another takes over from one that was killed', async (t) => {
  const { command, runs, go } = script(t, 'echo done');
  const first = launchOnce(once('ended', 'sh', '-c', 'echo $$ >&2; exec sleep 600'));
  await first.sees(/\d+\n/, 'stderr');
  first.child.kill('SIGTERM');
  const { code } = await first.result();
  assert.equal(code, 128 + 15);
  const killed = launchOnce(once('killed', ...command));
  await until(() => runs() === 1, 'it should run');
  const next = launchOnce(once('killed', ...command));
  await until(async () => (await waiters('killed')) === 1, 'the other should wait');
  killed.child.kill('SIGKILL');
  await until(() => runs() === 2, 'the other should run it');
  go();
  assert.equal((await next.result()).stdout, 'done\n');
});

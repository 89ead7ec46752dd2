// The frame of the adapter tests itself, with plain Node processes in place of a runner.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { framework, processesIn } = require('../helpers/framework.js');
const { Broker } = require('../../lib/index.js');

const node = framework('client', { packages: ['ephemeral-pipe-client'] });

const WORKER = `
  const { PipeClient } = require('ephemeral-pipe-client');
  const { hold } = require('./witness.cjs');
  (async () => {
    const client = new PipeClient();
    for (let i = 0; i < 5; i++) {
      await client.withLease('accounts', (account) => hold(account, () => client.incr('uses', 1, 60_000)));
    }
    await client.close();
  })();
`;
const THREE =
  ['a', 'b', 'c'].map((w) => `node worker.js & ${w}=$!; `).join('') +
  'wait $a && wait $b && wait $c';

function broker(t) {
  const own = new Broker({ exportEnv: false, secret: 'auto' });
  own.startSync();
  t.after(() => own.stop({ drainMs: 0 }));
  return own;
}

test('processes of an installed package share a pool, and leave nothing', async (t) => {
  const around = broker(t);
  await around.client().pool('accounts', ['ann', 'bob']);
  const project = await node.project(t, { files: { 'worker.js': WORKER } });
  const { code, output, events } = await project.run(['sh', '-c', THREE], { around });
  assert.equal(code, 0, output);
  assert.equal(events.filter(({ what }) => what === 'enter').length, 15);
  assert.equal(await around.client().get('uses'), 15);
});

test('an element with two users at a time fails the run', async (t) => {
  const files = {
    'worker.js': `
      const { hold } = require('./witness.cjs');
      void Promise.all([1, 2].map(() => hold('ann', () => new Promise(setImmediate))));`,
  };
  const project = await node.project(t, { files });
  await assert.rejects(project.run(['node', 'worker.js']), { code: 'ERR_ASSERTION' });
  assert.equal(project.witness.violations().length, 1);
});

test('what a killed process held is free', async (t) => {
  const files = {
    'worker.js': `
      require('./witness.cjs').enter('ann');
      if (process.argv[2] === 'die') process.kill(process.pid, 'SIGKILL');`,
  };
  const project = await node.project(t, { files });
  const { code } = await project.run(['sh', '-c', 'node worker.js die; node worker.js']);
  assert.equal(code, 0);
});

test('a run gets none of our environment', async (t) => {
  process.env.EPHEMERAL_PIPE = '/nowhere';
  t.after(() => delete process.env.EPHEMERAL_PIPE);
  const files = { 'env.js': 'console.log(Object.keys(process.env).join(" "))' };
  const project = await node.project(t, { files });
  const { stdout } = await project.run(['node', 'env.js'], { env: { OWN: '1' } });
  const names = stdout.trim().split(' ');
  assert.ok(names.includes('OWN') && names.includes('TMPDIR'), stdout);
  assert.deepEqual(
    names.filter((name) => /^(EPHEMERAL_|NODE_|npm_)/.test(name)),
    [],
  );
});

test('a process that the runner leaves is found, and killed if that is known', async (t) => {
  const files = {
    'main.js': `
      const { spawn } = require('node:child_process');
      spawn('sleep', ['600'], { detached: true, stdio: 'ignore' }).unref();`,
  };
  const project = await node.project(t, { files });
  const running = project.start(['node', 'main.js']);
  await running.closed;
  assert.equal(processesIn(project.folder).length, 1);
  await project.end(running, { strays: /^sleep 600$/ });
  assert.deepEqual(processesIn(project.folder), []);
});

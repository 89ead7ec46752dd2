// @ephemeral-broker/playwright in Playwright, with Debian's Chromium.
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { createServer } = require('node:net');
const { test } = require('node:test');

const { Broker } = require('../../lib/index.js');
const { framework } = require('../helpers/framework.js');
const { node24 } = require('../helpers/installation.js');

const playwright = framework('playwright');
const ADAPTER = '@ephemeral-broker/playwright';
const LINE = ['playwright', 'test', '--reporter=line'];

/** A configuration. `own`, `options`: the inside of an object literal. */
const config = (own, options) => `
  const { defineConfig, withBroker } = require('${ADAPTER}');
  const { note } = require('./witness.cjs');
  module.exports = withBroker(defineConfig({
    testDir: 'tests', fullyParallel: true, outputDir: 'results', ${own}
  }), { ${options} });`;

/** A file of tests. */
const spec = (body) => `
  const { setTimeout: pause } = require('node:timers/promises');
  const { PipeClient } = require('ephemeral-pipe-broker');
  const { expect, leased, test: base } = require('${ADAPTER}');
  const { hold, note } = require('../witness.cjs');
  const test = base.extend({
    free: leased('accounts'),
    account: ({ free }, use) => hold(free, () => use(free)),
  });
  ${body}`;

/** The counts at the end of the output, by what happened to the tests. */
function summary(output) {
  const rows = output.matchAll(/^ +(\d+) (passed|failed|flaky|did not run|interrupted)\b/gm);
  return Object.fromEntries([...rows].map(([, count, what]) => [what, Number(count)]));
}

const noted = (events, name) => events.filter(({ what }) => what === name);

function startBroker(t) {
  const broker = new Broker({ exportEnv: false, secret: 'auto' });
  broker.startSync();
  t.after(() => broker.stop({ drainMs: 0 }));
  return broker;
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

test('the types compile with those of Playwright', async (t) => {
  await (await playwright.project(t)).types('playwright');
});

test('the example: four workers take turns with two accounts', async (t) => {
  const project = await playwright.project(t, { example: true });
  const { code, output } = await project.run([...LINE, '--output=results']);
  assert.equal(code, 0, output);
  assert.deepEqual(summary(output), { passed: 12 });
});

/** The limit of a test is less than what the tests wait for each other. */
const SHARING = spec(`
  for (const n of [1, 2, 3, 4, 5, 6]) {
    test('waits in a fixture ' + n, ({ account }) => pause(1000, account));
  }
  for (const n of [1, 2, 3]) {
    test('waits in the body ' + n, async ({ lease }) => {
      const limit = test.info().timeout;
      const account = await lease('accounts');
      expect(test.info().timeout).toBeGreaterThanOrEqual(limit);
      await hold(account, () => pause(1000));
    });
  }
  test('is killed while it holds', ({ account }, info) => {
    if (info.retry === 0) process.kill(process.pid, 'SIGKILL');
  });
  test('fails while it holds', ({ account }, info) => {
    expect(info.retry).toBe(1);
  });
  test('is too slow while it holds', async ({ account }, info) => {
    if (info.retry === 0) await pause(60_000, undefined, { ref: false });
  });
  test('opens a page', async ({ account, broker, page, request }) => {
    await page.setContent('<title>' + account + '</title>');
    expect(await page.title()).toBe(account);
    const answer = await request.get('http://127.0.0.1:' + process.env.PORT);
    expect(await answer.text()).toBe('1');
    expect(await broker.get('by-setup')).toBe('yes');
  });
  for (const n of [1, 2, 3, 4]) {
    test('has the tokens of its worker ' + n, ({ tokens }) => {
      expect(tokens.seat).toBe(Number(process.env.SEAT));
      expect(tokens.seller).not.toBe(tokens.buyer);
      note('token', { seat: tokens.seat });
    });
  }`);

test('three workers share an account: waits, failures, timeouts, a killed worker', async (t) => {
  const own = `
    workers: 3, retries: 1, timeout: 4000, globalSetup: require.resolve('./setup.js'),
    use: {
      browserName: 'chromium',
      launchOptions: { executablePath: '${playwright.chromium}', args: ['--no-sandbox'] },
    },
    webServer: { command: 'node server.js', url: 'http://127.0.0.1:' + process.env.PORT },`;
  const options = `
    pools: {
      accounts: async () => { note('pools'); return ['ann']; },
      people: ['a', 'b', 'c', 'd', 'e', 'f'],
    },
    tokens: { seat: { key: 'seats', slot: true, env: 'SEAT' }, buyer: 'people', seller: 'people' },
    cleanup: async (client) =>
      note('cleanup', { held: (await client.leases()).length, mine: await client.get('by-setup') }),`;
  const files = {
    'playwright.config.js': config(own, options),
    'setup.js': `
      const { PipeClient } = require('ephemeral-pipe-broker');
      module.exports = async () => {
        const client = new PipeClient();
        await client.set('by-setup', 'yes', 600_000);
        await client.close();
      };`,
    // Playwright starts it before any global setup: it answers with what its own client reads.
    'server.js': `
      const { PipeClient } = require('ephemeral-pipe-broker');
      const client = new PipeClient();
      const answer = async (_, response) =>
        response.end(String(await client.getOrSet('server', 60_000, () => 1)));
      require('node:http').createServer(answer).listen(Number(process.env.PORT), '127.0.0.1');`,
    'tests/sharing.spec.js': SHARING,
  };
  const project = await playwright.project(t, { files });
  const env = { PORT: String(await freePort()) };
  const { code, output, events } = await project.run(LINE, { env });
  assert.equal(code, 0, output);
  assert.deepEqual(summary(output), { flaky: 3, passed: 14 }, output);
  assert.equal(noted(events, 'pools').length, 1, 'a function of pools runs once');
  const ends = noted(events, 'cleanup').map(({ held, mine }) => ({ held, mine }));
  assert.deepEqual(ends, [{ held: 0, mine: 'yes' }]);
  assert.ok(noted(events, 'token').every(({ seat }) => seat >= 0 && seat < 3));
});

const PARTS = spec(`
  for (const n of [1, 2, 3, 4]) {
    test('part ' + n, ({ account }) => note('part', { account }));
  }`);

test('shards split the pool, also with one worker and below start', async (t) => {
  const pools = "pools: { accounts: ['a', 'b', 'c', 'd'] }, shard: true";
  const files = {
    'playwright.config.js': config('workers: 1', pools),
    'tests/parts.spec.js': PARTS,
  };
  const used = [];
  for (const shard of ['1/2', '2/2']) {
    const project = await playwright.project(t, { files });
    const start = shard === '2/2';
    const { code, output, events } = await project.run([...LINE, `--shard=${shard}`], { start });
    assert.equal(code, 0, output);
    assert.deepEqual(summary(output), { passed: 2 });
    used.push([...new Set(noted(events, 'part').map(({ account }) => account))].sort());
  }
  assert.deepEqual(used, [
    ['a', 'c'],
    ['b', 'd'],
  ]);
});

test('the report of a failed call shows the line in the test', async (t) => {
  const files = {
    'playwright.config.js': "module.exports = { testDir: 'tests', outputDir: 'results' };",
    'tests/line.spec.js': `
      const { test } = require('@playwright/test');
      const { PipeClient } = require('ephemeral-pipe-broker');
      const client = new PipeClient();
      test('awaited', async () => {
        await client.get('awaited');
      });
      test('returned', () => client.get('returned'));
      test('within', async () => {
        await client.withLease('nothing of this name', async () => {});
      });`,
  };
  const project = await playwright.project(t, { files });
  const { output } = await project.run(LINE, { around: startBroker(t) });
  for (const call of [
    "await client\\.get\\('awaited'",
    "client\\.get\\('returned'",
    'client\\.withLease',
  ]) {
    assert.match(output, new RegExp(`> +\\d+ \\|.*${call}`));
  }
});

test('a token that is lost fails the test that used it', async (t) => {
  const around = startBroker(t);
  const files = {
    'playwright.config.js': config(
      'workers: 1, fullyParallel: false',
      "pools: { accounts: ['ann', 'bob'], single: ['cat'] }, tokens: { admin: 'accounts' }",
    ),
    'tests/lost.spec.js': spec(`
      const lose = async (key, info) => {
        const other = new PipeClient(null, { workerId: 'other' });
        expect(await other.release('pw:' + info.parallelIndex, key, { force: true })).toBeTruthy();
        await other.close();
      };
      test('is fine', ({ tokens }) => { expect(tokens.admin).toMatch(/ann|bob/); });
      test('loses the token', async ({ tokens }, info) => {
        expect(tokens.admin).toMatch(/ann|bob/);
        await lose('accounts', info);
        await pause(300);
      });
      test('has another', ({ tokens }) => { expect(tokens.admin).toMatch(/ann|bob/); });
      test('loses a lease', async ({ lease }, info) => {
        await lease('single');
        await lose('single', info);
      });
      test('does not wait for ever', async ({ lease }) => {
        await lease('single');
        await lease('single', { waitMs: 50 });
      });`),
  };
  const project = await playwright.project(t, { files });
  const { code, output } = await project.run(LINE, { around });
  assert.equal(code, 1);
  assert.deepEqual(summary(output), { failed: 3, passed: 2 }, output);
  for (const [token, title] of [
    ['admin', 'loses the token'],
    ['single', 'loses a lease'],
  ]) {
    const text =
      `lease_lost: The token "${token}" was taken from this worker during "${title}": it stood ` +
      'still for longer than 60000 ms, or somebody used --force. Another worker may have used it ' +
      'meanwhile.';
    assert.ok(output.includes(text), `${text}\n${output}`);
  }
  assert.match(
    output,
    /wait_timeout: Waited 0 s for "single": held by pw:0 for \d+ s\. The pool has 1 elements for 2 workers: add elements, lower the number of workers, or raise waitMs\./,
  );
});

/**
 * One test holds, the others wait. A test that Playwright interrupts between its fixtures and its body runs to
 * its end, so no test may last for ever.
 */
const HOLDING = {
  'playwright.config.js': config(
    'workers: 3, timeout: 0',
    "pools: { accounts: ['ann'] }, noticeMs: 0",
  ),
  'tests/holding.spec.js': spec(`
    for (const n of [1, 2, 3]) {
      test('holds ' + n, async ({ account, broker }) => {
        note('holding');
        for (const end = Date.now() + 5000; Date.now() < end; ) {
          await broker.has('x');
          await pause(50);
        }
      });
    }`),
};

test('a broker that ends in mid-run fails the tests, and nothing hangs', async (t) => {
  const broker = startBroker(t);
  const project = await playwright.project(t, { files: HOLDING });
  const env = { ...broker.env(), CLIENT_TIMEOUT: '2s' };
  const running = await project.startUntil(LINE, 'holding', { env });
  await broker.stop({ drainMs: 0 });
  const { code, output } = await project.end(running);
  assert.equal(code, 1, output);
  assert.equal(summary(output).failed, 3, output);
  assert.match(output, /BrokerError: acquire "accounts": No broker at/);
  assert.match(output, /BrokerError: has "x": No broker at/);
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL']) {
  test(`a run that ${signal} ends leaves nothing`, async (t) => {
    const project = await playwright.project(t, { files: HOLDING });
    // A worker without its main process ends when its test does, which then finds no broker.
    const env = { CLIENT_TIMEOUT: '2s' };
    const running = await project.startUntil(LINE, 'holding', { env });
    running.child.kill(signal);
    // Only the next start of a broker can remove the socket of a broker that was killed.
    const { code, output } = await project.end(running, { leavesSocket: signal === 'SIGKILL' });
    assert.notEqual(code, 0, output);
  });
}

test('a configuration error ends the run before its first test', async (t) => {
  const files = {
    'typo.config.js': config('', "pools: { accounts: ['a'] }, tokens: { admin: 'acounts' }"),
    'option.config.js': config('', 'pool: {}'),
    'tests/never.spec.js': spec("test('never', ({ tokens }) => note('ran', tokens));"),
  };
  const project = await playwright.project(t, { files });
  const typo = await project.run([...LINE, '--config=typo.config.js']);
  assert.equal(typo.code, 1);
  const text =
    'not_found: The token "admin" names the key "acounts", and nothing has that name. Known: ' +
    `"accounts". Define it in pools or values, or say { key: 'acounts', slot: true } for a number.`;
  assert.ok(typo.output.includes(text), typo.output);
  const option = await project.run([...LINE, '--config=option.config.js']);
  assert.equal(option.code, 1);
  assert.match(option.output, /ensureRun\(\).*pool/);
  assert.deepEqual(noted(option.events, 'ran'), []);
});

test('without withBroker a test says what to do', async (t) => {
  const files = {
    'playwright.config.js': "module.exports = { testDir: 'tests' };",
    'tests/bare.spec.js': spec("test('bare', ({ broker }) => broker.has('x'));"),
  };
  const project = await playwright.project(t, { files });
  const { code, output } = await project.run(LINE);
  assert.equal(code, 1);
  const text =
    'broker_gone: EPHEMERAL_PIPE is not set in this worker. Wrap the config: export default ' +
    'withBroker(defineConfig({ … })). Or run it below `ephemeral-pipe-broker start --`.';
  assert.ok(output.includes(text), output);
});

test('the reporters of the user are kept, and the default one', async (t) => {
  const run = async (own) => {
    const files = {
      'playwright.config.js': config(`workers: 1, ${own}`, "pools: { accounts: ['a'] }"),
      'tests/parts.spec.js': PARTS,
    };
    const project = await playwright.project(t, { files });
    return (await project.run(['playwright', 'test'])).stdout;
  };
  assert.match(await run(''), /^ +(ok|✓) +1 .*part 1/m);
  assert.match(await run("reporter: 'dot'"), /^····$/m);
});

/** Plays the UI, which asks Playwright's server for its runs. */
const UI = `
  const { spawn } = require('node:child_process');
  const server = spawn('playwright', ['test-server', '--port', '0', '-c', 'playwright.config.js'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let text = '';
  server.stdout.on('data', (data) => {
    text += data;
    const found = /Listening on (\\S+)/.exec(text);
    if (found) play(found[1].replace('http', 'ws'));
    text = found ? '' : text;
  });
  function play(url) {
    const socket = new WebSocket(url);
    const pending = new Map();
    const ask = (method, params = {}) => new Promise((resolve) => {
      const id = pending.size + 1;
      pending.set(id, resolve);
      socket.send(JSON.stringify({ id, method, params }));
    });
    socket.onmessage = ({ data }) => {
      const { id, error, result } = JSON.parse(data);
      if (error) console.log(JSON.stringify(error));
      pending.get(id)?.(result);
    };
    socket.onopen = async () => {
      await ask('initialize', { interceptStdio: false });
      console.log('setup', JSON.stringify(await ask('runGlobalSetup')));
      for (let i = 0; i < 3; i++) console.log('run', JSON.stringify(await ask('runTests', {})));
      console.log('teardown', JSON.stringify(await ask('runGlobalTeardown')));
      socket.close();
      server.kill();
    };
  }`;

test('in the UI each run begins with what the configuration stores', async (t) => {
  const options = `
    pools: { accounts: ['a', 'b'] },
    cleanup: async (client) => note('cleanup', { count: await client.get('count') }),`;
  const files = {
    'playwright.config.js': config("workers: 2, reporter: 'line'", options),
    'ui.js': UI,
    'tests/count.spec.js': spec(`
      for (const n of [1, 2, 3]) {
        test('count ' + n, ({ account, broker }) => broker.incr('count', account ? 1 : 0, '1m'));
      }`),
  };
  const project = await playwright.project(t, { files });
  // The script needs the WebSocket of a newer Node.
  const { output, events } = await project.run([await node24(), 'ui.js']);
  const counts = noted(events, 'cleanup').map(({ count }) => count);
  assert.deepEqual(counts, [3, 3, 3], output);
});

'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { test } = require('node:test');

test('re-exports the client of ephemeral-pipe-broker: no second copy', async () => {
  const own = require('ephemeral-pipe-client');
  const broker = require('ephemeral-pipe-broker');
  assert.equal(own.PipeClient, broker.PipeClient);
  assert.equal(own.Client, broker.PipeClient);
  assert.equal(own.BrokerError, broker.BrokerError);
  assert.deepEqual(Object.keys(own).sort(), ['BrokerError', 'Client', 'PipeClient']);
  const { PipeClient } = await import('ephemeral-pipe-client');
  assert.equal(PipeClient, broker.PipeClient);
});

test('loads no broker code, and no native code before it is used', () => {
  const script = `
    require('ephemeral-pipe-client');
    const loaded = Object.keys(require.cache).map((file) => require('node:path').basename(file));
    console.log(JSON.stringify(loaded));
  `;
  const output = execFileSync(process.execPath, ['-e', script], { cwd: __dirname });
  const loaded = JSON.parse(output.toString());
  assert.ok(loaded.includes('client.js'));
  assert.deepEqual(
    loaded.filter((file) => /^(broker|runner)\.js$|\.node$|node-gyp-build/.test(file)),
    [],
  );
});

/**
 * The script of the package under Node, Bun and Deno becomes the program: the command has what it has without
 * any of them. Bun and Deno are tried where they are installed (in PATH, or EPB_BUN and EPB_DENO).
 */
'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const { describe, it } = require('node:test');
const { BIN, cleanEnv, launch, scratch } = require('../helpers/cli.js');

const RUNTIMES = {
  Node: [process.execPath],
  Bun: [process.env.EPB_BUN ?? 'bun'],
  Deno: [process.env.EPB_DENO ?? 'deno', 'run', '--allow-all'],
};

/** Descriptors 4, 12 and 14, another limit, and a byte that is no UTF-8. */
const AROUND = `ulimit -Sn 300; exec 4</dev/null 12</dev/null 14<<<x; export EPB_BYTE=$'\\xff'; ("$@"); exit $?`;
const SHOWS = `
  ulimit -n; grep -E 'Sig(Blk|Ign)' /proc/self/status
  for fd in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
    if [ -e /proc/$$/fd/$fd ]; then echo $fd; fi
  done
  printf '[%s]' "$EPB_BYTE" "$@"; exit 5`;

function around(t, words) {
  const command = ['sh', '-c', SHOWS, 'sh', 'a b', '', '--wait'];
  const args = ['-c', AROUND, 'bash', ...words, ...command];
  const env = cleanEnv({ TMPDIR: scratch(t) });
  const { stdout, stderr, status } = spawnSync('bash', args, { env, encoding: 'latin1' });
  return { stdout, stderr, status };
}

for (const [name, words] of Object.entries(RUNTIMES)) {
  const missing = spawnSync(words[0], ['--version']).error && `${words[0]} is not installed`;

  describe(`under ${name}`, { skip: process.platform !== 'linux' || missing }, () => {
    it('the command has its descriptors, its limit, its signals and its bytes', (t) => {
      const plain = around(t, []);
      assert.match(plain.stdout, /^300\n[^]*\n4\n[^]*12\n14\n\[\xff\]\[a b\]\[\]\[--wait\]$/);
      assert.deepEqual(around(t, [...words, BIN, 'start', '--']), plain);
    });

    it('the process that was started is the command', async (t) => {
      const [file, ...args] = [...words, BIN, 'start', '--', 'sh', '-c', 'echo $$ $PPID'];
      const running = launch(file, args, { env: { TMPDIR: scratch(t) } });
      const { stdout } = await running.result();
      assert.equal(stdout, `${running.pid} ${process.pid}\n`);
    });
  });
}

/**
 * The client commands: what they print, their exit statuses, and what they say when they fail.
 */
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, it } = require('node:test');
const {
  launch,
  programOf,
  runCli,
  scratch,
  standalone,
  runDirectly,
} = require('../helpers/cli.js');
const { PipeClient } = require('../../lib/index.js');
const { tables } = require('../../scripts/tables.js');

runDirectly();

/** One broker for all tests of this file; each uses keys of its own. */
let broker;
const cleanUps = [];
before(async () => {
  broker = await standalone({ after: (work) => cleanUps.push(work) });
});
after(async () => {
  for (const work of cleanUps.reverse()) await work();
});

const epb = (args, { env = {}, ...rest } = {}) =>
  runCli(args, { env: { ...broker.env, ...env }, ...rest });

/** Runs it, expects success and silence on stderr, resolves stdout. */
async function ok(args, settings) {
  const { code, stdout, stderr } = await epb(args, settings);
  assert.equal(stderr, '');
  assert.equal(code, 0);
  return stdout;
}

async function fails(args, status, expected, settings) {
  const { code, stdout, stderr } = await epb(args, settings);
  assert.equal(stdout, '');
  assert.match(stderr, /^ephemeral-pipe-broker: .+\n$/);
  assert.match(stderr, expected);
  assert.equal(code, status);
  return stderr;
}

describe('set and get', () => {
  it('a string as it is', async () => {
    assert.equal(await ok(['set', 'text', 'hello world', '--ttl', '1m']), '');
    assert.equal(await ok(['get', 'text']), 'hello world\n');
    assert.equal(await ok(['get', 'text', '--json']), '"hello world"\n');
  });

  it('what looks like a number stays text', async () => {
    await ok(['set', 'digits', '007', '--ttl', '1m']);
    assert.equal(await ok(['get', 'digits', '--json']), '"007"\n');
  });

  for (const value of ['{"a":[1,2,{"b":null}]}', '42', 'true', 'null', '"quoted"', '[]']) {
    it(`JSON with --json: ${value}`, async () => {
      await ok(['set', 'json', value, '--json', '--ttl', '1m']);
      assert.equal(await ok(['get', 'json', '--json']), `${value}\n`);
    });
  }

  it('objects print as JSON without --json too', async () => {
    await ok(['set', 'object', '{"a":1}', '--json', '--ttl=1m']);
    assert.equal(await ok(['get', 'object']), '{"a":1}\n');
  });

  it('text from stdin, exactly, with - ', async () => {
    await ok(['set', 'stdin', '-', '--ttl', '1m'], { input: 'line 1\nline 2\n' });
    assert.equal(await ok(['get', 'stdin', '--json']), '"line 1\\nline 2\\n"\n');
  });

  it('text from stdin without its newline with --trim', async () => {
    await ok(['set', 'trim', '-', '--trim', '--ttl', '1m'], { input: 'token\n' });
    assert.equal(await ok(['get', 'trim', '--json']), '"token"\n');
  });

  it('JSON from stdin', async () => {
    await ok(['set', 'json-in', '-', '--json', '--ttl', '1m'], { input: ' {"k": "v"}\n' });
    assert.equal(await ok(['get', 'json-in']), '{"k":"v"}\n');
  });

  it('bytes from stdin with --binary, and back', async () => {
    const bytes = Buffer.from([0, 255, 254, 10, 128]);
    await ok(['set', 'bytes', '-', '--binary', '--ttl', '1m'], { input: bytes });
    const { stdout } = await launch(
      'sh',
      ['-c', '"$@" get bytes | od -An -tu1', 'sh', ...programOf()],
      {
        env: broker.env,
      },
    ).result();
    assert.equal(stdout.trim().replace(/\s+/g, ' '), '0 255 254 10 128');
    const shown = JSON.parse(await ok(['get', 'bytes', '--json']));
    assert.deepEqual(shown, { encoding: 'base64', value: bytes.toString('base64') });
  });

  it('a large value through pipes', async () => {
    const text = 'x'.repeat(250_000);
    await ok(['set', 'large', '-', '--ttl', '1m'], { input: text });
    assert.equal(await ok(['get', 'large']), `${text}\n`);
  });

  it('a value that a program has compressed', async () => {
    const secret = broker.env.EPHEMERAL_SECRET;
    const client = new PipeClient(broker.env.EPHEMERAL_PIPE, { secret, compression: true });
    const bytes = Buffer.alloc(5000, 'b');
    await client.set('zipped', { text: 'x'.repeat(5000) }, 60_000);
    await client.set('zipped bytes', bytes, 60_000);
    await client.close();
    assert.deepEqual(JSON.parse(await ok(['get', 'zipped'])), { text: 'x'.repeat(5000) });
    assert.equal(await ok(['get', 'zipped bytes']), bytes.toString());
  });

  it('a value that looks like a flag, after --', async () => {
    await ok(['set', '--ttl', '1m', '--', 'dash', '--not-a-flag']);
    assert.equal(await ok(['get', 'dash']), '--not-a-flag\n');
  });

  it('refuses bytes that are no text, and says how', async () => {
    await fails(['set', 'k', '-', '--ttl', '1m'], 2, /not UTF-8 text; --binary/, {
      input: Buffer.from([0xff]),
    });
  });

  it('never repeats a value that is not JSON', async () => {
    const said = await fails(['set', 'k', 'hunter2', '--json', '--ttl', '1m'], 2, /must be JSON/);
    assert.doesNotMatch(said, /hunter2/);
  });

  it('needs --ttl, and says so', async () => {
    await fails(['set', 'k', 'v'], 1, /"k": .*--ttl 30s.*CLIENT_DEFAULT_TTL/);
    await ok(['set', 'k', 'v'], { env: { CLIENT_DEFAULT_TTL: '60000' } });
  });

  it('refuses a TTL below a second without a unit: it was meant in seconds', async () => {
    await fails(
      ['set', 'soon', 'v', '--ttl', '60'],
      2,
      /set: --ttl 60 .* 60s for seconds, or 60ms/,
    );
    await fails(['incr', 'soon-n', '--ttl=999'], 2, /incr: --ttl 999 /);
    for (const time of ['60ms', '1000', '0.5s']) await ok(['set', 'soon', 'v', '--ttl', time]);
  });

  it('--if-absent writes once', async () => {
    await ok(['set', 'once', '1', '--if-absent', '--ttl', '1m']);
    await fails(['set', 'once', '2', '--if-absent', '--ttl', '1m'], 1, /set "once"/);
    assert.equal(await ok(['get', 'once']), '1\n');
  });

  it('get of nothing is status 1', async () => {
    await fails(['get', 'nothing'], 1, /get "nothing": The key does not exist, and/);
  });
});

describe('other commands', () => {
  it('del says whether there was something', async () => {
    await ok(['set', 'gone', 'v', '--ttl', '1m']);
    assert.equal(await ok(['del', 'gone']), 'true\n');
    assert.equal(await ok(['del', 'gone', '--json']), 'false\n');
  });

  it('has answers by its status as well', async () => {
    await ok(['set', 'here', 'v', '--ttl', '1m']);
    assert.equal(await ok(['has', 'here']), 'true\n');
    const { code, stdout, stderr } = await epb(['has', 'not-here']);
    assert.deepEqual({ code, stdout, stderr }, { code: 1, stdout: 'false\n', stderr: '' });
  });

  it('touch gives a value another TTL', async () => {
    await ok(['set', 'touched', 'v', '--ttl', '1m']);
    assert.equal(await ok(['touch', 'touched', '--ttl', '90m']), 'true\n');
    assert.match(await ok(['ttl', 'touched']), /^1h (29|30)m\n$/);
    const { code, stdout } = await epb(['touch', 'not-here', '--ttl', '1m']);
    assert.deepEqual({ code, stdout }, { code: 1, stdout: 'false\n' });
    await fails(['touch', 'touched'], 1, /--ttl/);
  });

  it('ttl is for people, or milliseconds with --json', async () => {
    await ok(['set', 'timed', 'v', '--ttl', '90m']);
    assert.match(await ok(['ttl', 'timed']), /^1h (29|30)m\n$/);
    const ms = Number(await ok(['ttl', 'timed', '--json']));
    assert.ok(ms > 0 && ms <= 5_400_000, `${ms}`);
  });

  it('incr counts', async () => {
    assert.equal(await ok(['incr', 'count', '--ttl', '1m']), '1\n');
    assert.equal(await ok(['incr', 'count', '10']), '11\n');
    assert.equal(await ok(['incr', 'count', '-3']), '8\n');
    await fails(['incr', 'count', '1.5'], 2, /whole number, not "1\.5"/);
    await fails(['incr', 'new-count'], 1, /--ttl/);
    await ok(['set', 'word', 'v', '--ttl', '1m']);
    await fails(['incr', 'word'], 1, /incr "word"/);
  });

  it('list shows keys, never values', async () => {
    await ok(['set', 'list:b', 'SECRET-VALUE', '--ttl', '1h']);
    await ok(['set', 'list:a-longer', '-', '--ttl', '10s'], { input: 'y'.repeat(2048) });
    const lines = (await ok(['list', 'list:'])).split('\n');
    assert.match(lines[0], /^KEY +EXPIRES IN +SIZE +VERSION$/);
    assert.match(
      lines[1],
      /^list:a-longer +(10|9\.\d) ?s? +2\.0 KiB +\d+$|^list:a-longer +\S+ s +2\.0 KiB +\d+$/,
    );
    assert.match(lines[2], /^list:b +\S+ \S+ +\d+ B +\d+$/);
    assert.doesNotMatch(lines.join(), /SECRET-VALUE/);
    const items = JSON.parse(await ok(['list', 'list:', '--json']));
    assert.deepEqual(
      items.map(({ key }) => key),
      ['list:a-longer', 'list:b'],
    );
    assert.ok(items.every(({ ttl, version, size }) => ttl > 0 && version > 0 && size > 0));
    assert.doesNotMatch(JSON.stringify(items), /SECRET-VALUE/);
  });

  it('list of nothing prints nothing, and says so on stderr', async () => {
    const none = await epb(['list', 'no such prefix']);
    const told = 'ephemeral-pipe-broker: list: no values of keys that begin with no such prefix\n';
    assert.deepEqual([none.code, none.stdout, none.stderr], [0, '', told]);
    assert.equal(await ok(['list', 'no such prefix', '--json']), '[]\n');
  });

  it('list cannot be used to write to the terminal', async () => {
    await ok(['set', 'evil\u001b[2J', 'v', '--ttl', '1m']);
    const shown = await ok(['list', 'evil']);
    assert.ok(!shown.includes('\u001b'), 'an escape sequence got through');
    assert.match(shown, /"evil\\u001b\[2J"/);
  });

  it('a reader that goes away ends it quietly', async () => {
    // More than a pipe holds, so that the writing outlasts the reader.
    await ok(['set', 'unread', '-', '--ttl', '1m'], { input: 'x'.repeat(250_000) });
    const script = '"$@" get unread | head -c 1 >/dev/null; echo "${PIPESTATUS[0]}"';
    const { stdout, stderr } = await launch('bash', ['-c', script, 'bash', ...programOf()], {
      env: broker.env,
    }).result();
    assert.equal(stderr, '');
    assert.equal(stdout, `${128 + 13}\n`, 'as SIGPIPE ends a program');
  });

  it('ping', async () => {
    assert.match(await ok(['ping']), /^pong \d+\.\d\d ms\n$/);
    const { pong, ms } = JSON.parse(await ok(['ping', '--json']));
    assert.ok(pong === true && ms > 0);
  });

  it('stats', async () => {
    const numbers = JSON.parse(await ok(['stats', '--json']));
    assert.ok(numbers.items >= 1 && numbers.uptime > 0);
    const lines = (await ok(['stats'])).trim().split('\n');
    assert.equal(lines.length, Object.keys(numbers).length);
    const lengths = new Set(lines.map((line) => line.length));
    assert.equal(lengths.size, 1, 'the columns are aligned');
  });

  it('health of a healthy broker', async () => {
    assert.match(await ok(['health']), /^healthy: \d+ items, /);
    assert.equal(JSON.parse(await ok(['health', '--json'])).status, 'healthy');
  });

  it('health of a full broker is status 1', async (t) => {
    const full = await standalone(t, ['--max-items', '1']);
    await runCli(['set', 'k', 'v', '--ttl', '1m'], { env: full.env });
    const { code, stdout } = await runCli(['health'], { env: full.env });
    assert.equal(code, 1);
    assert.match(stdout, /^degraded: 1 items/);
  });

  it('metrics', async () => {
    assert.match(await ok(['metrics']), /^# HELP ephemeral_broker_/m);
    assert.match(JSON.parse(await ok(['metrics', '--json'])).metrics, /^# TYPE ephemeral_broker_/m);
  });
});

describe('wrong use is status 2', () => {
  for (const [args, expected] of [
    [['gte', 'x'], /unknown command "gte"; did you mean get\?/],
    [['--max-items', '5'], /unknown flag "--max-items"/],
    [['get'], /get: something is missing; usage: ephemeral-pipe-broker get KEY/],
    [['get', 'a', 'b'], /get: too many words/],
    [['get', 'a', '--jsno'], /Unknown flag --jsno\. Did you mean --json\?/],
    [['set', 'a', 'b', '--ttl', 'soon'], /--ttl takes .*not "soon"/],
    [['set', 'a', 'b', '--ttl', '0'], /--ttl takes/],
    [['set', 'a', 'b', '--ttl'], /--ttl takes/],
    [['ping', '--timeout', '-5'], /--timeout takes/],
    [['ping', '--secret', 'x'], /--secret takes only "-"/],
    [['ping', '--pipe'], /--pipe takes/],
    [['set', 'a', 'b', '--binary', '--ttl', '1m'], /--binary reads stdin/],
    [['help', 'strat'], /did you mean start\?/],
  ]) {
    it(args.join(' '), () => fails(args, 2, expected));
  }
});

describe('no broker is status 3', () => {
  it('when EPHEMERAL_PIPE is not set', async () => {
    const { code, stderr } = await runCli(['get', 'k']);
    assert.equal(code, 3);
    assert.match(stderr, /EPHEMERAL_PIPE is not set.* start -- /);
  });

  it('when nobody listens there', async () => {
    const { code, stderr } = await runCli([
      'get',
      'k',
      '--pipe',
      '/no/such.sock',
      '--timeout',
      '100ms',
    ]);
    assert.equal(code, 3);
    assert.match(stderr, /get "k": .*\/no\/such\.sock/);
  });

  it('when the secret is another', async () => {
    await fails(['get', 'k'], 3, /same secret/, {
      env: { EPHEMERAL_SECRET: 'something else, long' },
    });
  });

  it('when there is no secret', async () => {
    await fails(['get', 'k'], 3, /EPHEMERAL_SECRET/, { env: { EPHEMERAL_SECRET: undefined } });
  });

  it('when it does not answer in time', async (t) => {
    const silent = path.join(scratch(t), 'silent.sock');
    const server = require('node:net').createServer(() => {});
    server.listen(silent);
    await once(server, 'listening');
    t.after(() => server.close());
    await fails(['ping', '--pipe', silent, '--timeout', '100ms'], 3, /ping/);
  });
});

describe('which broker, which secret', () => {
  const secretOf = () => broker.env.EPHEMERAL_SECRET;
  const withoutSecret = { EPHEMERAL_SECRET: undefined };

  it('--pipe wins over the environment', async () => {
    const env = { EPHEMERAL_PIPE: '/no/such.sock' };
    assert.match(await ok(['ping', '--pipe', broker.env.EPHEMERAL_PIPE], { env }), /^pong/);
  });

  it('--secret-file', async (t) => {
    const file = path.join(scratch(t), 'secret');
    fs.writeFileSync(file, `${secretOf()}\n`, { mode: 0o600 });
    assert.match(await ok(['ping', '--secret-file', file], { env: withoutSecret }), /^pong/);
  });

  it('--secret-env, and CLIENT_SECRET', async () => {
    const env = { ...withoutSecret, MINE: secretOf() };
    assert.match(await ok(['ping', '--secret-env', 'MINE'], { env }), /^pong/);
    const other = { ...withoutSecret, CLIENT_SECRET: secretOf() };
    assert.match(await ok(['ping'], { env: other }), /^pong/);
  });

  it('--secret - reads a line, the value of set - is the rest', async () => {
    const input = `${secretOf()}\nthe value`;
    await ok(['set', 'rest', '-', '--secret', '-', '--ttl', '1m'], { env: withoutSecret, input });
    assert.equal(await ok(['get', 'rest']), 'the value\n');
  });

  it('--auth warns', async () => {
    const { code, stdout, stderr } = await epb(['ping', '--auth', secretOf()], {
      env: withoutSecret,
    });
    assert.equal(code, 0);
    assert.match(stdout, /^pong/);
    assert.match(stderr, /^ephemeral-pipe-broker: --auth: .+\n$/);
    assert.ok(!stderr.includes(secretOf()));
  });

  it('two that differ are an error, unless --pipe says that it is another broker', async () => {
    const env = { ...broker.env, MINE: secretOf(), EPHEMERAL_SECRET: 'of another broker' };
    await fails(['ping', '--secret-env', 'MINE'], 2, /different secrets/, { env });
    const pipe = broker.env.EPHEMERAL_PIPE;
    assert.match(await ok(['ping', '--pipe', pipe, '--secret-env', 'MINE'], { env }), /^pong/);
  });
});

describe('doctor', () => {
  const nothing = { EPHEMERAL_PIPE: undefined, EPHEMERAL_SECRET: undefined };
  const finds = async (env, expected) => {
    const { code, stdout } = await epb(['doctor'], { env });
    assert.equal(code, 1);
    assert.match(stdout, new RegExp(`^wrong  .*${expected}`, 'm'));
  };

  it('finds nothing wrong with a broker that answers', async () => {
    assert.match(await ok(['doctor']), /^ok {5}The broker answers\.$/m);
  });

  it('finds each thing that is wrong, with its remedy', async () => {
    await finds(nothing, 'there is no broker around this process.*start -- ');
    await finds({ ...nothing, TURBO_HASH: 'abc' }, 'Turborepo.*globalPassThroughEnv');
    await finds({ EPHEMERAL_PIPE: '/no/such.sock' }, 'ENOENT.*a run that is over');
    await finds({ EPHEMERAL_SECRET: '' }, 'EPHEMERAL_SECRET is empty');
    await finds({ EPHEMERAL_SECRET: 'another secret' }, 'same secret');
  });
});

describe('from another terminal', () => {
  const elsewhere = { EPHEMERAL_PIPE: undefined, EPHEMERAL_SECRET: undefined };

  it('ls lists the brokers of this user', async () => {
    const env = { ...elsewhere, TMPDIR: path.dirname(broker.env.EPHEMERAL_PIPE) };
    const brokers = JSON.parse(await ok(['ls', '--json'], { env }));
    const mine = brokers.find(({ pipe }) => pipe === broker.env.EPHEMERAL_PIPE);
    assert.equal(mine.pid, Number(broker.env.EPHEMERAL_BROKER_PID ?? broker.running.pid));
    assert.ok(mine.ageMs >= 0 && / start$/.test(mine.command.trimEnd()), JSON.stringify(mine));
    const lines = (await ok(['ls'], { env })).split('\n');
    assert.match(lines[0], /^ *PID +AGE +PIPE +COMMAND$/);
    assert.ok(lines.some((line) => line.includes(broker.env.EPHEMERAL_PIPE)));
  });

  it('--pid speaks to the broker of the run that a process is part of', async (t) => {
    await ok(['set', 'of the run', 'here', '--ttl', '1m']);
    const other = launch('sleep', ['600'], { env: broker.env });
    t.after(() => other.child.kill());
    const env = elsewhere;
    assert.equal(await ok(['--pid', String(other.pid), 'get', 'of the run'], { env }), 'here\n');
    await fails(['--pid', String(process.pid), 'get', 'k'], 3, /not part of a run/, { env });
    await fails(['--pid', '2147483647', 'get', 'k'], 3, /no such process/, { env });
    await fails(['--pid', 'x', 'get', 'k'], 2, /takes the number of a process/, { env });
  });
});

describe('help and version', () => {
  it('no arguments: twelve lines at most', async () => {
    const lines = (await ok([])).trimEnd().split('\n');
    assert.ok(lines.length <= 12, String(lines.length));
    assert.ok(lines.some((line) => line.includes('start -- npm test')));
  });

  for (const args of [['--help'], ['-h'], ['help']]) {
    it(`overview: ${args.join(' ')}`, async () => {
      const text = await ok(args);
      for (const name of ['start', 'get', 'set', 'list', 'stats', 'metrics', 'help']) {
        assert.match(text, new RegExp(`^  ${name}\\b`, 'm'));
      }
    });
  }

  it('start --help names every flag and variable of the option table', async () => {
    const text = await ok(['start', '--help']);
    assert.equal(await ok(['help', 'start']), text);
    const kinds = ['broker', 'start', 'secret'];
    for (const row of tables().options.filter(({ kind }) => kinds.includes(kind))) {
      if (row.flag)
        assert.match(text, new RegExp(`--(no-)?${row.flag.replace(/^--(no-)?/, '')}\\b`));
      if (row.env && row.flag) assert.ok(text.includes(row.env), row.env);
    }
  });

  it('every command has help, by help NAME and NAME --help, within 80 columns', async () => {
    const overview = await ok(['--help']);
    const names = [...overview.matchAll(/^ {2}([a-z]+)\b.* {2}\S/gm)].map(([, name]) => name);
    assert.ok(names.includes('set') && names.includes('metrics'));
    for (const name of names.filter((each) => each !== 'help')) {
      const text = await ok(['help', name]);
      assert.match(text, new RegExp(`^Usage: ephemeral-pipe-broker ${name}`));
      assert.ok(
        text.split('\n').every((line) => line.length <= 80),
        name,
      );
      assert.equal(await ok([name, '--help']), text);
    }
  });

  it('explain prints what a code means, and every code has a page', async () => {
    const codes = (await ok(['explain'])).trimEnd().split('\n');
    assert.ok(codes.includes('not_found') && codes.length > 25, String(codes));
    for (const code of codes) {
      const text = await ok(['explain', code]);
      assert.match(text, new RegExp(`^${code}\n\n\\S.*\n[^]*\nWhat to do:\n- `));
      assert.ok(
        text.split('\n').every((line) => line.length <= 80),
        code,
      );
    }
    await fails(['explain', 'lease_hold'], 2, /did you mean lease_held\?/);
  });

  it('--version names what is inside', async () => {
    const text = await ok(['--version']);
    assert.match(text, /^ephemeral-pipe-broker \d+\.\d+\.\d+/);
    for (const part of ['mbedtls', 'libsodium', 'cjson', 'libuv', 'zlib']) {
      assert.match(text, new RegExp(`^  ${part} \\d+\\.\\d+`, 'm'));
    }
  });

  it('the code of an error comes with --debug only', async () => {
    const { stderr } = await epb(['get', 'nothing', '--debug']);
    assert.match(stderr, /\nephemeral-pipe-broker: code not_found, pipe .*\.sock\n$/);
  });
});

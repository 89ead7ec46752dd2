/**
 * How long a command of the shell takes, next to redis-cli: `epb get` and `redis-cli get` run in turns, on
 * sockets of this machine, and the medians are compared.
 *
 *     node bench/cli.js [PAIRS]
 */
'use strict';

const { execFileSync, spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { setTimeout: pause } = require('node:timers/promises');

const EPB = path.join(__dirname, '..', 'build', 'Release', 'epb');
const PAIRS = Number(process.argv[2] ?? 500);
/** `epb get` may take this many times as long. */
const GOAL = 2;
const READY_CHECKS = 500;
const CHECK_MS = 10;

const median = (/** @type {number[]} */ times) => times.sort((a, b) => a - b)[times.length >> 1];

/**
 * @param {string} file
 * @param {string[]} args
 * @param {Record<string, string | undefined>} env
 */
function timeOf(file, args, env) {
  const since = process.hrtime.bigint();
  const { status } = spawnSync(file, args, { env, stdio: 'ignore' });
  if (status !== 0) throw new Error(`${file} ${args[0]} ended with ${status}`);
  return Number(process.hrtime.bigint() - since) / 1e6;
}

/**
 * @template T
 * @param {() => T | null | false} look
 */
async function until(look) {
  for (let i = 0; i < READY_CHECKS; i++) {
    const found = look();
    if (found) return found;
    await pause(CHECK_MS);
  }
  throw new Error('a server has not started');
}

/** @param {string} folder */
async function startServers(folder) {
  const socket = path.join(folder, 'redis.sock');
  const redis = spawn('redis-server', ['--port', '0', '--unixsocket', socket, '--save', ''], {
    stdio: 'ignore',
    cwd: folder,
  });
  const broker = spawn(EPB, ['start', '--print-env'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TMPDIR: folder },
  });
  let printed = '';
  broker.stdout.setEncoding('utf8').on('data', (text) => (printed += text));
  const variables = await until(() => {
    const found = [...printed.matchAll(/^export (\w+)='(.*)'$/gm)];
    return found.length >= 2 && fs.existsSync(socket) && found;
  });
  const env = { ...process.env, ...Object.fromEntries(variables.map(([, k, v]) => [k, v])) };
  return { socket, env, stop: () => [redis, broker].forEach((child) => child.kill()) };
}

async function main() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'epb-bench-'));
  const { socket, env, stop } = await startServers(folder);
  try {
    execFileSync('redis-cli', ['-s', socket, 'set', 'key', 'value'], { stdio: 'ignore' });
    execFileSync(EPB, ['set', 'key', 'value', '--ttl', '1h'], { env });
    /** @type {Record<string, number[]>} */
    const times = { epb: [], redis: [] };
    for (let i = 0; i < PAIRS; i++) {
      times.epb.push(timeOf(EPB, ['get', 'key'], env));
      times.redis.push(timeOf('redis-cli', ['-s', socket, 'get', 'key'], env));
    }
    const [epb, redis] = [median(times.epb), median(times.redis)];
    const ratio = epb / redis;
    console.log(
      `epb get ${epb.toFixed(2)} ms, redis-cli get ${redis.toFixed(2)} ms, median of ${PAIRS} pairs`,
    );
    console.log(`ratio ${ratio.toFixed(2)}, goal at most ${GOAL}`);
    process.exitCode = ratio <= GOAL ? 0 : 1;
  } finally {
    stop();
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

void main();

/** The tokens of this worker: taken before its session, released after it. */
import fs from 'node:fs';
import { getToken as tokenOf, lazyWorker, takeTokens } from 'ephemeral-pipe-broker/adapter';

const cid = process.env.WDIO_WORKER_ID;
export const isWorker = cid !== undefined;
const workerId = isWorker ? `wdio:${cid}` : 'wdio:launcher';
const lazy = lazyWorker(() => ({ adapter: 'wdio', workerId }));
export const broker = lazy.client;
export const closeClient = lazy.close;

/**
 * @typedef {import('ephemeral-pipe-broker/adapter').RunOptions} RunOptions
 * @typedef {import('ephemeral-pipe-broker/adapter').Taken} Taken
 */

/** @type {Taken | null} */
let taken = null;
/** @type {Promise<Taken> | null} */
let taking = null;
/** What the environment had before the tokens. @type {Record<string, string | undefined>} */
let replaced = {};
/** The waits of withToken, as the configuration has them. @type {Pick<RunOptions, 'waitMs' | 'noticeMs'>} */
let waits = {};
let test = 'the session';

/** @type {(tokens: Record<string, any>) => void} */
let announce;
/** @type {Promise<Record<string, any>>} */
const announced = new Promise((resolve) => {
  announce = resolve;
});

/** @param {unknown} error */
function report(error) {
  fs.writeSync(2, `${error instanceof Error ? error.message : error}\n`);
}

/**
 * WebdriverIO goes on after an error in a hook, and would run the tests without tokens. An exit fails the
 * spec file in all frameworks, before a browser is open.
 * @param {unknown} error
 * @returns {never}
 */
function endWorker(error) {
  report(error);
  process.exit(1);
}

/** @param {Record<string, string | undefined>} variables undefined: deleted */
function setEnv(variables) {
  for (const [name, value] of Object.entries(variables)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}

/** The last resort for a lost lease: there may have been no hook since then that can fail a test. */
function checkAtExit() {
  try {
    taken?.check(test);
  } catch (error) {
    report(error);
    process.exitCode = 1;
  }
}

/**
 * @param {RunOptions} options
 * @returns {Promise<Taken>}
 */
async function takeNow({ tokens = {}, envVars, waitMs, noticeMs, pools, values, limits }) {
  const known = [pools, limits, values].flatMap((all) => Object.keys(all ?? {}));
  waits = { waitMs, noticeMs };
  const mine = await takeTokens(broker, tokens, { workerId, waitMs, noticeMs, known });
  const variables = mine.env(envVars);
  const names = Object.keys(variables);
  replaced = Object.fromEntries(names.map((name) => [name, process.env[name]]));
  setEnv(variables);
  taken = mine;
  process.once('exit', checkAtExit);
  announce(mine.values);
  return mine;
}

/**
 * Takes the tokens; once, however many hooks ask.
 * @param {RunOptions} options
 */
export async function take(options) {
  taking ??= takeNow(options);
  await taking.catch(endWorker);
}

/**
 * A hook of Mocha or Jasmine fails the test that used a lost token. Other frameworks fail the spec file.
 * @param {any} framework the global object
 */
export function failTestsOnLoss(framework) {
  framework.afterEach?.(() => taken?.check(test));
}

/** @param {{ title?: string, fullTitle?: string, description?: string }} running */
export function noteTest({ title, fullTitle, description }) {
  test = `"${title ?? description ?? fullTitle}"`;
}

export async function release() {
  const mine = taken;
  taken = taking = null;
  setEnv(replaced);
  replaced = {};
  try {
    await mine?.release({ during: test });
  } catch (error) {
    report(error);
    // The worker exits with a code of its own, which this one replaces.
    process.once('exit', () => (process.exitCode = 1));
  } finally {
    await closeClient();
  }
}

/** @param {string} alias */
export const getToken = (alias) => tokenOf(taken, alias);

/** All tokens, for `browser.brokerTokens`. */
export const tokens = () => taken?.values ?? {};

/** For hooks that run while the service takes the tokens. */
export async function tokensReady() {
  return isWorker ? announced : tokenOf(null, '');
}

/**
 * @template V, R
 * @param {string} key
 * @param {(value: V) => R} use
 * @param {import('../index.js').WithTokenOptions} [options]
 * @returns {Promise<Awaited<R>>}
 */
export async function withToken(key, use, options = {}) {
  const { signal, ...spec } = options;
  const specs = { [key]: { ...spec, key } };
  const mine = await takeTokens(broker, specs, { workerId, signal, ...waits });
  const during = `withToken("${key}")`;
  try {
    const result = await use(mine.values[key]);
    await mine.release({ during });
    return result;
  } catch (error) {
    await mine.release().catch(() => {});
    throw error;
  }
}

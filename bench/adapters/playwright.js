/**
 * What the adapter for Playwright adds to a run: of 1 test, of 200 tests, and of 4 workers, all without pages,
 * and to a suite of 200 tests with pages in 2 workers. With the adapter, each test has an account of its own and
 * the token of its worker. Prints the medians of the differences in time and processor time.
 *
 *   node bench/adapters/playwright.js [pairs]
 */
'use strict';

const { compared, numbers, print, project, remove } = require('./pairs.js');

const MANY = 200;
const WORKERS = 4;
const PAGE_WORKERS = 2;
const ADAPTER = '@ephemeral-broker/playwright';
const OPTIONS = `{ pools: { accounts: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] },
  tokens: { admin: 'accounts' } }`;
const PAGE = "await page.setContent('<button>one</button>'); await page.click('button');";

const folderOf = (isWith) => (isWith ? 'with' : 'without');

function config(isWith) {
  const own = `{ testDir: '${folderOf(isWith)}', fullyParallel: true, reporter: 'dot',
    use: { launchOptions: { executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] } } }`;
  const made = isWith ? `require('${ADAPTER}').withBroker(${own}, ${OPTIONS})` : own;
  return `module.exports = ${made};`;
}

function spec(isWith, count, hasPage) {
  const fixtures = [...(hasPage ? ['page'] : []), ...(isWith ? ['account', 'tokens'] : [])];
  const begin = isWith
    ? `const { leased, test: base } = require('${ADAPTER}');
       const test = base.extend({ account: leased('accounts') });`
    : "const { test } = require('@playwright/test');";
  const body = hasPage ? PAGE : '';
  const one = (i) => `test('passes ${i}', async ({ ${fixtures.join(', ')} }) => { ${body} });`;
  return `${begin}\n${numbers(count).map(one).join('\n')}`;
}

/** The suites by name: how many tests, with pages or without, in how many workers. */
const SUITES = {
  one: { count: 1, hasPage: false, workers: 1 },
  many: { count: MANY, hasPage: false, workers: 1 },
  workers: { count: WORKERS, hasPage: false, workers: WORKERS },
  pages: { count: MANY, hasPage: true, workers: PAGE_WORKERS },
};

const files = Object.fromEntries(
  [false, true].flatMap((isWith) => [
    [`${folderOf(isWith)}.config.js`, config(isWith)],
    ...Object.entries(SUITES).map(([name, { count, hasPage }]) => [
      `${folderOf(isWith)}/${name}.spec.js`,
      spec(isWith, count, hasPage),
    ]),
  ]),
);

async function main([pairs = '15']) {
  const place = await project('playwright', undefined, files);
  const more = {};
  try {
    for (const [name, { workers }] of Object.entries(SUITES)) {
      const commandOf = (isWith) => {
        const where = [`--config=${folderOf(isWith)}.config.js`, `/${name}.spec.js`];
        return ['playwright', 'test', ...where, `--workers=${workers}`];
      };
      const result = compared(place, commandOf, Number(pairs));
      print(`playwright, ${name}`, result);
      more[name] = { ms: result.ms.more, cpuMs: result.cpuMs.more };
    }
  } finally {
    remove(place);
  }
  for (const unit of ['ms', 'cpuMs']) {
    // A run of one test starts one worker.
    const worker = (more.workers[unit] - more.one[unit]) / (WORKERS - 1);
    const each = (more.many[unit] - more.one[unit]) / (MANY - 1);
    const run = more.one[unit] - worker;
    console.log(
      `${unit}: a run ${run.toFixed(1)}, a worker ${worker.toFixed(1)}, a test ${each.toFixed(3)}`,
    );
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

/** `npx ephemeral-pipe-broker init`: sets up the adapter of the test runner of the project in this folder. */
'use strict';

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const readline = require('node:readline/promises');
const { diff } = require('./diff.js');
const { OPTIONS, RUNNERS, scoped } = require('./runners.js');

const USAGE = `Usage: ephemeral-pipe-broker init [--yes] [--runner NAME] [--packages FOLDER]

Sets up the adapter of the test runner of this project: shows the change of its configuration,
and writes it after a yes. Then it installs the adapter, adds two tests and runs them.

  --yes              does not ask
  --runner NAME      ${RUNNERS.map(({ name }) => name).join(', ')}
  --packages FOLDER  installs tarballs of this folder
`;

/** A mistake of the user, or a project that init can't change. */
class InitError extends Error {}

/**
 * @typedef {import('./runners').Runner} Runner
 * @typedef {Map<string, { before: string, after: string | null }>} Changes after null: the file is removed
 */

/** @param {string[]} words */
function parse(words) {
  const options = { yes: false, help: false, runner: '', packages: '' };
  const rest = [...words];
  while (rest.length > 0) {
    const [name, inline] = /** @type {string} */ (rest.shift()).split(/=(.*)/s);
    if (name === '--yes' || name === '-y') options.yes = true;
    else if (name === '--help' || name === '-h') options.help = true;
    else if (name === '--runner' || name === '--packages') {
      const value = inline ?? rest.shift();
      if (!value) throw new InitError(`${name} needs a value.`);
      options[name === '--runner' ? 'runner' : 'packages'] = value;
    } else throw new InitError(`init has no option "${name}". See init --help.`);
  }
  return options;
}

/** @param {string} root */
function manifestOf(root) {
  const file = path.join(root, 'package.json');
  let text;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch {
    throw new InitError('There is no package.json here. Run init in the folder of your project.');
  }
  try {
    const manifest = JSON.parse(text);
    if (typeof manifest === 'object' && manifest !== null) return { text, manifest };
  } catch {
    // The same error as for a list.
  }
  throw new InitError('package.json is not a JSON object.');
}

/**
 * @param {Record<string, any>} manifest
 * @param {string} wanted
 * @returns {Runner}
 */
function runnerOf(manifest, wanted) {
  const names = RUNNERS.map(({ name }) => name).join(', ');
  if (wanted !== '') {
    const runner = RUNNERS.find(({ name }) => name === wanted);
    if (runner === undefined)
      throw new InitError(`init knows no runner "${wanted}". It knows: ${names}.`);
    return runner;
  }
  const all = { ...manifest.dependencies, ...manifest.devDependencies };
  const found = RUNNERS.filter(({ dependency }) => Object.hasOwn(all, dependency));
  if (found.length === 1) return found[0];
  if (found.length > 1) {
    const several = found.map(({ name }) => name).join(', ');
    throw new InitError(`This project has several runners (${several}). Choose one with --runner.`);
  }
  throw new InitError(
    `package.json has no test runner that init knows (${names}). For node:test, see "node:test" in the README.`,
  );
}

/** @param {Runner} runner @param {string} file @param {string} text */
function manual(runner, file, text) {
  const name = /\b(withBroker\w*|broker(?:Hooks)?)\(/.exec(runner.patch)?.[1];
  const from = `'${scoped(runner.name)}'`;
  const usesRequire = file.endsWith('.cjs') || /\bmodule\.exports\b/.test(text);
  const statement = usesRequire
    ? `const { ${name} } = require(${from});`
    : `import { ${name} } from ${from};`;
  const line = name === undefined ? '' : `  ${statement}\n`;
  return (
    `init does not recognise ${file} for certain, so it changes nothing. Change it by hand:\n\n` +
    `${line}  ${runner.patch}\n\nInstall ${scoped(runner.name)} for it.`
  );
}

/**
 * `"jest": {…}` of package.json can't call a function: it moves to a file.
 * @param {Changes} changes
 * @param {{ text: string, manifest: Record<string, any> }} own
 */
function moveJestKey(changes, { text, manifest }) {
  const { jest, ...others } = manifest;
  const indent = /^[ \t]+(?=")/m.exec(text)?.[0] ?? '  ';
  const config = JSON.stringify(jest, null, 2);
  const after =
    `const { withBroker } = require('@ephemeral-broker/jest');\n\n` +
    `module.exports = withBroker(${config}, ${OPTIONS});\n`;
  changes.set('package.json', { before: text, after: `${JSON.stringify(others, null, indent)}\n` });
  changes.set('jest.config.cjs', { before: '', after });
  return 'jest.config.cjs';
}

/**
 * @param {string} root
 * @param {Runner} runner
 * @param {{ text: string, manifest: Record<string, any> }} own
 * @returns {{ changes: Changes, config: string } | null} null: it is set up
 */
function plan(root, runner, own) {
  /** @type {Changes} */
  const changes = new Map();
  let configs = fs.readdirSync(root).filter((name) => runner.configs.test(name));
  // Vitest prefers its own file to Vite's.
  const preferred = configs.filter((name) => name.startsWith('vitest.'));
  if (preferred.length > 0) configs = preferred;
  const inManifest = runner.key !== undefined && own.manifest[runner.key] !== undefined;
  if (configs.length + (inManifest ? 1 : 0) > 1) {
    const all = [...configs, ...(inManifest ? [`"${runner.key}" in package.json`] : [])];
    throw new InitError(
      `There are several configurations: ${all.join(', ')}. init changes nothing.`,
    );
  }
  let [config] = configs;
  const isSetUp = (/** @type {string} */ text) => text.includes(scoped(runner.name));
  if (inManifest && runner.name === 'jest') {
    const { jest } = own.manifest;
    if (typeof jest !== 'object' || jest === null)
      throw new InitError(manual(runner, 'package.json', ''));
    config = moveJestKey(changes, own);
  } else {
    const isNew = config === undefined && !inManifest;
    if (isNew && runner.created === undefined) {
      throw new InitError(`There is no configuration of ${runner.name} here.`);
    }
    config = inManifest ? 'package.json' : (config ?? /** @type {string} */ (runner.created));
    const before = isNew ? '' : fs.readFileSync(path.join(root, config), 'utf8');
    let base = isNew ? (runner.text ?? '') : before;
    if (isNew && config.endsWith('.js') && own.manifest.type === 'module') {
      base = base
        .replace(/const (\{.*\}) = require\('(.*)'\);/, "import $1 from '$2';")
        .replace('module.exports =', 'export default');
    }
    if (
      inManifest ? before.includes('./broker.cjs') : isSetUp(base) || base.includes('./broker.cjs')
    )
      return null;
    const after = inManifest ? inKey(runner, base) : runner.edit(config, base);
    if (after === null) throw new InitError(manual(runner, config, before));
    changes.set(config, { before, after });
  }
  for (const [name, text] of Object.entries(runner.files ?? {})) add(root, changes, name, text);
  return { changes, config };
}

/**
 * @param {Runner} runner
 * @param {string} text of package.json
 */
function inKey(runner, text) {
  const key = /** @type {string} */ (runner.key);
  const manifest = JSON.parse(text);
  const edited = runner.edit('.mocharc.json', JSON.stringify(manifest[key]));
  if (edited === null) return null;
  manifest[key] = JSON.parse(edited);
  const indent = /^[ \t]+(?=")/m.exec(text)?.[0] ?? '  ';
  return `${JSON.stringify(manifest, null, indent)}\n`;
}

/**
 * @param {string} root
 * @param {Changes} changes
 * @param {string} file
 * @param {string} text
 */
function add(root, changes, file, text) {
  if (fs.existsSync(path.join(root, file)))
    throw new InitError(`${file} is there already. init changes nothing.`);
  changes.set(file, { before: '', after: text });
}

/** @param {string} root @param {string} configText */
function testFolder(root, configText) {
  const named = /\btestDir\s*:\s*['"](?:\.\/)?([\w./-]+?)\/?['"]/.exec(configText)?.[1];
  return (
    [named, 'tests', 'test', 'e2e'].find((name) => name && fs.existsSync(path.join(root, name))) ??
    ''
  );
}

/** @param {string} root @param {string[]} words */
function runNpx(root, words) {
  const isWindows = process.platform === 'win32';
  return spawnSync('npx', ['--no-install', ...words], {
    cwd: root,
    stdio: 'inherit',
    shell: isWindows,
  }).status;
}

/**
 * What npm shall install: the library and the adapter, by name or as tarballs.
 * @param {string} name
 * @param {string} folder of tarballs; '': the registry has them
 */
function wantedPackages(name, folder) {
  if (folder === '') return ['ephemeral-pipe-broker', scoped(name)];
  let files;
  try {
    files = fs.readdirSync(folder);
  } catch (/** @type {any} */ error) {
    throw new InitError(`--packages ${folder}: the folder can't be read (${error.code}).`);
  }
  return ['pipe-broker', `broker-${name}`].map((part) => {
    const tarball = new RegExp(`^ephemeral-${part}-\\d.*\\.tgz$`);
    const file = files.find((one) => tarball.test(one));
    if (file === undefined)
      throw new InitError(`--packages ${folder}: no file ephemeral-${part}-VERSION.tgz is there.`);
    return path.resolve(folder, file);
  });
}

/** @param {string} root @param {string[]} packages */
function install(root, packages) {
  const words = ['install', '--save-dev', '--no-audit', '--no-fund', ...packages];
  const isWindows = process.platform === 'win32';
  const { status } = spawnSync('npm', words, { cwd: root, stdio: 'inherit', shell: isWindows });
  if (status !== 0) throw new InitError(`npm install failed. init has written nothing.`);
}

/** @param {string} question */
async function agreed(question) {
  const terminal = readline.createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(question)).trim());
  } finally {
    terminal.close();
  }
}

/** @param {string[]} words @returns {Promise<number>} the exit status */
async function init(words) {
  const options = parse(words);
  if (options.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const root = process.cwd();
  const own = manifestOf(root);
  const runner = runnerOf(own.manifest, options.runner);
  const planned = plan(root, runner, own);
  if (planned === null) {
    process.stdout.write(`${scoped(runner.name)} is set up. Nothing to change.\n`);
    return 0;
  }
  const { changes, config } = planned;
  const packages = wantedPackages(runner.name, options.packages);
  const proof = runner.proof(config);
  const configText = changes.get(config)?.after ?? '';
  const folder = testFolder(root, configText);
  const files = Object.keys(proof.files).map((name) => path.posix.join(folder, name));
  Object.values(proof.files).forEach((text, i) => add(root, changes, files[i], text));
  for (const [file, { before, after }] of changes) {
    process.stdout.write(`${diff(file, before, /** @type {string} */ (after))}\n\n`);
  }
  if (!options.yes && !process.stdin.isTTY) {
    process.stdout.write(
      'Nothing is changed, because there is no terminal to ask. Add --yes to write it.\n',
    );
    return 1;
  }
  if (!options.yes && !(await agreed(`Install ${scoped(runner.name)} and write this? [y/N] `))) {
    process.stdout.write('Nothing is changed.\n');
    return 1;
  }
  // First, because it may fail, and it changes package.json.
  const moves = changes.get('package.json');
  install(root, packages);
  for (const [file, { after }] of changes) {
    if (file === 'package.json' && moves !== undefined) continue;
    fs.mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
    fs.writeFileSync(path.join(root, file), /** @type {string} */ (after));
  }
  if (moves !== undefined) writeKey(root, runner);
  const command = proof.command.map((word) =>
    word.replace('FILE1', files[0]).replace('FILE2', files[1]),
  );
  process.stdout.write(`\nThe proof, in two workers: npx ${command.join(' ')}\n`);
  const status = runNpx(root, command);
  if (status === 0) return 0;
  const written = [...new Set([...changes.keys(), 'package.json'])].join(', ');
  process.stderr.write(`ephemeral-pipe-broker: the proof failed. These files stay: ${written}.\n`);
  return 1;
}

/** npm has changed package.json since the plan. @param {string} root @param {Runner} runner */
function writeKey(root, runner) {
  const own = manifestOf(root);
  const text = runner.name === 'jest' ? withoutJest(own) : inKey(runner, own.text);
  fs.writeFileSync(path.join(root, 'package.json'), /** @type {string} */ (text));
}

/** @param {{ text: string, manifest: Record<string, any> }} own */
function withoutJest({ text, manifest }) {
  const others = { ...manifest };
  delete others.jest;
  return `${JSON.stringify(others, null, /^[ \t]+(?=")/m.exec(text)?.[0] ?? '  ')}\n`;
}

/** @param {string[]} words */
async function main(words) {
  try {
    process.exitCode = await init(words);
  } catch (error) {
    if (!(error instanceof InitError)) throw error;
    process.stderr.write(`ephemeral-pipe-broker: ${error.message}\n`);
    process.exitCode = 1;
  }
}

module.exports = { main };

/**
 * Finds the package manager above us, so that its death can end us.
 *
 * `npx`, `npm run`, `pnpm` and `yarn` sit between the user and us, often with a shell in between.
 * When one of them is killed outright nobody tells us: we would go on with a command nobody waits
 * for. The chain from our parent up to the outermost package manager is what the native side
 * watches. Where the system tells nothing of other processes, the chain is empty.
 */
'use strict';

const path = require('node:path');
const { load } = require('../binding.js');

const MANAGERS = new Set(['npm', 'npx', 'pnpm', 'pnpx', 'yarn', 'yarnpkg']);

/** What the native watch takes; a deeper chain is cut at the far end. */
const MOST_WATCHED = 16;

/** A bound for the walk; real chains have a dozen links. */
const MOST_VISITED = 64;

/**
 * @param {string} word  a program or script as it stands in a process's arguments
 */
function namesManager(word) {
  const name = path
    .basename(word)
    .replace(/\.(?:[cm]?js|exe|cmd)$/, '')
    .replace(/-cli$/, '');
  return MANAGERS.has(name) || /^yarn-\d/.test(name);
}

/**
 * npm and yarn rewrite their title ("npm exec jest"), the others show as "node /path/to/pnpm.cjs".
 *
 * @param {string} commandLine  the NUL-separated arguments of a process
 */
function isPackageManager(commandLine) {
  const words = commandLine.split('\0').filter((word) => word !== '');
  if (words.length === 0) return false;
  const title = words[0].split(' ')[0];
  if (namesManager(title)) return true;
  if (!/^node(?:js)?$/.test(path.basename(title))) return false;
  const script = words.slice(1).find((word) => !word.startsWith('-'));
  return script !== undefined && namesManager(script);
}

/**
 * The processes from our parent up to and with the outermost package manager; none when there is
 * no package manager above us.
 *
 * @param {number} [from]
 * @returns {{ pid: number, manager: boolean }[]}
 */
function managedChain(from = process.ppid) {
  const chain = [];
  let outermost = 0;
  for (let pid = from, visited = 0; pid > 1 && visited < MOST_VISITED; visited++) {
    const found = load().describeProcess(pid);
    if (found === null) break;
    const manager = isPackageManager(found.commandLine);
    chain.push({ pid, manager });
    if (manager) outermost = chain.length;
    pid = found.parent;
  }
  return chain.slice(0, Math.min(outermost, MOST_WATCHED));
}

/**
 * Whether a chain found before still stands: a link that died before the watch began is not seen
 * by it, but hands its children to another parent.
 *
 * @param {{ pid: number }[]} chain
 */
function stillStands(chain) {
  const now = managedChain(chain[0].pid);
  return process.ppid === chain[0].pid && now.length === chain.length;
}

module.exports = { managedChain, stillStands, isPackageManager };

// Finds the project's own files by pattern, so that checks and tests need no lists of files.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const ROOT = path.join(__dirname, '..');
const FOREIGN = new Set(['.git', 'build', 'deps', 'node_modules', 'prebuilds', '__pycache__']);

/** Paths relative to the root, sorted, of the files below `folder` whose path fits `pattern`. */
function find(folder, pattern) {
  const walk = (relative) =>
    fs.readdirSync(path.join(ROOT, relative), { withFileTypes: true }).flatMap((entry) => {
      const below = path.posix.join(relative, entry.name);
      if (entry.isDirectory()) return FOREIGN.has(entry.name) ? [] : walk(below);
      return entry.isFile() && pattern.test(below) ? [below] : [];
    });
  return fs.existsSync(path.join(ROOT, folder)) ? walk(folder).sort() : [];
}

/** Programs without an extension that are JavaScript. */
function scripts() {
  return find('scripts', /\/[^.]+$/).filter((file) =>
    fs.readFileSync(path.join(ROOT, file), 'utf8').startsWith('#!/usr/bin/env node'),
  );
}

module.exports = {
  ROOT,
  find,
  nativeFiles: () =>
    ['csrc', 'test/c', 'test/drivers', 'test/fuzz', 'bench/c'].flatMap((dir) =>
      find(dir, /\.(c|h|cc)$/),
    ),
  scriptFiles: () => [...find('.', /\.(js|cjs|mjs|ts|mts|json)$/), ...scripts()],
};

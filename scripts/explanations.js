// What `epb explain CODE` prints: the pages of docs/errors as plain text, compiled into the program, so that it
// needs no file at run time. Examples in JavaScript are left out.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const PAGES = path.join(__dirname, '..', 'docs', 'errors');
const COLUMNS = 78;

/** Markdown without its marks. @param {string} text */
const plain = (text) =>
  text
    .replace(/\[([^\]]+)\]\([^)]*\)/g, '$1')
    .replace(/`/g, '')
    .replace(/\*\*/g, '');

/**
 * Breaks a text into lines.
 * @param {string} text
 * @param {string} first  begins the first line
 * @param {string} other  begins the others
 */
function wrap(text, first, other) {
  const lines = [first];
  for (const word of plain(text).split(/\s+/).filter(Boolean)) {
    const line = lines[lines.length - 1];
    const isEmpty = line === first || line === other;
    if (!isEmpty && line.length + 1 + word.length > COLUMNS) lines.push(other + word);
    else lines[lines.length - 1] = isEmpty ? line + word : `${line} ${word}`;
  }
  return lines;
}

/** The lines of a block: a quote, a heading, a list or a paragraph. @param {string} block */
function linesOf(block) {
  if (block.startsWith('## ')) return [`${block.slice(3)}:`];
  if (block.startsWith('- ')) {
    return block.split(/\n(?=- )/).flatMap((item) => wrap(item.slice(2), '- ', '  '));
  }
  return wrap(block.replace(/^> ?/gm, ''), '', '');
}

/** @param {string} code */
function explanationOf(code) {
  const page = fs.readFileSync(path.join(PAGES, `${code}.md`), 'utf8');
  const blocks = page
    .replace(/\n## Example[^]*?(?=\n## |$)/, '\n')
    .replace(/```[^]*?```\n?/g, '')
    .split(/\n{2,}/)
    .map((block) => block.trim())
    .filter((block) => block !== '' && !block.startsWith('# '));
  // A heading stands right above its block.
  return blocks.flatMap((block, i) => {
    const below = i === 0 || blocks[i - 1].startsWith('## ') ? [] : [''];
    return [...below, ...linesOf(block)];
  });
}

/** @param {string[]} codes */
function explanations(codes) {
  const rows = codes.map((code) => {
    const lines = explanationOf(code).map((line) => `    ${JSON.stringify(`${line}\n`)}`);
    return `EPB_EXPLANATION(${code.toUpperCase()},\n${lines.join('\n')})\n`;
  });
  return `/* Written by \`npm run docs\` from docs/errors. */\n${rows.join('')}`;
}

module.exports = { explanations };

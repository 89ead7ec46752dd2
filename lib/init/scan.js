/** Reads just enough of JavaScript and TypeScript to find where an expression ends. It gives up when unsure. */
'use strict';

const CLOSING = new Map([
  ['(', ')'],
  ['[', ']'],
  ['{', '}'],
]);
const CLOSERS = new Set(CLOSING.values());
const LITERAL =
  /\/\/[^\n]*|\/\*[^]*?\*\/|'(?:\\[^]|[^'\\\n])*'|"(?:\\[^]|[^"\\\n])*"|`(?:\\[^]|[^`\\$]|\$(?!\{))*`/y;
/** After these, a slash begins a regular expression. */
const BEFORE_REGEXP = /(?:^|[=(,:[!&|?{};]|\breturn)\s*$/;
const REGEXP = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/[\\\n])+\/[a-z]*/y;

/**
 * The same text with blanks for comments and for what is inside of strings and regular expressions.
 * @param {string} text
 * @returns {string | null} null: it has something that this function does not know
 */
function masked(text) {
  let out = '';
  while (out.length < text.length) {
    const at = out.length;
    LITERAL.lastIndex = at;
    REGEXP.lastIndex = at;
    const isRegExp = text[at] === '/' && BEFORE_REGEXP.test(out);
    const found = LITERAL.exec(text) ?? (isRegExp ? REGEXP.exec(text) : null);
    if (found !== null) {
      const isComment = /^\/[/*]/.test(found[0]);
      const blank = found[0].replace(/[^\n]/g, ' ');
      out += isComment ? blank : `"${blank.slice(2)}"`;
    } else if (/['"`]/.test(text[at])) {
      return null;
    } else {
      out += text[at];
    }
  }
  return out;
}

/**
 * @param {string} code masked
 * @param {number} open the index of a bracket
 * @returns {number} the index of the bracket that closes it; -1: none
 */
function closing(code, open) {
  /** @type {string[]} */
  const expected = [];
  for (let at = open; at < code.length; at++) {
    const close = CLOSING.get(code[at]);
    if (close !== undefined) expected.push(close);
    else if (CLOSERS.has(code[at])) {
      if (expected.pop() !== code[at]) return -1;
      if (expected.length === 0) return at;
    }
  }
  return -1;
}

/**
 * What an object has under a name: the index after the colon.
 * @param {string} text
 * @param {string} code masked
 * @param {number} open the index of its brace
 * @param {string} name
 * @returns {number | null} null: nothing; -1: not to be known, because of a spread or a computed name
 */
function property(text, code, open, name) {
  const end = closing(code, open);
  let depth = 0;
  let start = open + 1;
  for (let at = open + 1; at <= end; at++) {
    if (CLOSING.has(code[at])) depth++;
    else if (CLOSERS.has(code[at]) && at < end) depth--;
    else if ((code[at] === ',' && depth === 0) || at === end) {
      const member = code.slice(start, at);
      if (/^\s*(\.\.\.|\[)/.test(member)) return -1;
      // A quoted name is blank in the mask, so it is read from the text.
      const colon = /^\s*(?:[\w$]+|"[^"]*")\s*:/.exec(member);
      const own = colon ? text.slice(start, start + colon[0].length) : member;
      if (new RegExp(`(^|[^\\w$])['"]?${name}['"]?\\s*:?\\s*$`).test(own)) {
        return colon === null ? -1 : start + colon[0].length;
      }
      start = at + 1;
    }
  }
  return null;
}

module.exports = { closing, masked, property };

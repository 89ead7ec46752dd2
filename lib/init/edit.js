/** The change of a configuration file. Each function returns null for what it does not recognise for certain. */
'use strict';

const { closing, masked, property } = require('./scan.js');

const EXPORT =
  /^(export\s+default\s+|module\.exports\s*=\s*|export\s+const\s+config\s*(?::\s*[\w.]+\s*)?=\s*)/gm;
const ANY = /\bmodule\.exports\b|\bexport\s+default\b/g;
const IMPORT = /^(import\s|(const|let|var)\s[^;\n]*\brequire\()/m;
const HEAD =
  /^(#![^\n]*\n|\s*\n|[ \t]*\/\/[^\n]*\n|\/\*[^]*?\*\/[ \t]*\n|['"]use strict['"];?[ \t]*\n)*/;

/**
 * @typedef {object} Exported
 * @property {string} text
 * @property {string} code masked
 * @property {number} start of the expression
 * @property {number} end
 * @property {number} brace of the object that it is or that defineConfig receives; -1: a name
 * @property {boolean} isModule
 */

/**
 * The one expression that a file exports: an object, defineConfig of an object, or a name.
 * @param {string} text
 * @returns {Exported | null}
 */
function exported(text) {
  const code = masked(text);
  if (code === null) return null;
  const all = [...code.matchAll(EXPORT)];
  // Another export, or an assignment below, would win.
  if (all.length !== 1 || (code.match(ANY)?.length ?? 0) > 1) return null;
  const start = all[0].index + all[0][0].length;
  const isModule = all[0][0].startsWith('export');
  const rest = code.slice(start);
  const name = /^[A-Za-z_$][\w$]*(?=\s*(;|$|\n))/.exec(rest);
  const call = /^(defineConfig\s*\(\s*)?\{/.exec(rest);
  let end = -1;
  let brace = -1;
  if (name !== null) {
    end = start + name[0].length;
  } else if (call !== null) {
    brace = start + call[0].length - 1;
    const inner = closing(code, brace);
    if (inner < 0) return null;
    const isCall = call[1] !== undefined;
    end = (isCall ? closing(code, start + call[0].indexOf('(')) : inner) + 1;
    // A second argument, or a comma that ends the first, may only be the comma.
    if (isCall && !/^\s*,?\s*\)$/.test(code.slice(inner + 1, end))) return null;
  }
  // `satisfies`, `as`, or an operator would belong to the expression.
  if (end <= start || !/^[ \t]*(;|$|\r?\n(?!\s*[.([+*/%<>=?&|,-]))/.test(code.slice(end)))
    return null;
  return { text, code, start, end, brace, isModule };
}

/**
 * @param {Exported} found
 * @param {string} text changed behind the place of imports
 * @param {string} names
 * @param {string} from
 */
function withImport(found, text, names, from) {
  const line = found.isModule
    ? `import { ${names} } from '${from}';\n`
    : `const { ${names} } = require('${from}');\n`;
  const first = IMPORT.exec(found.code)?.index;
  const head = /** @type {RegExpExecArray} */ (HEAD.exec(text))[0];
  // A comment directly before the first statement belongs to it.
  const at = first ?? (/\n[ \t]*\n$/.test(head) || /use strict/.test(head) ? head.length : 0);
  const gap = first === undefined ? '\n' : '';
  return text.slice(0, at) + line + gap + text.slice(at);
}

/**
 * @param {string} text
 * @param {{ name: string, from: string, options: string, isFirst: boolean }} call
 */
function wrapped(text, { name, from, options, isFirst }) {
  const found = exported(text);
  if (found === null || new RegExp(`\\b${name}\\b`).test(found.code)) return null;
  const own = text.slice(found.start, found.end);
  const args = isFirst ? `${options}, ${own}` : `${own}, ${options}`;
  const changed = `${text.slice(0, found.start)}${name}(${args})${text.slice(found.end)}`;
  return withImport(found, changed, name, from);
}

/**
 * Adds a property to the exported object.
 * @param {string} text
 * @param {{ property: string, value: string, isList: boolean, name: string, from: string }} addition
 *   isList: the value becomes the first element of a list that may be there
 */
function added(text, { property: key, value, isList, name, from }) {
  const found = exported(text);
  if (found === null || found.brace < 0) return null;
  if (name !== '' && new RegExp(`\\b${name}\\b`).test(found.code)) return null;
  const present = property(text, found.code, found.brace, key);
  let at = found.brace + 1;
  let insertion = `\n  ${key}: ${isList ? `[${value}]` : value},`;
  if (present !== null) {
    const list = /^\s*\[/.exec(found.code.slice(present < 0 ? text.length : present));
    if (!isList || list === null) return null;
    at = present + list[0].length;
    insertion = /^\s*\]/.test(found.code.slice(at)) ? value : `${value}, `;
  } else if (/^[ \t]*[^\s}]/.test(found.code.slice(at))) {
    insertion += '\n ';
  } else if (/^[ \t]*\}/.test(found.code.slice(at))) {
    insertion += '\n';
  }
  const changed = text.slice(0, at) + insertion + text.slice(at);
  return name === '' ? changed : withImport(found, changed, name, from);
}

/**
 * @param {string} text
 * @param {(data: Record<string, any>) => boolean} change false: not certain
 */
function json(text, change) {
  let data;
  try {
    data = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof data !== 'object' || data === null || Array.isArray(data) || !change(data))
    return null;
  const indent = /^[ \t]+(?=")/m.exec(text)?.[0] ?? '  ';
  return JSON.stringify(data, null, indent) + (text.endsWith('\n') ? '\n' : '');
}

module.exports = { added, json, wrapped };

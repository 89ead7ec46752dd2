/** A unified diff of a small file. */
'use strict';

const CONTEXT = 3;

/** @param {string} text */
const linesOf = (text) => (text === '' ? [] : text.replace(/\n$/, '').split('\n'));

/**
 * @param {string} file
 * @param {string} before '' for a new file
 * @param {string} after
 */
function diff(file, before, after) {
  const [a, b] = [linesOf(before), linesOf(after)];
  /** The length of the longest common part of a from i and b from j. */
  const common = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i][j] =
        a[i] === b[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  /** @type {string[]} */
  const rows = [];
  for (let i = 0, j = 0; i < a.length || j < b.length;) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      rows.push(` ${a[i]}`);
      i++;
      j++;
    } else if (i < a.length && (j === b.length || common[i + 1][j] >= common[i][j + 1])) {
      rows.push(`-${a[i++]}`);
    } else {
      rows.push(`+${b[j++]}`);
    }
  }
  const isNear = (/** @type {number} */ at) =>
    rows.slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1).some((row) => row[0] !== ' ');
  const shown = rows.flatMap((row, at) => {
    if (isNear(at)) return [row];
    return at > 0 && isNear(at - 1) ? ['...'] : [];
  });
  return [`--- ${before === '' ? '/dev/null' : file}`, `+++ ${file}`, ...shown].join('\n');
}

module.exports = { diff };

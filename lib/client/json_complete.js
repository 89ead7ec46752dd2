/**
 * Whether JSON.stringify preserves a value completely. Every `set` runs this check, so it must be fast: it
 * answers yes or "not sure", and json_loss.js then decides exactly. The same checks in a replacer would take
 * twice the time of JSON.stringify.
 *
 * The following follow JSON's rules and do not count as loss: properties that are undefined or not
 * enumerable, symbols as keys next to other keys, properties of an array other than its elements, a valid
 * Date.
 */
'use strict';

const { getOwnPropertySymbols, getPrototypeOf } = Object;
const objectPrototype = Object.prototype;
const arrayPrototype = Array.prototype;
const datePrototype = Date.prototype;
const { getTime, toISOString, toJSON } = datePrototype;

/** @param {unknown} value */
function isWhole(value) {
  if (typeof value === 'object') return value === null || isWholeObject(value);
  if (typeof value === 'number') return isWholeNumber(value);
  return typeof value === 'string' || typeof value === 'boolean';
}

/**
 * Finite, and not -0.
 * @param {number} value
 */
function isWholeNumber(value) {
  return value - value === 0 && (value !== 0 || 1 / value > 0);
}

/** @param {any} value */
function isWholeObject(value) {
  const prototype = getPrototypeOf(value);
  if (prototype === objectPrototype) return isWholePlain(value);
  if (prototype === arrayPrototype) return Array.isArray(value) && isWholeArray(value);
  if (prototype === datePrototype) return isWholeDate(value);
  return prototype === null && isWholePlain(value);
}

/**
 * The check of isWholeNumber is inlined for numbers other than 0, since a call would take twice the time.
 * @param {any[] & { toJSON?: unknown }} array
 */
function isWholeArray(array) {
  if (array.toJSON !== undefined) return false;
  for (let i = 0; i < array.length; i++) {
    const element = array[i];
    if (typeof element === 'string') continue;
    if (typeof element === 'number' && element !== 0 && element - element === 0) continue;
    if (!isWhole(element)) return false;
  }
  return true;
}

/**
 * Looks for symbol keys only if there are no other keys, since this takes as long as everything else.
 * @param {any} object
 */
function isWholePlain(object) {
  if (object.toJSON !== undefined) return false;
  let isEmpty = true;
  for (const key in object) {
    const member = object[key];
    isEmpty = false;
    if (typeof member === 'string' || member === undefined) continue;
    if (!isWhole(member)) return false;
  }
  return !isEmpty || getOwnPropertySymbols(object).length === 0;
}

/** @param {any} date */
function isWholeDate(date) {
  if (date.toJSON !== toJSON || date.toISOString !== toISOString) return false;
  return !Number.isNaN(getTime.call(date));
}

module.exports = { isWhole };

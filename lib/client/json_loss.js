/**
 * The JSON of a value, or a Loss that describes what JSON would lose: a Map, a promise, NaN, undefined in an
 * array, an object of a class without `toJSON`. It is exact where json_complete.js is not sure: it calls each
 * getter and each `toJSON` once, and their results must be JSON, too. -0 is preserved. A Loss contains the
 * path.
 */
'use strict';

const types = require('node:util/types');
const { quoteKey } = require('../error.js');

const { getOwnPropertySymbols, getPrototypeOf, hasOwn, is, keys: keysOf } = Object;
const { isArray } = Array;
const objectPrototype = Object.prototype;
const { propertyIsEnumerable } = objectPrototype;
const { getTime } = Date.prototype;
const { isRawJSON = () => false } = /** @type {any} */ (JSON);

/** With the u flag, a regular expression matches a surrogate only if its other half is missing. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;
const NAME = /^[A-Za-z_$][\w$]{0,59}$/;
const PATH_SHOWN_CHARS = 160;

const ENTRIES = 'Pass an array of its entries';
const BYTES =
  'Bytes are a value by themselves, as a Buffer or Uint8Array: inside an object, pass text';
const CLASS = 'Pass a plain object, or give its class a toJSON()';

/** What JSON would lose, and where. It never contains a value. */
class Loss extends Error {
  /** @type {(string | number)[]} its path, the innermost key first */
  keys = [];

  /**
   * @param {string} what the kind of the lost value
   * @param {string} [hint] what to do instead
   * @param {unknown} [cause]
   */
  constructor(what, hint = '', cause = undefined) {
    super(what, { cause });
    this.hint = hint;
  }

  /** `$.user.tokens[0]: a Promise`, and the hint. */
  describe() {
    const path = this.keys.reverse().map(step).join('');
    const shown = path.length > PATH_SHOWN_CHARS ? `...${path.slice(-PATH_SHOWN_CHARS)}` : path;
    return `$${shown}: ${this.message}${this.hint === '' ? '' : `. ${this.hint}`}`;
  }
}

/** @param {string | number} key */
function step(key) {
  if (typeof key === 'number') return `[${key}]`;
  return NAME.test(key) ? `.${key}` : `[${quoteKey(key)}]`;
}

/**
 * @param {any} value
 * @returns {string}
 * @throws {Loss}
 */
function textOf(value) {
  try {
    const text = textIn({ '': value }, '', []);
    if (text !== undefined) return text;
  } catch (error) {
    throw asLoss(error);
  }
  throw new Loss(value === undefined ? 'undefined' : 'its toJSON gives undefined');
}

/**
 * @param {unknown} error
 * @returns {Loss}
 */
function asLoss(error) {
  if (error instanceof Loss) return error;
  if (error instanceof RangeError) return new Loss('nested too deeply', '', error);
  return new Loss('reading it failed', '', error);
}

/**
 * @param {any} holder
 * @param {string | number} key
 * @param {object[]} above the objects that contain it, the outermost first
 * @returns {string | undefined}
 */
function textIn(holder, key, above) {
  const given = holder[key];
  const value = converted(given, String(key));
  switch (typeof value) {
    case 'string':
      return quoted(value);
    case 'number':
      if (!Number.isFinite(value)) throw new Loss(String(value));
      return is(value, -0) ? '-0' : String(value);
    case 'boolean':
      return String(value);
    case 'object':
      return value === null ? 'null' : objectText(value, above);
    case 'undefined':
      return undefined;
    case 'bigint':
      throw new Loss('a BigInt', 'Pass its text');
    default:
      throw new Loss(`a ${typeof value}`);
  }
}

/**
 * The result of a value's toJSON; without a toJSON, the value.
 * @param {any} value
 * @param {string} key
 */
function converted(value, key) {
  if (value === null || !['object', 'function', 'bigint'].includes(typeof value)) return value;
  if (typeof value === 'object') refuseAnyway(value);
  const { toJSON } = value;
  if (typeof toJSON !== 'function') return value;
  try {
    return toJSON.call(value, key);
  } catch (error) {
    throw new Loss('its toJSON failed', '', error);
  }
}

/**
 * Refuses types whose toJSON would not return what the caller meant.
 * @param {object} value
 */
function refuseAnyway(value) {
  if (types.isPromise(value)) throw new Loss('a Promise', 'Await it first');
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) {
    throw new Loss(named(value), BYTES);
  }
  if (types.isDate(value) && Number.isNaN(getTime.call(value))) throw new Loss('an invalid Date');
}

/** @param {string} text */
function quoted(text) {
  if (LONE_SURROGATE.test(text)) throw new Loss('half a surrogate pair, which is no character');
  return JSON.stringify(text);
}

/**
 * @param {any} value
 * @param {object[]} above
 * @returns {string}
 */
function objectText(value, above) {
  if (isRawJSON(value)) return value.rawJSON;
  const prototype = getPrototypeOf(value);
  const array = isArray(value);
  if (array ? !isArray(prototype) : !isPlain(prototype)) throw lossOfClass(value);
  if (above.includes(value)) {
    throw new Loss('a circular reference, to an object that contains it');
  }
  above.push(value);
  const text = array ? arrayText(value, above) : plainText(value, above);
  above.pop();
  return text;
}

/**
 * Whether an object is plain: its prototype is null, or Object.prototype of this realm or another (a test
 * runner's vm context).
 * @param {object | null} prototype
 */
function isPlain(prototype) {
  if (prototype === null || prototype === objectPrototype) return true;
  return getPrototypeOf(prototype) === null && hasOwn(prototype, 'isPrototypeOf');
}

/**
 * @param {any[]} array
 * @param {object[]} above
 */
function arrayText(array, above) {
  const texts = [];
  for (let i = 0; i < array.length; i++) {
    const text = at(array, i, above);
    if (text === undefined) throw within(new Loss('undefined'), i);
    texts.push(text);
  }
  return `[${texts.join(',')}]`;
}

/**
 * @param {any} object
 * @param {object[]} above
 */
function plainText(object, above) {
  const texts = [];
  const keys = keysOf(object);
  for (const key of keys) {
    const text = at(object, key, above);
    if (text !== undefined) texts.push(`${quoted(key)}:${text}`);
  }
  const symbols = keys.length === 0 ? getOwnPropertySymbols(object) : [];
  if (symbols.some((symbol) => propertyIsEnumerable.call(object, symbol))) {
    throw new Loss('an object whose only keys are symbols', 'Use strings as keys');
  }
  return `{${texts.join(',')}}`;
}

/**
 * @param {any} holder
 * @param {string | number} key
 * @param {object[]} above
 */
function at(holder, key, above) {
  try {
    return textIn(holder, key, above);
  } catch (error) {
    throw within(asLoss(error), key);
  }
}

/**
 * @param {Loss} lost
 * @param {string | number} key
 */
function within(lost, key) {
  lost.keys.push(key);
  return lost;
}

/**
 * @param {object} value
 * @returns {Loss}
 */
function lossOfClass(value) {
  if (types.isMap(value) || types.isSet(value)) return new Loss(named(value), ENTRIES);
  if (types.isNativeError(value)) return new Loss(named(value), 'Pass its message, or its stack');
  return new Loss(named(value), CLASS);
}

/**
 * Describes an object by its class, without its value.
 * @param {object} value
 */
function named(value) {
  const name = value.constructor?.name;
  if (typeof name !== 'string' || !NAME.test(name) || name === 'Object') {
    return 'an object with its own prototype';
  }
  return `${/^[AEIO]/i.test(name) ? 'an' : 'a'} ${name}`;
}

module.exports = { Loss, textOf };

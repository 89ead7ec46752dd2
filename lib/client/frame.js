/**
 * The client's side of the binary encoding: appends requests to a buffer, reads replies from one. The layout
 * is that of csrc/wire/frame.h. A test compares the numbers here with the native binding's.
 *
 * Every call passes through here, so nothing is allocated except what the caller gets.
 */
'use strict';

const { load } = require('../binding.js');

const VERSION = 1;
/** The length field, which does not count itself. */
const LENGTH_BYTES = 4;
const REQUEST_HEADER_BYTES = 16;
const REPLY_HEADER_BYTES = 12;
const NUMBER_BYTES = 8;
const KEY_MAX_BYTES = 512;

const FLAGS = Object.freeze({
  ttl: 0x0001,
  version: 0x0002,
  fence: 0x0004,
  count: 0x0008,
  wait: 0x0010,
  period: 0x0020,
  burst: 0x0040,
  cost: 0x0080,
  ifAbsent: 0x0100,
  force: 0x0200,
  binary: 0x0400,
  gzip: 0x0800,
  fresh: 0x1000,
  shared: 0x2000,
  detached: 0x4000,
  discard: 0x8000,
});
const { ttl: TTL, version: VERSION_FLAG, fence: FENCE, count: COUNT } = FLAGS;
const { wait: WAIT, period: PERIOD, burst: BURST, cost: COST } = FLAGS;
const NUMBERS = 0x00ff;
/** Numbers that `get` and `set` never use. */
const RARE_NUMBERS = WAIT | PERIOD | BURST | COST;
/** Up to this many characters, a loop in JavaScript is faster than a call into the runtime. */
const SHORT_TEXT_CHARS = 40;
const QUOTE = 0x22;
/** Up to this many bytes, a check in JavaScript is faster than a call into the binding. */
const SHORT_PLAIN_BYTES = 1024;
/** Above, counting a text's bytes is cheaper than reserving three for each character. */
const LONG_TEXT_CHARS = 64 * 1024;
const TWO_TO_32 = 0x100000000;

/** A request before it is encoded. */
class Request {
  action = 0;
  flags = 0;
  key = '';
  ttl = 0;
  version = 0;
  count = 0;
  fence = 0;
  wait = 0;
  period = 0;
  burst = 0;
  cost = 0;
  /** A valid worker id. */
  worker = '';
  /** @type {string | null} */
  text = null;
  /** @type {Uint8Array | null} */
  bytes = null;
}

/**
 * A decoded reply; `bodyAt` and `bodyEnd` are offsets in the buffer from which it was read.
 */
class Reply {
  version = 0;
  status = 0;
  flags = 0;
  id = 0;
  ttl = 0;
  itemVersion = 0;
  count = 0;
  fence = 0;
  wait = 0;
  period = 0;
  burst = 0;
  bodyAt = 0;
  bodyEnd = 0;
  end = 0;
  /** The body is a plain string: see isPlainString. */
  plain = false;
}

/**
 * @param {string} text
 */
function textBound(text) {
  return text.length > LONG_TEXT_CHARS ? Buffer.byteLength(text) : text.length * 3;
}

/**
 * An upper bound of a request's size in bytes.
 * @param {Request} request
 */
function requestBound(request) {
  const body = request.text === null ? (request.bytes?.length ?? 0) : textBound(request.text);
  const names = (request.key.length + request.worker.length) * 3;
  return REQUEST_HEADER_BYTES + 8 * NUMBER_BYTES + names + body;
}

/**
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} value
 */
function putU32(buffer, at, value) {
  buffer[at] = value;
  buffer[at + 1] = value >>> 8;
  buffer[at + 2] = value >>> 16;
  buffer[at + 3] = value >>> 24;
}

/**
 * Writes a whole number of up to 53 bits as 64 bits in two's complement.
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} value
 */
function putNumber(buffer, at, value) {
  putU32(buffer, at, value >>> 0);
  putU32(buffer, at + 4, Math.floor(value / TWO_TO_32) >>> 0);
  return at + NUMBER_BYTES;
}

/**
 * @param {Buffer} buffer
 * @param {number} at
 * @param {string} text
 * @returns {number} the bytes written
 */
function putText(buffer, at, text) {
  const length = text.length;
  if (length > SHORT_TEXT_CHARS) return buffer.write(text, at);
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) return buffer.write(text, at);
    buffer[at + i] = unit;
  }
  return length;
}

/**
 * Appends a request; the buffer has space for `requestBound` bytes.
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} id
 * @param {Request} request
 * @returns {number} the end of the frame, or -1 if the key is longer than KEY_MAX_BYTES
 */
function putRequest(buffer, at, id, request) {
  const { flags } = request;
  let end = at + REQUEST_HEADER_BYTES;
  if (flags & TTL) end = putNumber(buffer, end, request.ttl);
  if (flags & VERSION_FLAG) end = putNumber(buffer, end, request.version);
  if (flags & FENCE) end = putNumber(buffer, end, request.fence);
  if (flags & COUNT) end = putNumber(buffer, end, request.count);
  if (flags & RARE_NUMBERS) end = putRareNumbers(buffer, end, request);
  const keyBytes = putText(buffer, end, request.key);
  if (keyBytes > KEY_MAX_BYTES) return -1;
  end += keyBytes;
  const workerBytes = request.worker === '' ? 0 : putText(buffer, end, request.worker);
  end += workerBytes;
  if (request.text !== null) {
    end += putText(buffer, end, request.text);
  } else if (request.bytes !== null) {
    buffer.set(request.bytes, end);
    end += request.bytes.length;
  }
  putU32(buffer, at, end - at - LENGTH_BYTES);
  buffer[at + 4] = VERSION;
  buffer[at + 5] = request.action;
  buffer[at + 6] = flags;
  buffer[at + 7] = flags >>> 8;
  putU32(buffer, at + 8, id);
  putU32(buffer, at + 12, keyBytes | (workerBytes << 16));
  return end;
}

/**
 * Whether bytes are ASCII without characters that JSON escapes. It checks four bytes at a time, which is
 * several times as fast as one by one; the last four may overlap the previous ones. The highest bit of a byte
 * in `marks` is set if that byte was above 0x7f, below 0x20, a quote or a backslash (or if a borrow from such
 * a lower byte reached it). The binding checks long inputs with vector code.
 * @param {DataView} view
 * @param {number} at
 * @param {number} end
 */
function isPlain(view, at, end) {
  if (end - at < 4) return areAllPlain(view, at, end);
  if (end - at > SHORT_PLAIN_BYTES) return load().isPlain(view, at, end);
  let marks = 0;
  for (let from = at; from < end; from += 4) {
    const four = view.getInt32(from > end - 4 ? end - 4 : from, true);
    marks |= four | (four - 0x20202020);
    marks |= ((four ^ 0x22222222) - 0x01010101) | ((four ^ 0x5c5c5c5c) - 0x01010101);
  }
  return (marks & 0x80808080) === 0;
}

/**
 * @param {DataView} view
 * @param {number} at
 * @param {number} end
 */
function areAllPlain(view, at, end) {
  for (let i = at; i < end; i++) {
    const unit = view.getUint8(i);
    if (unit < 0x20 || unit > 0x7f || unit === QUOTE || unit === 0x5c) return false;
  }
  return true;
}

/**
 * Whether bytes are the JSON of a string without escapes, so that the string is the text between the quotes.
 * @param {DataView} view
 * @param {number} at
 * @param {number} end
 */
function isPlainString(view, at, end) {
  if (end - at < 2 || view.getUint8(at) !== QUOTE || view.getUint8(end - 1) !== QUOTE) return false;
  return isPlain(view, at + 1, end - 1);
}

/**
 * An upper bound of the bytes that putSimple writes.
 * @param {string} key
 * @param {string | undefined} text
 * @param {boolean} isJson
 */
function simpleBound(key, text, isJson) {
  const head = REQUEST_HEADER_BYTES + NUMBER_BYTES + key.length;
  if (text === undefined) return head;
  return head + (isJson ? textBound(text) : text.length + 2);
}

/**
 * Appends a request of the common form: a short ASCII key, no number but a TTL, and as value JSON or a plain
 * string. A plain string is written first and checked afterwards, in a fifth of the time of JSON.stringify.
 * @param {Buffer} buffer
 * @param {DataView} view of the same
 * @param {number} at
 * @param {number} id
 * @param {number} action
 * @param {string} key not empty
 * @param {number} ttl 0: none
 * @param {string | undefined} text undefined: none
 * @param {boolean} isJson the text is JSON, not a string
 * @returns {number} the end of the frame, or -1: another form, and the caller must wipe the bytes written
 */
function putSimple(buffer, view, at, id, action, key, ttl, text, isJson) {
  const length = key.length;
  if (length > SHORT_TEXT_CHARS) return -1;
  let end = at + REQUEST_HEADER_BYTES;
  if (ttl !== 0) end = putNumber(buffer, end, ttl);
  for (let i = 0; i < length; i++) {
    const unit = key.charCodeAt(i);
    if (unit > 0x7f) return -1;
    buffer[end + i] = unit;
  }
  end += length;
  if (isJson) {
    end += buffer.write(/** @type {string} */ (text), end);
  } else if (text !== undefined) {
    buffer[end] = QUOTE;
    // The length limit cuts text that is not ASCII, so never more than simpleBound bytes are written.
    const textEnd = end + 1 + buffer.write(text, end + 1, text.length);
    if (textEnd - end - 1 !== text.length || !isPlain(view, end + 1, textEnd)) return -1;
    buffer[textEnd] = QUOTE;
    end = textEnd + 1;
  }
  view.setUint32(at, end - at - LENGTH_BYTES, true);
  view.setUint32(at + 4, VERSION | (action << 8) | (ttl === 0 ? 0 : TTL << 16), true);
  view.setUint32(at + 8, id, true);
  view.setUint32(at + 12, length, true);
  return end;
}

/**
 * The end of the frame at an offset.
 * @param {Buffer} buffer
 * @param {number} at
 */
function frameEnd(buffer, at) {
  return at + LENGTH_BYTES + getU32(buffer, at);
}

/**
 * The id of the frame at an offset.
 * @param {Buffer} buffer
 * @param {number} at
 */
function frameId(buffer, at) {
  return getU32(buffer, at + 8);
}

/**
 * @param {Buffer} buffer
 * @param {number} at
 * @param {Request} request
 */
function putRareNumbers(buffer, at, request) {
  const { flags } = request;
  let end = at;
  if (flags & WAIT) end = putNumber(buffer, end, request.wait);
  if (flags & PERIOD) end = putNumber(buffer, end, request.period);
  if (flags & BURST) end = putNumber(buffer, end, request.burst);
  if (flags & COST) end = putNumber(buffer, end, request.cost);
  return end;
}

/**
 * Encodes a request as a separate frame with id 0, to which the broker sends no reply.
 * @param {Request} request
 * @returns {Buffer}
 */
function silentFrame(request) {
  const buffer = Buffer.alloc(requestBound(request));
  return buffer.subarray(0, putRequest(buffer, 0, 0, request));
}

/**
 * @param {Buffer} buffer
 * @param {number} at
 */
function getU32(buffer, at) {
  return (
    (buffer[at] | (buffer[at + 1] << 8) | (buffer[at + 2] << 16) | (buffer[at + 3] << 24)) >>> 0
  );
}

/**
 * @param {Buffer} buffer
 * @param {number} at
 */
function getNumber(buffer, at) {
  return (getU32(buffer, at + 4) | 0) * TWO_TO_32 + getU32(buffer, at);
}

/**
 * @param {number} bits
 */
function countBits(bits) {
  let count = 0;
  for (let left = bits; left !== 0; left &= left - 1) count++;
  return count;
}

/**
 * Reads the whole reply frame at an offset.
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} size number of valid bytes in the buffer
 * @param {Reply} reply receives the fields
 * @returns {boolean} false: not a valid reply frame
 */
function getReply(buffer, at, size, reply) {
  if (size - at < REPLY_HEADER_BYTES) return false;
  const end = at + LENGTH_BYTES + getU32(buffer, at);
  const flags = buffer[at + 6] | (buffer[at + 7] << 8);
  let from = at + REPLY_HEADER_BYTES;
  reply.version = buffer[at + 4];
  reply.status = buffer[at + 5];
  reply.flags = flags;
  reply.id = getU32(buffer, at + 8);
  reply.end = end;
  reply.bodyEnd = end;
  reply.bodyAt = from + countBits(flags & NUMBERS) * NUMBER_BYTES;
  if (end > size || reply.bodyAt > end) return false;
  if ((flags & NUMBERS) === 0) return true;
  if (flags & TTL) from = takeNumber(buffer, from, reply, 'ttl');
  if (flags & VERSION_FLAG) from = takeNumber(buffer, from, reply, 'itemVersion');
  if (flags & FENCE) from = takeNumber(buffer, from, reply, 'fence');
  if (flags & COUNT) from = takeNumber(buffer, from, reply, 'count');
  if ((flags & RARE_NUMBERS) === 0) return true;
  if (flags & WAIT) from = takeNumber(buffer, from, reply, 'wait');
  if (flags & PERIOD) from = takeNumber(buffer, from, reply, 'period');
  if (flags & BURST) takeNumber(buffer, from, reply, 'burst');
  return true;
}

/**
 * @param {Buffer} buffer
 * @param {number} at
 * @param {Reply} reply
 * @param {'ttl' | 'itemVersion' | 'fence' | 'count' | 'wait' | 'period' | 'burst'} field
 */
function takeNumber(buffer, at, reply, field) {
  reply[field] = getNumber(buffer, at);
  return at + NUMBER_BYTES;
}

module.exports = {
  FLAGS,
  KEY_MAX_BYTES,
  Reply,
  Request,
  VERSION,
  frameEnd,
  frameId,
  getNumber,
  getU32,
  getReply,
  isPlainString,
  simpleBound,
  putSimple,
  putNumber,
  putRequest,
  putU32,
  requestBound,
  silentFrame,
};

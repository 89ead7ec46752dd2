/** A set-up file: `broker` without an import. The library is loaded when a test uses it. */
'use strict';

const test = require('./in_test.js');

Object.defineProperty(globalThis, 'broker', {
  configurable: true,
  get: () => test.broker,
  set(value) {
    Object.defineProperty(globalThis, 'broker', { value, writable: true });
  },
});

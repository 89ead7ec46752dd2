/**
 * What a process says about memory that it can't lock. How much that is depends on the machine, and on how
 * much of its values a broker happens to hold at once; so tests whose subject it is not leave it out of
 * what was said.
 */
'use strict';

const NOTICE =
  /^.*Some memory can't be locked and may reach swap.*\n(?:\(Use `node --trace-warnings.*\n)?/gm;

/** @param {string} stderr */
const withoutLockNotice = (stderr) => stderr.replace(NOTICE, '');

module.exports = { withoutLockNotice };

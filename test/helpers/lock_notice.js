/**
 * The notice of a process that can't lock memory. It depends on the machine, and on the amount of values that
 * a broker happens to store at once. Tests of other subjects remove it from the output.
 */
'use strict';

const NOTICE =
  /^.*Some memory can't be locked and may reach swap.*\n(?:\(Use `node --trace-warnings.*\n)?/gm;

/** @param {string} stderr */
const withoutLockNotice = (stderr) => stderr.replace(NOTICE, '');

module.exports = { withoutLockNotice };

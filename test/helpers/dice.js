/** Choices from a seed that a failing test prints: EPB_DICE_SEED repeats them. */
'use strict';

const { randomFrom } = require('./broker.js');

/**
 * @param {import('node:test').TestContext} t
 */
function dice(t) {
  const seed = Number(process.env.EPB_DICE_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`EPB_DICE_SEED=${seed}`);
  const random = randomFrom(seed);
  const below = (limit) => Math.floor(random() * limit);
  return {
    below,
    oneIn: (count) => below(count) === 0,
    pick: (list) => list[below(list.length)],
    times: (count, make) => Array.from({ length: count }, make),
    bytes: (size) => Buffer.from(Array.from({ length: size }, () => below(256))),
  };
}

module.exports = { dice };

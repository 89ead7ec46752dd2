/** What the processes of rate_limit.test.js do. */
'use strict';

const { RateLimiter, Scheduler } = require('../index.js');

const LONG_S = 600;

const tasks = {
  async consume(calls, points) {
    const limiter = new RateLimiter({ points: +points, duration: LONG_S, keyPrefix: 'consume' });
    const all = Array.from({ length: +calls }, () => limiter.consume('k'));
    const granted = (await Promise.allSettled(all)).filter(({ status }) => status === 'fulfilled');
    process.send({ granted: granted.length });
  },
  wait: () => new RateLimiter({ points: 1, duration: LONG_S, keyPrefix: 'turns' }).wait('k'),
  hold(id, slots) {
    const jobs = new Scheduler({ id, maxConcurrent: +slots });
    const hold = () => {
      process.send('holds');
      return new Promise(() => {});
    };
    return jobs.schedule({ weight: +slots }, hold);
  },
};

const [name, ...args] = process.argv.slice(2);
// Only a kill ends a process that holds.
if (name === 'hold') setInterval(() => {}, 60_000);
tasks[name](...args).finally(() => process.disconnect());

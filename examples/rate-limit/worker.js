'use strict';

const { RateLimiter, Scheduler } = require('@ephemeral-broker/rate-limit');

const limiter = new RateLimiter({ keyPrefix: 'api', points: 3, duration: 0.2 });
const uploads = new Scheduler({ id: 'uploads', maxConcurrent: 2 });

async function request(number) {
  await limiter.wait('requests'); // in order of arrival over all workers
  await uploads.schedule(async () => {
    console.log(`request ${number} of ${process.pid} at ${Date.now()}`); // send it here
  });
}

Promise.all([1, 2, 3].map(request));

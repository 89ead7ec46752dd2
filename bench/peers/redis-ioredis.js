'use strict';

// redis-server with ioredis and its defaults (it does not batch commands then). The second peer enables
// enableAutoPipelining, the best mode of ioredis for requests in flight. The rates use a plain SET, while our
// items always have a TTL.
const crypto = require('node:crypto');
const { once } = require('node:events');
const redisServer = require('../redis-server.js');

async function connect(socket, options) {
  const { Redis } = require('ioredis');
  const redis = new Redis(socket, options);
  await once(redis, 'ready');
  redis.defineCommand('unlock', { numberOfKeys: 1, lua: redisServer.UNLOCK });
  return {
    get: (key) => redis.get(key),
    set: (key, value, ttlMs) =>
      ttlMs ? redis.set(key, value, 'PX', ttlMs) : redis.set(key, value),
    del: (key) => redis.del(key),
    ping: () => redis.ping(),
    incr: (key) => redis.incr(key),
    async lock(name) {
      const token = crypto.randomUUID();
      const reply = await redis.set(name, token, 'PX', redisServer.LOCK_MS, 'NX');
      if (reply !== 'OK') throw new Error('the lock is held');
      return () => redis.unlock(name, token);
    },
    async memory() {
      return redisServer.usedMemory(await redis.info('memory'));
    },
  };
}

const cold = (socket) => `
  const { Redis } = require(${JSON.stringify(require.resolve('ioredis'))});
  const redis = new Redis(${JSON.stringify(socket)});
  redis.get('bench:item').finally(() => redis.disconnect());`;

const common = {
  missing: redisServer.missing,
  serve: redisServer.serve,
  versions: () => redisServer.versions('ioredis'),
};

module.exports = [
  {
    ...common,
    name: 'redis + ioredis',
    order: 0,
    main: true,
    can: ['del', 'expiry', 'growth', 'incr', 'lock', 'ping'],
    cold,
    connect: (address) => connect(address, {}),
  },
  {
    ...common,
    name: 'redis + ioredis, enableAutoPipelining',
    order: 1,
    only: ['GET, 64 in flight', 'GET, 1,000 in one tick'],
    aside: true,
    connect: (address) => connect(address, { enableAutoPipelining: true }),
  },
];

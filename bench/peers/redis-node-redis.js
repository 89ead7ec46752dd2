'use strict';

// redis-server with node-redis (`redis` on npm), which batches the commands of a tick by itself.
const redisServer = require('../redis-server.js');

async function connect(path) {
  const { createClient } = require('redis');
  const redis = await createClient({ socket: { path } }).connect();
  return {
    get: (key) => redis.get(key),
    set: (key, value, ttlMs) => redis.set(key, value, ttlMs ? { PX: ttlMs } : {}),
  };
}

const cold = (path) => `
  const { createClient } = require(${JSON.stringify(require.resolve('redis'))});
  const redis = createClient({ socket: { path: ${JSON.stringify(path)} } });
  redis.connect().then(() => redis.get('bench:item')).finally(() => redis.destroy());`;

module.exports = [
  {
    name: 'redis + node-redis',
    order: 1.5,
    sharesServer: true,
    missing: redisServer.missing,
    versions: () => redisServer.versions('redis'),
    serve: redisServer.serve,
    cold,
    connect,
  },
];

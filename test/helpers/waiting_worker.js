/**
 * A process that waits many times over: `count` requests for the lock, each by a worker id of its
 * own, on one connection. "queued" when the broker has them all and has answered a later call.
 */
'use strict';

const { inheritedClient } = require('./workers.js');

const { lock, count } = JSON.parse(process.argv[2]);
const client = inheritedClient();

for (let i = 0; i < count; i++) client.acquireLock(lock, { workerId: `${process.pid} ${i}` });
client.ping().then(() => process.send({ type: 'queued' }));

/**
 * A process with `count` waiting requests for the lock, each with a different worker id, on one connection.
 * It sends "queued" when the broker has all requests and has answered a later call.
 */
'use strict';

const { inheritedClient } = require('./workers.js');

const { lock, count } = JSON.parse(process.argv[2]);
const client = inheritedClient();

for (let i = 0; i < count; i++) client.acquireLock(lock, { workerId: `${process.pid} ${i}` });
client.ping().then(() => process.send({ type: 'queued' }));

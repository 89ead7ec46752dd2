// Four workers send twelve requests to an API that allows three of them in 200 ms, and two at a time.
'use strict';

const { fork } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');

async function main() {
  const workers = Array.from({ length: 4 }, () => fork(path.join(__dirname, 'worker.js')));
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
}

main();

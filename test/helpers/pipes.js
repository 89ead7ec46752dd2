/**
 * Clients that have switched to pipes (PROTOCOL.md, Pipes). A client switches by itself after some requests.
 */
'use strict';

const fs = require('node:fs');

/** More requests than a client needs to switch. */
const REQUESTS = 80;

/** Only Linux has pipes. */
const here = process.platform === 'linux';

/** @template {import('../..').PipeClient} T @param {T} client @returns {Promise<T>} the client, on pipes */
async function goOver(client) {
  for (let i = 0; i < REQUESTS; i++) await client.ping();
  return client;
}

/** The pipes of this process, one entry for each descriptor. */
function ownPipes() {
  const folder = '/proc/self/fd';
  const links = fs.readdirSync(folder).map((fd) => {
    try {
      return fs.readlinkSync(`${folder}/${fd}`);
    } catch {
      return ''; // the descriptor of the folder itself
    }
  });
  return links.filter((link) => link.startsWith('pipe:')).sort();
}

module.exports = { goOver, here, ownPipes };

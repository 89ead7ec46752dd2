/**
 * Clients that have gone over to pipes (PROTOCOL.md, Pipes): they do so by themselves, after some requests.
 */
'use strict';

const fs = require('node:fs');

/** More than enough for a client to be there. */
const REQUESTS = 80;

/** Pipes are for Linux alone. */
const here = process.platform === 'linux';

/** @template {import('../..').PipeClient} T @param {T} client @returns {Promise<T>} it, on pipes */
async function goOver(client) {
  for (let i = 0; i < REQUESTS; i++) await client.ping();
  return client;
}

/** The pipes that this process has descriptors of, each as often as it has. */
function ownPipes() {
  const folder = '/proc/self/fd';
  const links = fs.readdirSync(folder).map((fd) => {
    try {
      return fs.readlinkSync(`${folder}/${fd}`);
    } catch {
      return ''; // that of the folder itself
    }
  });
  return links.filter((link) => link.startsWith('pipe:')).sort();
}

module.exports = { goOver, here, ownPipes };

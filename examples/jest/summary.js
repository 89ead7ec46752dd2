/**
 * A reporter that reads the reports of the workers from the broker after the run.
 */
'use strict';

const { PipeClient } = require('ephemeral-pipe-broker');

class Summary {
  async onRunComplete() {
    const client = new PipeClient();
    try {
      // On stderr, as Jest itself: Jest delays stdout until it is too late.
      console.error(await this.describe(client));
    } finally {
      await client.close();
    }
  }

  async describe(client) {
    const keys = (await client.list('report:')).map(({ key }) => key);
    const reports = await Promise.all(keys.map((key) => client.get(key)));
    reports.sort((a, b) => a.count - b.count);
    const lines = reports.map(
      ({ count, file, worker, pid, session }) =>
        `  ${String(count).padStart(2)}. ${file.padEnd(10)} worker ${worker}, process ${pid}, session ${session}`,
    );
    const workers = new Set(reports.map(({ pid }) => pid)).size;
    const sessions = new Set(reports.map(({ session }) => session)).size;
    const logIns = await client.get('log-ins');
    return [
      '',
      'What the workers saw:',
      ...lines,
      `${reports.length} files in ${workers} workers; counter ${await client.get('files')}; ` +
        `${sessions} session, ${logIns} log-in`,
    ].join('\n');
  }
}

module.exports = Summary;

// deploy.mjs
// Waits for artifacts of another process.
import { PipeClient } from 'ephemeral-pipe-broker';

const broker = new PipeClient();
const bundle = await broker.waitFor('artifact:bundle', { timeoutMs: 60_000 });
const report = await broker.waitFor('artifact:report', { timeoutMs: 60_000 });
console.log(`${bundle.length} bytes, and ${report.file}`);

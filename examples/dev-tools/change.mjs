// change.mjs
// A build that has written new files.
import { PipeClient } from 'ephemeral-pipe-broker';

const broker = new PipeClient();
await broker.waitFor('server', { timeoutMs: 60_000 });
await broker.incr('reload:styles', 1, '1h');
await broker.incr('reload:page', 1, '1h');

// server.mjs
// A development server: reloads what a build reports as new.
import { PipeClient } from 'ephemeral-pipe-broker';

const broker = new PipeClient();
const reloads = broker.watch('reload:');
await reloads.ready;
await broker.set('server', 'listening', Infinity);

for await (const { type, key } of reloads) {
  if (type === 'overflow')
    console.log('reload everything'); // some events were dropped
  else console.log('reload', key.slice('reload:'.length));
  if (key === 'reload:page') break; // a real server goes on
}

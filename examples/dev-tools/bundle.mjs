// bundle.mjs
// Makes an artifact, and hands it to later steps of the run: small ones themselves, large ones by path.
import { PipeClient } from 'ephemeral-pipe-broker';

const broker = new PipeClient();
await broker.set('artifact:bundle', Buffer.from('console.log("bundled");'), Infinity);
await broker.set('artifact:report', { file: 'dist/report.html', size: 7_340_032 }, Infinity);

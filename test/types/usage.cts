// How programs use the package from CommonJS; compiled, not run.
import broker = require('ephemeral-pipe-broker');
import client = require('ephemeral-pipe-client');
import only = require('ephemeral-pipe-broker/client');

export async function run(): Promise<number> {
  const server = new broker.Broker({ requireTTL: false });
  server.startSync();
  const first: broker.PipeClient<any, broker.Ttl> = new client.PipeClient(server.pipe);
  const second: client.PipeClient = new only.Client(server.pipe, { secret: server.secret });
  await first.set('n', 1);
  await first.withLease('n', (number: number, lease: client.Lease<number>) => number + lease.token);
  await first.close();
  server.stopSync();
  return second.incr('n');
}

// @ts-expect-error: no default export
export type None = typeof broker.default;

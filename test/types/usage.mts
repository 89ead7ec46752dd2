// How programs use the package from ES modules; compiled, not run.
import { Broker, BrokerError, Client, PipeClient } from 'ephemeral-pipe-broker';
import type { BrokerOptions, Entry, ErrorCode, ListEntry } from 'ephemeral-pipe-broker';
import { PipeClient as OtherClient } from 'ephemeral-pipe-client';
import type { ClientOptions } from 'ephemeral-pipe-client';

const options: ClientOptions = { timeout: 1000, defaultTtl: 60_000, secret: null };
const client = new PipeClient(process.env.EPHEMERAL_PIPE, options);
const same: PipeClient = new Client();
const other: PipeClient = new OtherClient('/tmp/x.sock', { auth: Buffer.from('x') });

interface User {
  name: string;
}

export const user: User = await client.get<User>('user');
export const perhaps: User | null = await client.get<User, null>('user', { default: null });
export const sync: string = client.getSync<string>('name', { timeout: 10 });
export const entry: Entry<User> = await client.getEntry<User>('user');
export const stored: true = await client.set('user', { name: 'x' }, 1000);
await client.set('user', user, { ttl: 1000, ifVersion: entry.version });
await client.set('user', user, 1000, { ifAbsent: true, timeout: 5 });
await client.set('bytes', Buffer.alloc(3), { ttl: 1000 });
export const gone: boolean = await client.del('user');
export const there: boolean = await client.has('user', { timeout: 5 });
export const left: number = await client.ttl('user');
export const count: number = await client.incr('n');
await client.incr('n', -2, 1000);
await client.incr('n', undefined, { ttl: 1000 });
export const entries: ListEntry[] = await same.list('user:');
export const pong: true = await other.ping();
export const took: number = await client.pingMs();
export const items: number = (await client.stats()).items;
export const status: 'healthy' | 'warning' | 'degraded' = (await client.health()).status;
export const text: string = await client.metrics();
export const view: PipeClient = client.namespace('a').namespace('b');

const brokerOptions: BrokerOptions = { secret: 'auto', eviction: 'lru', log: () => undefined };
{
  await using broker = new Broker(brokerOptions);
  const pipe: string = await broker.start();
  const running: string | null = broker.pipe;
  broker.unref().ref();
  await using own = broker.client({ timeout: 1 });
  broker.spawn('node', ['x.js'], { stdio: 'inherit' }).once('exit', () => undefined);
  await broker.stop({ drainMs: 100 });
  console.log(pipe, running, await own.get('x'), broker.env().EPHEMERAL_PIPE);
}

try {
  await client.get('x');
} catch (error) {
  if (error instanceof BrokerError && error.code === 'not_found') console.log(error.key);
}
export const code: ErrorCode = new BrokerError('timeout', 'Late.', { operation: 'get' }).code;

// @ts-expect-error: a key is a string
await client.get(5);
// @ts-expect-error: no such option
await client.get('x', { tll: 5 });
// @ts-expect-error: a TTL is a number
await client.set('x', 1, '60');
// @ts-expect-error: no such option
await client.set('x', 1, { ttl: 5, ifMissing: true });
// @ts-expect-error: no such code
new BrokerError('not_there', 'No.');
// @ts-expect-error: no such way
new Broker({ eviction: 'random' });
// @ts-expect-error: a number, not text
new Broker({ maxItems: '5' });
// @ts-expect-error: read only
client.pipe = 'x';
// @ts-expect-error: the client of a broker has the broker's secret
new Broker().client({ secret: 'x' });
// @ts-expect-error: no broker in the client's package
export type None = typeof import('ephemeral-pipe-client').Broker;

// How programs use the package from ES modules; compiled, not run.
import { Broker, BrokerError, Client, PipeClient } from 'ephemeral-pipe-broker';
import type {
  BrokerOptions,
  Entry,
  ErrorCode,
  Lease,
  LeaseInfo,
  Leases,
  ListEntry,
  Renewal,
  Throttled,
  Watch,
  WatchEvent,
} from 'ephemeral-pipe-broker';
import { PipeClient as OtherClient } from 'ephemeral-pipe-client';
import type { ClientOptions } from 'ephemeral-pipe-client';

const options: ClientOptions = { timeout: 1000, defaultTtl: 60_000, secret: null, workerId: 'w1' };
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
export const touched: boolean = await client.touch('user', '5m');
await client.touch('user', { ttl: 1000, timeout: 5 });
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

interface Account {
  user: string;
}
const signal = AbortSignal.timeout(1000);

export const slot: number = await client.lease<number>('worker');
await client.lease('worker', {
  workerId: 'w',
  ttl: 1000,
  waitMs: Infinity,
  signal,
  detached: true,
});
await client.lease('worker', 'w', 1000);
await client.lease('worker', 'w', 1000, { waitMs: 5 });
await client.lease('worker', null, { waitMs: 5, timeout: 10 });
export const account: Account = client.leaseSync<Account>('accounts', 'w', 1000, { waitMs: 5 });
client.leaseSync('accounts', { workerId: 'w' });
export const renewal: Renewal = await client.renew();
export const tokens: number[] = renewal.lost.map(({ token }) => token);
await client.renew('w', { ttl: 1000, key: 'accounts' });
await client.renew({ detached: true });
export const released: boolean = await client.release();
await client.release('w', 'accounts', { discard: true });
await client.release(null, 'accounts', { force: true, timeout: 5 });

{
  await using lease: Lease<Account> = await client.acquire<Account>('accounts', {
    ttl: 1000,
    signal,
  });
  const name: string = lease.value.user;
  await client.set('done', name, 1000, { fence: lease.token });
  lease.signal.throwIfAborted();
  console.log(lease.key, lease.workerId, lease.expiresAt - Date.now(), lease.lost);
  await lease.renew({ timeout: 5 });
  const any: boolean = await lease.release({ discard: true });
  console.log(any);
}
export const text2: string = await client.withLease<string, Account>(
  'accounts',
  ({ user: u }) => u,
);
export const length: number = await client.withLease(
  'accounts',
  { waitMs: 1000 },
  async (value: Account, lease) => value.user.length + lease.token,
);
export const locked: number = await client.lock('schema', () => 5);
await client.lock('schema', { mode: 'shared', waitMs: 0 }, async (lease) => lease.token);
export const held: Lease<undefined> = await client.acquireLock('schema', { mode: 'exclusive' });
{
  await using all: Leases<number> = await client.acquireAll<number>(['a', 'b'], { waitMs: 5 });
  const [a, b] = all;
  const sum: number = a.value + b.value;
  const count2: number = await all.release();
  console.log(sum, count2);
}
export const made: boolean = await client.pool('accounts', [{ user: 'x' }, Buffer.from('y')]);
export const size: number = await client.poolAdd('accounts', [1, 2], { timeout: 5 });
export const limited: boolean = await client.limit('browsers', 4);
export const discarded: true = await client.discard('accounts', { user: 'x' });
export const infos: LeaseInfo[] = await client.leases('acc');
export const holders: (string | number)[] = infos.map((info) =>
  info.state === 'held' ? (info.ttl ?? 0) : info.workerId + info.kind,
);

export const login: string = await client.getOrSet('login', 60_000, async () => 'token');
await client.getOrSet<number>('n', null, () => 5, {
  computeTtlMs: 1000,
  refreshAheadMs: 100,
  waitMs: 5,
  signal,
});
export const came: User = await client.waitFor<User>('user', { timeoutMs: 1000, signal });
const watch: Watch = client.watch('user:', { signal });
await watch.ready;
for await (const event of watch) {
  const seen: WatchEvent = event;
  if (event.type === 'overflow') break;
  const key: string = event.key;
  console.log(key, event.version, seen.type);
}
watch.close();
export const order: number = await client.barrier('start', 4, { timeoutMs: 1000 });
export const verdict: Throttled = await client.throttle('api', {
  limit: 5,
  periodMs: 1000,
  burst: 2,
});
export const pause: number = verdict.allowed ? 0 : verdict.retryAfterMs;

const brokerOptions: BrokerOptions = {
  secret: 'auto',
  eviction: 'lru',
  maxWaiters: 100,
  singleLease: true,
  log: () => undefined,
};
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
  if (error instanceof BrokerError && error.code === 'not_found')
    console.log(error.key, error.docs.length);
}
export const code: ErrorCode = new BrokerError('timeout', 'Late.', { operation: 'get' }).code;

export const orNull: User | null = await client.get<User>('user', { default: null });
export const orFive: User | 5 = await client.get<User, 5>('user', { default: 5 });
await client.set('x', { at: new Date(), url: new URL('http://x/'), maybe: undefined }, '60s');
await client.set('x', user, Infinity);
await client.set('x', JSON.parse('{}'), { ttl: '1.5h' });
// @ts-expect-error: a function is no value
await client.set('x', () => 1, 1000);
// @ts-expect-error: a Map is no value
await client.set('x', new Map([[1, 2]]), 1000);
// @ts-expect-error: nor inside an object
await client.set('x', { user: { roles: new Set(['a']) } }, 1000);
// @ts-expect-error: nor is a promise
await client.set('x', [Promise.resolve(1)], 1000);
// @ts-expect-error: bytes are a value by themselves
await client.set('x', { key: Buffer.alloc(3) }, 1000);
// @ts-expect-error: undefined is no value
await client.set('x', undefined, 1000);
const bare = new PipeClient('/p');
// @ts-expect-error: a TTL belongs to every write
await bare.set('x', 1);
// @ts-expect-error: the options have none
await bare.set('x', 1, { ifAbsent: true });
// @ts-expect-error: nor has touch
await bare.touch('x');
await new PipeClient('/p', { defaultTtl: '5m' }).set('x', 1);
await new Broker().client({ defaultTtl: Infinity }).namespace('a').set('x', 1);

interface Schema {
  user: User;
  count: number;
  [job: `job:${string}`]: { done: boolean };
}
const typed = new PipeClient<Schema>('/p');
export const typedUser: User = await typed.get('user');
export const typedJob: boolean = (await typed.get('job:1', { default: { done: false } })).done;
export const typedEntry: number = (await typed.getEntry('count')).value;
export const typedPerhaps: User | null = await typed.get('user', { default: null });
export const typedInside: { done: boolean } = await typed.namespace('job').get('7');
export const computed: User = await typed.getOrSet('user', '1m', () => user);
await typed.set('job:7', { done: true }, 1000);
await typed.del('count');
// @ts-expect-error: no such key
await typed.get('usr');
// @ts-expect-error: no such key
await typed.has('jobs:1');
// @ts-expect-error: a job is no number
await typed.set('job:1', 5, 1000);
// @ts-expect-error: a user is no number
export const wrong: number = await typed.get('user');

interface Leased {
  accounts: Account;
  worker: number;
}
const pools = new PipeClient<Leased>('/p');
export const leasedAccount: Account = await pools.lease('accounts', 'w', '60s');
export const leasedNumber: number = pools.leaseSync('worker');
export const heldAccount: Lease<Account> = await pools.acquire('accounts');
export const heldTwo: Lease<Account[]> = await pools.acquire('accounts', { count: 2 });
export const named: string = await pools.withLease('accounts', ({ user: u }) => u);
export const waited: string = await pools.withLease('accounts', { ttl: '1m' }, (a) => a.user);
export const both: Leases<Account | number> = await pools.acquireAll(['accounts', 'worker']);
export const port: Lease<number> = await pools.acquire('port', { kind: 'number' });
export const asked: User = await pools.lease<User>('accounts');
await pools.pool('accounts', [{ user: 'x' }]);
await pools.poolAdd('accounts', [{ user: 'y' }]);
await pools.discard('accounts', heldAccount.value);
await heldTwo.release({ discard: [heldTwo.value[0]] });
// @ts-expect-error: no such key
await pools.acquire('acounts');
// @ts-expect-error: no such key
await pools.lease('acounts');
// @ts-expect-error: an element is an account
await pools.pool('accounts', [5]);
// @ts-expect-error: an account is no number
export const notNumber: Lease<number> = await pools.acquire('accounts');

await new PipeClient('/p', { waitNoticeMs: '10s', timeout: '60s' }).get('x', { timeout: '5s' });
await client.acquire('x', { waitMs: '60s', ttl: '5m', waitNoticeMs: 0 });
// @ts-expect-error: a unit is in lower case
await client.acquire('x', { waitMs: '60S' });
try {
  await client.acquire('x', { waitMs: 0 });
} catch (error) {
  if (!(error instanceof BrokerError)) throw error;
  for (const { workerId, pid, heldMs, token } of error.holders ?? []) {
    const facts2: [string, number | null, number, number | null] = [workerId, pid, heldMs, token];
    console.log(facts2, error.place ?? 0, error.waiting ?? 0);
  }
  // @ts-expect-error: read only
  error.holders = [];
}

const facts = await client.stats();
// @ts-expect-error: no such figure
export const typo: number = facts.item;
for (const info of await client.leases()) {
  if (info.state === 'held') console.log(info.token.toFixed(), info.ttl.toFixed());
  else console.log(info.waitMs.toFixed());
}
await client.throttle('api', { limit: 5, periodMs: '1m', waitMs: '10s', signal });

// @ts-expect-error: a key is a string
await client.get(5);
// @ts-expect-error: no such option
await client.get('x', { tll: 5 });
// @ts-expect-error: a TTL is a number, or has a unit
await client.set('x', 1, '60');
// @ts-expect-error: no such option
await client.set('x', 1, { ttl: 5, ifMissing: true });
// @ts-expect-error: nothing can be awaited in a blocking call's place
client.leaseSync('x', { signal });
// @ts-expect-error: the function is missing
await client.withLease('x', { ttl: 5 });
// @ts-expect-error: no such mode
await client.lock('x', { mode: 'read' }, () => 1);
// @ts-expect-error: a lease of a key has no mode
await client.acquire('x', { mode: 'shared' });
// @ts-expect-error: a pool has several elements
await client.pool('x', 'y');
// @ts-expect-error: a period is needed
await client.throttle('x', { limit: 5 });
// @ts-expect-error: read only
held.lost = false;
// @ts-expect-error: how long it waits is timeoutMs here
await client.waitFor('x', { waitMs: 5 });
// @ts-expect-error: a worker id is a string
await client.lease('x', 5);
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
export const counted: Promise<{ value: number; ttl: number }> = new OtherClient().incrEntry(
  'n',
  1,
  '1m',
);

// @ts-expect-error: no broker in the client's package
export type None = typeof import('ephemeral-pipe-client').Broker;

import { RateLimiter, RateLimiterRes, Scheduler } from '@ephemeral-broker/rate-limit';
import { PipeClient } from 'ephemeral-pipe-broker';
import {
  RateLimiterQueue,
  RateLimiterUnion,
  RLWrapperBlackAndWhite,
  RLWrapperTimeouts,
  type RateLimiterRes as TheirRes,
} from 'rate-limiter-flexible';

const limiter = new RateLimiter({ points: 1, duration: 1, client: new PipeClient('/a/pipe') });
const res: RateLimiterRes = await limiter.consume('k', 1, { customDuration: 2 });
const theirs: TheirRes = await limiter.wait(7, 1, { waitMs: 1, signal: AbortSignal.timeout(1) });
const none: RateLimiterRes | null = await limiter.get('k');
// @ts-expect-error the option is of another store
new RateLimiter({ points: 1, duration: 1, storeClient: {} });
// @ts-expect-error duration is required
new RateLimiter({ points: 1 });

new RateLimiterUnion(limiter, limiter);
new RateLimiterQueue(limiter);
new RLWrapperBlackAndWhite({ limiter, blackList: ['k'] });
new RLWrapperTimeouts({ limiter, timeoutMs: 1 });

const jobs = new Scheduler({ id: 'jobs', maxConcurrent: 1 });
const sum: number = await jobs.schedule((a: number, b: number) => a + b, 1, 2);
const text: string = await jobs.schedule({ weight: 2 }, async (a: string) => a, 'a');
const wrapped: (a: string) => Promise<number> = jobs.wrap((a: string) => a.length);
// @ts-expect-error the function takes a number
jobs.schedule((a: number) => a, 'a');
export { none, res, sum, text, theirs, wrapped };

import { describe } from 'vitest';
import { hasRedisServer } from '../../control-plane/standalone/redis-server.js';

/** Where a distribution's queue lives; `redis` is what `startDistribution` takes. */
export interface QueueBackend {
  readonly name: 'PostgreSQL' | 'Redis';
  readonly redis: boolean;
}

const hasRedis = await hasRedisServer({ PATH: process.env['PATH'] ?? '' });

/** Runs a suite on both queues. Without a redis-server on the path the half for Redis is reported as skipped, by name. */
export function describeOnEachQueue(title: string, suite: (backend: QueueBackend) => void): void {
  describe(`${title}, with the queue in PostgreSQL`, () => {
    suite({ name: 'PostgreSQL', redis: false });
  });
  const missing = hasRedis ? '' : ' (skipped: no redis-server is on the path)';
  describe.skipIf(!hasRedis)(`${title}, with the queue in Redis${missing}`, () => {
    suite({ name: 'Redis', redis: true });
  });
}

import { RateLimiterPostgres, RateLimiterRes } from 'rate-limiter-flexible';
import type pg from 'pg';
import type { BlindIndex } from './tokens.js';

/** Guards against guessing and flooding. Counted in PostgreSQL, so that replicas share one count. */
export interface RateLimits {
  /** @returns false when the address has tried too often; a try counts. */
  allows(action: 'register' | 'sign-in' | 'resend-mail' | 'redeem', address: string): Promise<boolean>;
}

const LIMITS = {
  register: { points: 20, durationSeconds: 3600 },
  'sign-in': { points: 30, durationSeconds: 300 },
  'resend-mail': { points: 5, durationSeconds: 3600 },
  redeem: { points: 30, durationSeconds: 3600 },
} as const;

/** Addresses are counted under a keyed hash: the table holds no address. */
export function createRateLimits({ pool, blindIndex }: { pool: pg.Pool; blindIndex: BlindIndex }): RateLimits {
  const limiters = Object.fromEntries(
    Object.entries(LIMITS).map(([action, { points, durationSeconds }]) => [
      action,
      new RateLimiterPostgres({
        storeClient: pool,
        storeType: 'pool',
        tableName: 'rate_limit',
        tableCreated: true,
        keyPrefix: action,
        points,
        duration: durationSeconds,
      }),
    ]),
  );
  return {
    async allows(action, address) {
      try {
        await limiters[action]?.consume(blindIndex('address', address));
        return true;
      } catch (error) {
        if (error instanceof RateLimiterRes) return false;
        throw error;
      }
    },
  };
}

import ipaddr from 'ipaddr.js';
import { isInRanges, parseAddressRanges, type AddressRange } from '@pingtoken/shared/address-ranges';
import { isTokenDimension, type Dimension, type Usage } from '@pingtoken/shared/rate-card';
import type { Admitted } from '../admit/admit.js';
import { readCallerClient } from '../admit/caller-client.js';
import { refuse, type Refusal } from '../http-error.js';
import { boundsOf, type Bound } from './bounds.js';
import { rateLimitHeaders, retryHeaders } from './limit-headers.js';
import { createLimiter, type Admission, type Limiter, type LimitReached } from './limiter.js';
import type { ShareKeeper } from './share-keeper.js';

/** One call's part of the limits that bound it, until it is over. */
export interface LimitShare {
  settle(usage: Usage): void;
}

/** What bounds calls by number. Which models and operations are permitted was decided before, at admission. */
export interface CallLimits {
  /**
   * @param tokens that it may use; left out, they are assumed by its request
   * @returns undefined for a call that nothing bounds; a promise, of 200 ms at most, only where what this data plane holds of a
   *   limit is used and others may hold more
   */
  admit(call: Admitted, tokens?: number): LimitShare | Refusal | undefined | Promise<LimitShare | Refusal>;
  /** What is left of what one bounds, on this data plane. */
  left(bound: Bound): ReturnType<Limiter['left']>;
  readonly close: () => void;
}

const SWEEP_MS = 3600 * 1000;

export interface CallLimitsOptions {
  readonly trustedProxies: readonly AddressRange[];
  /** Shares the limits out with other data planes; left out, all of each is this one's. */
  readonly sharing?: Pick<ShareKeeper, 'book' | 'fill' | 'watch'> | undefined;
}

export function createCallLimits({ trustedProxies, sharing }: CallLimitsOptions): CallLimits {
  const limiter = createLimiter(sharing?.book);
  sharing?.watch(limiter.useOf);
  const sweep = setInterval(() => {
    limiter.sweep(Date.now());
  }, SWEEP_MS);
  sweep.unref();
  return {
    admit: (call, given) => {
      const bounds = boundsOf(call);
      if (bounds.length === 0) return undefined;
      if (!comesFrom(bounds, call, trustedProxies)) {
        return refuse('permission_denied', null, 'This key may not be used from this address.');
      }
      const tokens = given ?? tokensOf(call, bounds);
      const admission = limiter.admit(bounds, tokens, Date.now());
      if (!('reached' in admission) || sharing === undefined || admission.lacking.length === 0) {
        return conclude(call, admission);
      }
      return sharing
        .fill(admission.lacking)
        .then((isFilled) => conclude(call, isFilled ? limiter.admit(bounds, tokens, Date.now()) : admission));
    },
    left: (bound) => limiter.left(bound, Date.now()),
    close: () => {
      clearInterval(sweep);
    },
  };
}

function conclude(call: Admitted, admission: Admission | LimitReached): LimitShare | Refusal {
  tell(call, rateLimitHeaders(call.dialect, admission.states, Date.now()));
  if ('reached' in admission) return refuseReached(admission);
  return {
    settle: (usage) => {
      admission.settle(countTokens(usage), Date.now());
    },
  };
}

const NAMES = {
  requestsPerMinute: 'requests a minute',
  requestsPerDay: 'requests a day',
  tokensPerMinute: 'tokens a minute',
  tokensPerDay: 'tokens a day',
  concurrentCalls: 'calls at the same time',
} as const satisfies Record<LimitReached['reached'], string>;

function refuseReached({ reached, limit, retryAfterMs }: LimitReached): Refusal {
  const message = `The limit of ${limit} ${NAMES[reached]} is reached.`;
  return { ...refuse('rate_limited', null, message), headers: retryHeaders(retryAfterMs) };
}

/** The headers go with whatever the call is answered with. A session has no answer of its own. */
function tell({ response }: Admitted, headers: readonly (readonly [string, string])[]): void {
  if (response.headersSent) return;
  for (const [name, value] of headers) response.setHeader(name, value);
}

const parsedRanges = new WeakMap<readonly string[], readonly AddressRange[]>();

function comesFrom(bounds: readonly Bound[], { request }: Admitted, trustedProxies: readonly AddressRange[]): boolean {
  const restricted = bounds.flatMap(({ limits: { addressRanges } }) => (addressRanges === null ? [] : [addressRanges]));
  if (restricted.length === 0) return true;
  const { ip } = readCallerClient(request, trustedProxies);
  if (!ipaddr.isValid(ip)) return false;
  const address = ipaddr.process(ip);
  return restricted.every((texts) => {
    const ranges = parsedRanges.get(texts) ?? parseAddressRanges(texts.join());
    parsedRanges.set(texts, ranges);
    return isInRanges(address, ranges);
  });
}

/** About what a token of text takes in a request. */
const BYTES_A_TOKEN = 4;

/**
 * The tokens that a call may use, as they are assumed until it is over: of its prompt by its length, as the field does, never
 * more than the model can take, and of its answer as many as it asks for.
 */
function tokensOf({ operation, body, facts, catalogue, model }: Admitted, bounds: readonly Bound[]): number {
  if (operation === 'count-tokens') return 0;
  const counts = bounds.some(({ limits }) => limits.tokensPerMinute !== null || limits.tokensPerDay !== null);
  if (!counts) return 0;
  const assumed = Math.ceil(body.length / BYTES_A_TOKEN) + (facts?.answerCap() ?? 0);
  return Math.min(assumed, catalogue.models.get(model)?.contextWindow ?? Number.MAX_SAFE_INTEGER);
}

export function countTokens(usage: Usage): number {
  let tokens = 0;
  for (const [dimension, count] of Object.entries(usage)) {
    if (isTokenDimension(dimension as Dimension)) tokens += count;
  }
  return tokens;
}

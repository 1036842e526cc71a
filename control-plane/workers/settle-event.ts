import { priceCall, priceOf, UnpricedDimensionError, type CallPrice } from '@pingtoken/shared/price-of';
import type { RateCardVersion, Usage } from '@pingtoken/shared/rate-card';
import { usageEventSchema, type Attempt, type UsageEvent } from '@pingtoken/shared/usage-event';
import { MONEY_SCALE } from '@pingtoken/shared/money';
import type { KeyOwner } from './key-owners.js';
import type { Month, PeriodOf } from './ledger-periods.js';

/** What providers charge the operator for one call, by the cost card version that says so. */
export interface CallCost {
  readonly rateCardVersionId: string;
  readonly currency: string;
  /** Units of `currency`; zero where the attempts used nothing. */
  readonly amount: bigint;
}

/** What of an event its tenant pays for: an attempt, or an answer that was there already, for which no provider was asked. */
export interface Billed extends Pick<Attempt, 'usage' | 'serviceTier' | 'countedBy'> {
  readonly providerId: string | null;
  /** In ten-thousandths of the price; all of it if left out. */
  readonly share?: number;
}

/** An event that is fit for the ledger. */
export interface SettledEvent {
  readonly event: UsageEvent;
  /** What the tenant pays for; null when nothing is. */
  readonly billed: Billed | null;
  /** Units of `currency`; zero where nothing is billed. */
  readonly amount: bigint;
  readonly currency: string;
  /** Taken of the tenant's free allowance. */
  readonly freeTokens: number;
  readonly costs: readonly CallCost[];
  /** Of the data plane that carried the call. */
  readonly region: string;
  /** The month that its transfers are booked in. */
  readonly period: Month;
}

/** Whether a call did not end as its caller wished. */
export function isFailure(outcome: UsageEvent['outcome']): boolean {
  return outcome !== 'completed' && outcome !== 'caller-left';
}

/** The tags of the call's key, in order, with commas, which no tag holds, between them. */
export function joinTags({ tags }: UsageEvent): string {
  if (tags === undefined || tags.length === 0) return '';
  return tags.length === 1 ? (tags[0] ?? '') : [...new Set(tags)].sort().join(',');
}

/** Why a record cannot go into the ledger; a short sentence that is stored with it. */
export class UnsettledRecord {
  constructor(readonly reason: string) {}
}

/** Where in a spool a record was delivered, which it must agree with. */
export interface RecordPlace {
  readonly spoolId: string;
  readonly seq: number;
}

/**
 * One call above this is a fault and not a sale: 10^9 of the currency. It also keeps the sums of an account far below what
 * its column holds, so that one record can never make all later ones of its tenant fail.
 */
const MAX_AMOUNT = 10n ** BigInt(9 + MONEY_SCALE);
/** More tokens than any call has: a fault too, and within what a thousand calls can be added up to without rounding. */
const MAX_COUNT = 10 ** 12;
/** What the columns hold: the end of the year 9999, and 32 bits. */
const MAX_INSTANT_MS = 253_402_300_799_999;
const MAX_FIRST_BYTE_MS = 2 ** 31 - 1;

/**
 * Reads a record and brings its ids into the form that PostgreSQL gives back: upper-case digits would make one id two.
 * @returns the faults, without values, where it is no usage event or says that it comes from another place
 */
export function readRecord(record: unknown, place: RecordPlace): UsageEvent | UnsettledRecord {
  const { data, error } = usageEventSchema.safeParse(record);
  if (data === undefined) {
    const faults = error.issues.slice(0, 5).map((issue) => `${issue.path.join('.') || 'record'}: ${issue.message}`);
    return new UnsettledRecord(`not a usage event: ${faults.join('; ')}`);
  }
  if (data.spoolId.toLowerCase() !== place.spoolId || data.seq !== place.seq) {
    return new UnsettledRecord('the record names another spool or another sequence number than it was delivered under');
  }
  for (const instant of [data.admittedAt, data.endedAt]) {
    if (instant < 0 || instant > MAX_INSTANT_MS) return new UnsettledRecord('an instant is out of range');
  }
  if (data.attempts.some(({ usage }) => Object.values(usage).some((count) => count > MAX_COUNT))) {
    return new UnsettledRecord('a count is implausible');
  }
  if ((data.firstByteMs ?? 0) > MAX_FIRST_BYTE_MS) return new UnsettledRecord('firstByteMs is out of range');
  return normaliseIds(data);
}

function normaliseIds(event: UsageEvent): UsageEvent {
  if (hasLowerIds(event)) return event;
  return {
    ...event,
    eventId: event.eventId.toLowerCase(),
    spoolId: event.spoolId.toLowerCase(),
    tenantId: event.tenantId.toLowerCase(),
    apiKeyId: event.apiKeyId.toLowerCase(),
    memberId: event.memberId.toLowerCase(),
    priceCardVersionId: event.priceCardVersionId.toLowerCase(),
    attempts: event.attempts.map((attempt) => ({
      ...attempt,
      providerId: attempt.providerId.toLowerCase(),
      costCardVersionId: attempt.costCardVersionId?.toLowerCase() ?? null,
    })),
  };
}

/** As every data plane writes them: then nothing is copied. */
function hasLowerIds({
  eventId,
  spoolId,
  tenantId,
  apiKeyId,
  memberId,
  priceCardVersionId,
  attempts,
}: UsageEvent): boolean {
  const isLower = (id: string): boolean => !UPPER_DIGIT.test(id);
  return (
    isLower(eventId) &&
    isLower(spoolId) &&
    isLower(tenantId) &&
    isLower(apiKeyId) &&
    isLower(memberId) &&
    isLower(priceCardVersionId) &&
    attempts.every(({ costCardVersionId, providerId }) => isLower(providerId) && isLower(costCardVersionId ?? ''))
  );
}

const UPPER_DIGIT = /[A-F]/;

export interface SettleOptions {
  readonly findVersion: (id: string) => RateCardVersion | undefined;
  readonly findOwner: (apiKeyId: string) => KeyOwner | undefined;
  /** What is left of the free tokens that the event's card gives its tenant. */
  readonly freeTokensLeft: (event: UsageEvent, card: RateCardVersion) => number;
  readonly region: string;
  readonly periodOf: PeriodOf;
}

/** Prices one event by the very versions that it names. Pure: the same event with the same free tokens is settled alike. */
export function settleEvent(
  event: UsageEvent,
  { findVersion, findOwner, freeTokensLeft, region, periodOf }: SettleOptions,
): SettledEvent | UnsettledRecord {
  const owner = findOwner(event.apiKeyId);
  if (owner === undefined) return new UnsettledRecord('the API key does not exist');
  if (owner.tenantId !== event.tenantId || owner.memberId !== event.memberId) {
    return new UnsettledRecord('the API key is not that of the tenant and member named');
  }
  const card = findVersion(event.priceCardVersionId);
  if (card === undefined) return new UnsettledRecord('the price card version does not exist');
  const billed = billedOf(event);
  if (billed instanceof UnsettledRecord) return billed;
  for (const attempt of event.attempts) {
    if (attempt.countedBy === 'none' && isUsed(attempt.usage)) {
      return new UnsettledRecord('an attempt that nobody counted states counts');
    }
  }
  return priceAll(() => ({
    event,
    billed,
    ...(billed === null ? UNBILLED : priceBilled(event, billed, card, freeTokensLeft)),
    currency: card.currency,
    region,
    period: periodOf(event.admittedAt),
    costs: sumCosts(event, findVersion),
  }));
}

function billedOf({ kind, attempts, billedAttempt, repeated }: UsageEvent): Billed | null | UnsettledRecord {
  if (repeated !== undefined) {
    const isAlone = attempts.length === 0 && billedAttempt === null && kind === 'usage';
    if (!isAlone) return new UnsettledRecord('an answer that was there already was also made');
    const { priceShare: share, ...counted } = repeated;
    return { ...counted, providerId: null, share };
  }
  if (billedAttempt === null) return null;
  const attempt = attempts[billedAttempt];
  if (attempt === undefined) return new UnsettledRecord('the billed attempt does not exist');
  return attempt;
}

const UNBILLED: CallPrice = { amount: 0n, freeTokens: 0 };

function priceBilled(
  event: UsageEvent,
  { usage, serviceTier, share }: Billed,
  card: RateCardVersion,
  freeTokensLeft: SettleOptions['freeTokensLeft'],
): CallPrice {
  return priceCall(usage, card, { at: event.admittedAt, serviceTier, share, freeTokens: freeTokensLeft(event, card) });
}

function priceAll(price: () => SettledEvent): SettledEvent | UnsettledRecord {
  try {
    const settled = price();
    const dearest = settled.costs.reduce((most, { amount }) => (amount > most ? amount : most), settled.amount);
    return dearest > MAX_AMOUNT ? new UnsettledRecord('the amount is implausible') : settled;
  } catch (error) {
    if (error instanceof UnpricedDimensionError || error instanceof UnknownCostVersionError) {
      return new UnsettledRecord(error.message);
    }
    throw error;
  }
}

class UnknownCostVersionError extends Error {
  constructor() {
    super('a cost card version does not exist');
  }
}

/** A failed attempt may have cost something too. One sum for each version, since versions may differ in currency. */
function sumCosts({ attempts, admittedAt }: UsageEvent, findVersion: SettleOptions['findVersion']): CallCost[] {
  const sums = new Map<string, CallCost>();
  for (const { costCardVersionId, usage, serviceTier } of attempts) {
    if (costCardVersionId === null) continue;
    const version = findVersion(costCardVersionId);
    if (version === undefined) throw new UnknownCostVersionError();
    const cost = priceOf(usage, version, { at: admittedAt, serviceTier });
    const amount = cost + (sums.get(costCardVersionId)?.amount ?? 0n);
    sums.set(costCardVersionId, { rateCardVersionId: costCardVersionId, currency: version.currency, amount });
  }
  return [...sums.values()];
}

function isUsed(usage: Usage): boolean {
  return Object.values(usage).some((count) => count > 0);
}

/** Every version that the pricing of an event asks for. */
export function versionIdsOf(event: UsageEvent): string[] {
  return [event.priceCardVersionId, ...event.attempts.flatMap(({ costCardVersionId }) => costCardVersionId ?? [])];
}

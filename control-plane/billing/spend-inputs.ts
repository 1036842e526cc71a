import { z } from 'zod';
import { keyTagSchema } from '@pingtoken/shared/route-policy';
import { isTimeZone, offsetAt } from '@pingtoken/shared/time-window';
import { checkInput, Refusal, refuse } from '../database/refusal.js';
import { currencySchema } from './inputs.js';

/** What spending can be told apart by. */
export const SPEND_DIMENSIONS = ['tenant', 'api-key', 'member', 'model', 'provider', 'region', 'tag'] as const;
export type SpendDimension = (typeof SPEND_DIMENSIONS)[number];
export const SPEND_INTERVALS = ['hour', 'day', 'month'] as const;
export type SpendInterval = (typeof SPEND_INTERVALS)[number];

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** The longest that can be asked for at once. */
const MAX_DAYS: Readonly<Record<SpendInterval | 'total', number>> = { hour: 32, day: 400, month: 3700, total: 3700 };
const DEFAULT_DAYS = 30;

const text = z
  .string()
  .max(256)
  .regex(/^\P{Cc}*$/u, 'must not hold control characters');
const fullHour = z.date().refine((date) => date.getTime() % HOUR_MS === 0, 'must be a full hour of UTC');

const spendSchema = z.object({
  by: z.enum(SPEND_DIMENSIONS).nullish(),
  interval: z.enum(SPEND_INTERVALS).nullish(),
  /** Calls admitted at `from` or later, and before `to`. */
  from: fullHour.nullish(),
  to: fullHour.nullish(),
  timeZone: z.string().max(64).refine(isTimeZone, 'is no time zone of the IANA database').default('UTC'),
  apiKeyId: z.uuid('is no id').nullish(),
  memberId: z.uuid('is no id').nullish(),
  providerId: z.uuid('is no id').nullish(),
  model: text.nullish(),
  region: text.nullish(),
  tag: keyTagSchema.nullish(),
  currency: currencySchema.nullish(),
  first: z.int().min(1).max(1000, 'at most 1000').default(100),
  after: z.string().max(1000).nullish(),
});
export type SpendInput = z.input<typeof spendSchema>;

export interface CheckedSpend extends Omit<z.output<typeof spendSchema>, 'from' | 'to' | 'after'> {
  /** Milliseconds since 1970. */
  readonly from: number;
  readonly to: number;
  readonly after: SpendPlace | null;
}

/** @param now milliseconds since 1970 */
export function checkSpend(input: SpendInput, now: number): CheckedSpend | Refusal {
  const checked = checkInput(spendSchema, input);
  if (checked instanceof Refusal) return checked;
  const { interval, timeZone } = checked;
  const to = checked.to?.getTime() ?? (Math.floor(now / HOUR_MS) + 1) * HOUR_MS;
  const from = checked.from?.getTime() ?? Math.floor(to / DAY_MS - DEFAULT_DAYS) * DAY_MS;
  if (from >= to) return refuse('invalid_request', ['to'], 'must be later than from');
  const maxDays = MAX_DAYS[interval ?? 'total'];
  if (to - from > maxDays * DAY_MS) return refuse('invalid_request', ['from'], `at most ${maxDays} days at once`);
  if (interval != null && interval !== 'hour' && !hasFullHours(timeZone, from, to)) {
    const message = 'Days of this time zone do not begin at full hours of UTC; usage is kept by those.';
    return refuse('invalid_request', ['timeZone'], message);
  }
  const after = checked.after == null ? null : readPlace(checked.after);
  if (after === undefined) return refuse('invalid_request', ['after'], 'The cursor is not one of this listing.');
  return { ...checked, from, to, after };
}

/** Whether its clocks are full hours ahead of UTC, in summer as in winter: looked up once a week. */
function hasFullHours(timeZone: string, from: number, to: number): boolean {
  for (let at = from; at < to; at += 7 * DAY_MS) if (offsetAt(timeZone, at) % HOUR_MS !== 0) return false;
  return offsetAt(timeZone, to) % HOUR_MS === 0;
}

/** Where in a listing a row stands: newest first, then by what it is of. */
export interface SpendPlace {
  /** When its interval begins, milliseconds since 1970. */
  readonly start: number;
  /** Empty for what has no such thing. */
  readonly key: string;
  readonly currency: string;
}

export function spendCursor({ start, key, currency }: SpendPlace): string {
  return Buffer.from([start, currency, key].join(' ')).toString('base64url');
}

function readPlace(cursor: string): SpendPlace | undefined {
  const text = Buffer.from(cursor, 'base64url').toString();
  const [, start, currency, key] = /^(-?\d{1,16}) ([A-Z]{3}) (.*)$/su.exec(text) ?? [];
  if (start === undefined || currency === undefined || key === undefined || key.includes('\0')) return undefined;
  const place = { start: Number(start), currency, key };
  return spendCursor(place) === cursor ? place : undefined;
}

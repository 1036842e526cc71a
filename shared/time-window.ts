/** A stretch of the day, by the clock on the wall of a stated place. */
export interface WallClockWindow {
  /** IANA name, such as `Asia/Shanghai`. */
  readonly timeZone: string;
  /** Days on which it begins; Monday is 1, Sunday 7. */
  readonly days: readonly number[];
  /** Minutes since local midnight, inclusive. */
  readonly fromMinute: number;
  /** Exclusive; at or below `fromMinute` the window ends on the next day. */
  readonly toMinute: number;
}

const MINUTE_MS = 60_000;
const DAY_MINUTES = 1440;
/** Clocks are put forward and back at full quarters of an hour of UTC, so that between two of them an offset holds. */
const QUARTER_MS = 15 * MINUTE_MS;

/** The offset found last is kept: neighbouring calls fall into the same quarter, and asking `Intl` costs microseconds. */
interface ZoneClock {
  readonly format: Intl.DateTimeFormat;
  quarter: number;
  offsetMs: number;
}

const clocks = new Map<string, ZoneClock>();

/** Whether the name stands for a time zone; offsets such as `+02:00` do not, for they know no summer time. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    clockOf(name);
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/**
 * Whether an instant lies in a window. What counts is what the wall clock showed: of an hour that was repeated both belong
 * to it, of one that was skipped none.
 * @param at milliseconds since 1970
 */
export function isWithinWindow({ timeZone, days, fromMinute, toMinute }: WallClockWindow, at: number): boolean {
  const { day, minute } = wallClock(timeZone, at);
  if (fromMinute < toMinute) return minute >= fromMinute && minute < toMinute && days.includes(day);
  const dayBefore = day === 1 ? 7 : day - 1;
  return (minute >= fromMinute && days.includes(day)) || (minute < toMinute && days.includes(dayBefore));
}

function wallClock(timeZone: string, at: number): { readonly day: number; readonly minute: number } {
  const localMinutes = Math.floor((at + offsetAt(timeZone, at)) / MINUTE_MS);
  const daysSince1970 = Math.floor(localMinutes / DAY_MINUTES);
  // The first of January 1970 was a Thursday.
  return { day: modulo(daysSince1970 + 3, 7) + 1, minute: modulo(localMinutes, DAY_MINUTES) };
}

/** How far the clocks of a time zone are ahead of UTC at an instant, in milliseconds. */
export function offsetAt(timeZone: string, at: number): number {
  const clock = clockOf(timeZone);
  const quarter = Math.floor(at / QUARTER_MS);
  if (clock.quarter !== quarter) {
    clock.offsetMs = readOffset(clock.format, quarter * QUARTER_MS);
    clock.quarter = quarter;
  }
  return clock.offsetMs;
}

function readOffset(format: Intl.DateTimeFormat, at: number): number {
  const parts = new Map(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]));
  const part = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type) ?? 0;
  const shown = Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'));
  return shown - at;
}

function clockOf(timeZone: string): ZoneClock {
  const known = clocks.get(timeZone);
  if (known !== undefined) return known;
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    calendar: 'iso8601',
    hourCycle: 'h23',
    ...{ year: 'numeric', month: 'numeric', day: 'numeric' },
    ...{ hour: 'numeric', minute: 'numeric', second: 'numeric' },
  });
  const clock = { format, quarter: Number.NaN, offsetMs: 0 };
  clocks.set(timeZone, clock);
  return clock;
}

function modulo(value: number, divisor: number): number {
  return ((value % divisor) + divisor) % divisor;
}

import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { limitsSchema } from '@pingtoken/shared/limits';
import type { ShareGrant } from '@pingtoken/shared/rate-share';
import { createLimiter } from './limiter.js';
import { ShareBook } from './share-book.js';

const NOW = 1_760_000_000_000;
const BOUND = 'requestsPerMinute';

/** A process that counts one key's calls. */
function open(limit = 100) {
  const id = randomUUID();
  const of = { scope: 'key', tenantId: randomUUID(), id } as const;
  const book = new ShareBook();
  const limiter = createLimiter(book);
  const limits = limitsSchema.parse({ requestsPerMinute: limit });
  const call = (at = NOW) => limiter.admit([{ id, of, limits }], 0, at);
  const lack = { id, of, bound: BOUND, amount: 1 } as const;
  return {
    ...{ book, lack, of },
    call,
    calls: (count: number): number =>
      Array.from({ length: count }, () => call()).filter((each) => 'settle' in each).length,
    report: (needing = 0, at = NOW) =>
      book.report(
        Array.from({ length: needing }, () => lack),
        limiter.useOf,
        at,
      ),
    useOf: limiter.useOf,
    cap: (of_ = limit) => book.capOf({ id }, BOUND, of_),
  };
}

const grant = (granted: number, change: Partial<ShareGrant> = {}): ShareGrant => ({
  ...{ granted, limit: 100, free: 0, retryInMs: null },
  ...change,
});

describe('a share', () => {
  it('is nothing before it is given, and what is lacking says so', () => {
    const { call, lack } = open();
    expect(call()).toMatchObject({ reached: BOUND, limit: 100, retryAfterMs: 1_000, lacking: [lack] });
  });

  it('admits as many as it is, and tells what nobody holds as left', () => {
    const { book, calls, call, report } = open();
    book.apply(report(3), [grant(3, { free: 90 })], NOW);
    expect(calls(3)).toBe(3);
    expect(call()).toMatchObject({ states: { requestsPerMinute: { limit: 100, left: 90 } } });
  });

  it('keeps what is used when it is given up, and no less', () => {
    const { book, calls, report, cap } = open();
    book.apply(report(50), [grant(50)], NOW);
    calls(20);
    book.recall([{ ...open().of, bound: BOUND }]);
    const idle = NOW + 11_000;
    expect(report(0, idle)).toMatchObject([{ keep: 20, used: 20, needed: 0, stock: 0, freeInMs: 50_000 }]);
    expect(cap()).toBe(20);
    // A minute later none of it is in use.
    expect(report(0, NOW + 70_000)).toMatchObject([{ keep: 0, used: 0 }]);
  });

  it('that others ask for is given up at once', () => {
    const { book, calls, report, of } = open();
    book.apply(report(50), [grant(50)], NOW);
    calls(20);
    book.recall([{ ...of, bound: BOUND }]);
    expect(report()).toMatchObject([{ keep: 20, stock: 0 }]);
  });

  it('of which there is no more is not asked for again for a moment', () => {
    const { book, lack, report } = open();
    book.apply(report(5), [grant(2, { retryInMs: 30_000 })], NOW);
    expect(book.isQuiet(lack, NOW + 100)).toBe(true);
    expect(book.isQuiet(lack, NOW + 1_000)).toBe(false);
    expect(book.retryInMs(lack, NOW)).toBe(30_000);
  });

  it('is lowered with its limit, by the same part', () => {
    const { book, report, cap } = open();
    book.apply(report(40), [grant(40)], NOW);
    expect([cap(100), cap(50), cap(1), cap(1_000)]).toEqual([40, 20, 0, 40]);
  });
});

describe('alone, with nobody to ask', () => {
  it('a process may use all of what nobody else held, and tells of it before anybody else is given some', () => {
    const { book, calls, report, useOf, cap } = open();
    book.apply(report(5), [grant(5, { free: 60 })], NOW);
    book.setAlone(true);
    expect(cap()).toBe(65);
    expect(calls(100)).toBe(65);
    expect(book.hasUnsaid(useOf, NOW)).toBe(false);
    book.setAlone(false);
    expect(cap()).toBe(5);
    expect(book.hasUnsaid(useOf, NOW)).toBe(true);
    const reports = report();
    expect(reports).toMatchObject([{ keep: 5, used: 65, needed: 60 }]);
    expect(book.hasUnsaid(useOf, NOW)).toBe(true);
    book.apply(reports, [grant(65)], NOW);
    expect(book.hasUnsaid(useOf, NOW)).toBe(false);
  });

  it('has all of a limit that it never asked for', () => {
    const { book, calls } = open();
    book.setAlone(true);
    expect(calls(200)).toBe(100);
  });
});

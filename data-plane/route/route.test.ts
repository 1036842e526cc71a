import { describe, expect, it } from 'vitest';
import type { Admitted, Candidate } from '../admit/admit.js';
import { route, seedOf } from './route.js';

function candidate(targetId: string, change: Partial<Candidate> = {}): Candidate {
  const provider = {
    kind: 'provider',
    id: 'p',
    seq: 1,
    slug: 'p',
    baseUrl: 'http://p',
    dialect: 'openai',
    auth: 'bearer',
    region: null,
    status: 'active',
  } as const;
  return {
    targetId,
    provider,
    credentialId: targetId,
    upstreamModel: 'm',
    rank: 0,
    priority: 0,
    weight: 1,
    dropsUnsupported: false,
    costCardId: null,
    ...change,
  };
}

/** A call as far as `route` looks at it. */
function admitted(candidates: readonly Candidate[], lost: readonly string[] = []): Admitted {
  const secretOf = (id: string): string | undefined => (lost.includes(id) ? undefined : `secret of ${id}`);
  const versions = [
    { id: 'old', effectiveFrom: 0 },
    { id: 'new', effectiveFrom: 1000 },
  ];
  return {
    candidates,
    admittedAt: 999,
    account: { tenant: { id: 't' } },
    catalogue: { secretOf, rateCards: new Map([['card', { versions }]]) },
  } as unknown as Admitted;
}

function order(candidates: readonly Candidate[], seed: number, lost: readonly string[] = []): (string | null)[] {
  const routed = route(admitted(candidates, lost), seed);
  if ('refused' in routed) throw new Error(routed.refused);
  return routed.attempts.map(({ targetId }) => targetId);
}

describe('the order of attempts', () => {
  it('puts a route of the tenant first, then lower priorities', () => {
    const list = [
      candidate('general', { rank: 1 }),
      candidate('second', { priority: 2 }),
      candidate('first', { priority: 1 }),
    ];
    for (let seed = 0; seed < 50; seed += 1) expect(order(list, seed)).toEqual(['first', 'second', 'general']);
  });

  it('shares out one priority by weight', () => {
    const list = [candidate('light', { weight: 1 }), candidate('heavy', { weight: 3 })];
    let heavy = 0;
    for (let seed = 0; seed < 4000; seed += 1) if (order(list, seed * 2_654_435_761)[0] === 'heavy') heavy += 1;
    expect(heavy / 4000).toBeCloseTo(0.75, 1);
  });

  it('is the same for the same seed', () => {
    const list = ['a', 'b', 'c', 'd'].map((id) => candidate(id));
    expect(order(list, 12_345)).toEqual(order(list, 12_345));
  });

  it('leaves out what has no credential that can be opened, and refuses when nothing is left', () => {
    const list = [candidate('a'), candidate('b', { priority: 1 })];
    expect(order(list, 1, ['a'])).toEqual(['b']);
    expect(route(admitted(list, ['a', 'b']), 1)).toMatchObject({ refused: 'upstream_failed' });
  });

  it('names the cost in force at admission, and has room in a usage event', () => {
    const many = Array.from({ length: 30 }, (_, index) => candidate(String(index), { costCardId: 'card' }));
    const routed = route(admitted(many), 7);
    expect(routed).toMatchObject({ attempts: { length: 16, 0: { costCardVersionId: 'old' } } });
  });

  it('draws its seed from the random part of the call’s id', () => {
    expect(seedOf('01890000-0000-7000-8000-0000ffffffff')).toBe(0xffff_ffff);
  });
});

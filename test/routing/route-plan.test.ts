import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findCandidates, type Candidate, type RequestFacts, type Target } from '@pingtoken/shared/route-candidates';
import type { HealthOf, TargetHealth } from '@pingtoken/shared/route-health';
import { planAttempts, type Plan } from '@pingtoken/shared/route-plan';
import { DEFAULT_ROUTE_POLICY, DEFAULT_TARGET_POLICY, ROUTING_STRATEGIES } from '@pingtoken/shared/route-policy';
import { healthOf, requestFacts, RouteWorld, targetHealth, targetIds } from '../kit/route-values.js';

const SEEDS = fc.integer({ min: 0, max: 0xffff_ffff });

interface PlanChange {
  readonly facts?: RequestFacts;
  readonly health?: HealthOf;
  readonly seed?: number;
  readonly hasCredential?: (candidate: Candidate) => boolean;
}

function candidatesOf(world: RouteWorld, { facts = requestFacts(), seed = 1 }: PlanChange = {}): Candidate[] {
  return findCandidates({
    ...{ model: world.model, caller: world.caller, tables: world.tables, facts, seed },
  });
}

function planOf(world: RouteWorld, change: PlanChange = {}): Plan {
  const { facts = requestFacts(), health = () => undefined, seed = 1, hasCredential = () => true } = change;
  const candidates = candidatesOf(world, change);
  return planAttempts({ candidates, facts, health, rateCards: world.rateCards, hasCredential, seed });
}

const order = (world: RouteWorld, change: PlanChange = {}): string[] => targetIds(planOf(world, change).placements);

/** How often each of the targets goes first, over seeds as calls have them. */
function shares(world: RouteWorld, targets: readonly Target[], change: PlanChange = {}, calls = 6000): number[] {
  const firsts = new Map<string | undefined, number>();
  for (let call = 0; call < calls; call += 1) {
    const [first] = order(world, { ...change, seed: Math.imul(call, 2_654_435_761) >>> 0 });
    firsts.set(first, (firsts.get(first) ?? 0) + 1);
  }
  return targets.map(({ id }) => (firsts.get(id) ?? 0) / calls);
}

describe('weights', () => {
  it('hold within six standard deviations, for any weights', () => {
    const weights = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 2, maxLength: 5 });
    fc.assert(
      fc.property(weights, (list) => {
        const world = new RouteWorld();
        const targets = list.map((weight) => world.target({ weight }));
        world.addRoute(targets);
        const sum = list.reduce((total, weight) => total + weight, 0);
        for (const [index, share] of shares(world, targets, {}, 3000).entries()) {
          const expected = (list[index] ?? 0) / sum;
          expect(Math.abs(share - expected)).toBeLessThan(6 * Math.sqrt((expected * (1 - expected)) / 3000));
        }
      }),
      { numRuns: 15 },
    );
  });

  it('share out what a target that is out leaves, in proportion', () => {
    const world = new RouteWorld();
    const targets = [6, 3, 1].map((weight) => world.target({ weight }));
    world.addRoute(targets);
    const health = healthOf({ [targets[0]?.id ?? '']: { blocked: 'breaker-open' } });
    const [first, second, third] = shares(world, targets, { health });
    expect(first).toBe(0);
    expect(second).toBeCloseTo(0.75, 1);
    expect(third).toBeCloseTo(0.25, 1);
  });
});

const arbitraryHealth: fc.Arbitrary<TargetHealth | undefined> = fc.option(
  fc
    .record({
      blocked: fc.constantFrom(undefined, undefined, 'credential-parked', 'cooling-down', 'breaker-open'),
      isLastResort: fc.boolean(),
      outstanding: fc.nat(50),
      latencyMs: fc.option(fc.double({ min: 0, max: 60_000, noNaN: true }), { nil: undefined }),
      attempts: fc.nat(200),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      requestsPerMinute: fc.nat(1000),
      tokensPerMinute: fc.nat(1_000_000),
    })
    .map(({ share, ...health }) =>
      targetHealth({ ...(health as Partial<TargetHealth>), failures: Math.floor(health.attempts * share) }),
    ),
  { nil: undefined },
);

interface Wild {
  readonly world: RouteWorld;
  readonly health: ReadonlyMap<string, TargetHealth | undefined>;
  readonly withoutSecret: ReadonlySet<string>;
}

/** Routes of any strategy with targets that are drained, of providers that are off or not granted, at limits and in any health. */
const wild: fc.Arbitrary<Wild> = fc
  .array(
    fc.record({
      drained: fc.boolean(),
      isOff: fc.boolean(),
      isGranted: fc.boolean(),
      hasSecret: fc.boolean(),
      priority: fc.nat(2),
      weight: fc.integer({ min: 1, max: 9 }),
      limit: fc.option(fc.integer({ min: 1, max: 100 })),
      health: arbitraryHealth,
    }),
    { minLength: 1, maxLength: 6 },
  )
  .chain((targets) =>
    fc.constantFrom(...ROUTING_STRATEGIES).map((strategy) => {
      const world = new RouteWorld();
      const health = new Map<string, TargetHealth | undefined>();
      const withoutSecret = new Set<string>();
      const made = targets.map(({ drained, isOff, isGranted, hasSecret, limit, priority, weight, health: state }) => {
        const provider = world.addProvider({ status: isOff ? 'disabled' : 'active' }, isGranted);
        const limits = { ...DEFAULT_TARGET_POLICY.limits, requestsPerMinute: limit };
        const status = drained ? ('drained' as const) : ('active' as const);
        const target = world.target({ providerId: provider.id, status, limits, priority, weight });
        health.set(target.id, state);
        if (!hasSecret) withoutSecret.add(target.id);
        return target;
      });
      world.addRoute(made, { strategy });
      return { world, health, withoutSecret };
    }),
  );

const planWild = ({ world, health, withoutSecret }: Wild, seed: number): Plan =>
  planOf(world, {
    seed,
    health: (id) => health.get(id),
    hasCredential: ({ target }) => !withoutSecret.has(target.id),
  });

describe('whatever the strategy and the health', () => {
  it('nothing is placed that is drained, off, not granted, without a credential, parked or told to wait', () => {
    fc.assert(
      fc.property(wild, SEEDS, (drawn, seed) => {
        for (const { candidate } of planWild(drawn, seed).placements) {
          const { target, provider } = candidate;
          const health = drawn.health.get(target.id);
          expect(target.status).toBe('active');
          expect(provider.status).toBe('active');
          expect(drawn.world.granted).toContain(provider.id);
          expect(drawn.withoutSecret.has(target.id)).toBe(false);
          if (health?.blocked !== undefined) expect(health.isLastResort).toBe(true);
        }
      }),
    );
  });

  it('each is placed once, by priority, and the same for the same seed', () => {
    fc.assert(
      fc.property(wild, SEEDS, (drawn, seed) => {
        const { placements } = planWild(drawn, seed);
        const ids = targetIds(placements);
        expect(new Set(ids).size).toBe(ids.length);
        expect(targetIds(planWild(drawn, seed).placements)).toEqual(ids);
        const priorities = placements.map(({ candidate }) => candidate.target.priority);
        expect(priorities).toEqual(priorities.toSorted((one, other) => one - other));
      }),
    );
  });

  it('comparison with peers never takes the last one, nor more than half', () => {
    fc.assert(
      fc.property(wild, SEEDS, (drawn, seed) => {
        const free = candidatesOf(drawn.world, { seed }).filter(({ target }) => {
          const health = drawn.health.get(target.id);
          const limit = target.limits.requestsPerMinute;
          const isFull = limit !== null && (health?.requestsPerMinute ?? 0) >= limit;
          return !drawn.withoutSecret.has(target.id) && health?.blocked === undefined && !isFull;
        });
        const { placements } = planWild(drawn, seed);
        if (free.length > 0) expect(placements.length).toBeGreaterThanOrEqual(Math.ceil(free.length / 2));
      }),
    );
  });

  it('what is only suspected is still called when nothing else is left', () => {
    const world = new RouteWorld();
    const [suspect, parked] = [world.target(), world.target()];
    world.addRoute([suspect, parked]);
    const health = healthOf({
      [suspect.id]: { blocked: 'breaker-open', isLastResort: true },
      [parked.id]: { blocked: 'credential-parked' },
    });
    expect(planOf(world, { health }).placements).toMatchObject([
      { why: 'last-resort', candidate: { target: { id: suspect.id } } },
    ]);
  });

  it('a wait that a provider stated is passed on when nothing else is left', () => {
    const world = new RouteWorld();
    const targets = [world.target(), world.target()];
    world.addRoute(targets);
    const until = [1_800_000_009_000, 1_800_000_004_000];
    const health = healthOf(
      Object.fromEntries(targets.map(({ id }, at) => [id, { blocked: 'cooling-down', blockedUntil: until[at] }])),
    );
    expect(planOf(world, { health })).toEqual({ placements: [], retryAt: until[1] });
  });
});

describe('strategies', () => {
  const three = (policy: Parameters<RouteWorld['addRoute']>[1], changes: readonly Partial<Target>[] = [{}, {}, {}]) => {
    const world = new RouteWorld();
    const targets = changes.map((change) => world.target(change));
    world.addRoute(targets, policy);
    const [a = '', b = '', c = ''] = targets.map(({ id }) => id);
    return { world, targets, a, b, c };
  };

  it('least-outstanding: the fewest open calls for its weight', () => {
    const { world, a, b, c } = three({ strategy: 'least-outstanding' }, [{}, { weight: 4 }, {}]);
    const health = healthOf({ [a]: { outstanding: 1 }, [b]: { outstanding: 6 }, [c]: { outstanding: 5 } });
    expect(order(world, { health })).toEqual([b, a, c].toSorted((one, other) => rankOf(one) - rankOf(other)));
    function rankOf(id: string): number {
      return { [a]: 2, [b]: 7 / 4, [c]: 6 }[id] ?? 0;
    }
  });

  it('latency: the slowest of three is never first, and each of the others is', () => {
    const { world, targets, a, b, c } = three({ strategy: 'latency' });
    const health = healthOf({ [a]: { latencyMs: 100 }, [b]: { latencyMs: 120 }, [c]: { latencyMs: 1000 } });
    const [quick = 0, middling = 0, slow] = shares(world, targets, { health });
    expect(slow).toBe(0);
    expect(quick).toBeCloseTo(2 / 3, 1);
    expect(middling).toBeCloseTo(1 / 3, 1);
  });

  it('latency: a target of which nothing is known gets one call, not all of them', () => {
    const { world, a, b } = three({ strategy: 'latency' }, [{}, {}]);
    expect(order(world, { health: healthOf({ [a]: { latencyMs: 5 }, [b]: {} }) })[0]).toBe(b);
    expect(order(world, { health: healthOf({ [a]: { latencyMs: 5 }, [b]: { outstanding: 1 } }) })[0]).toBe(a);
  });

  it('cheapest: by the call’s own size, those of unknown cost or of another currency last', () => {
    const world = new RouteWorld();
    const flat = world.addCard({ input: '0', output: '0', request: '100000' });
    const byToken = world.addCard({ input: '100', output: '0' });
    const euros = world.addCard({ input: '1', output: '1' }, 'EUR');
    const targets = [null, flat, byToken, euros].map((costCardId) => world.target({ costCardId }));
    world.addRoute(targets, { strategy: 'cheapest' });
    const [unknown, flatRate, tokenRate, other] = targets.map(({ id }) => id);
    const small = order(world, { facts: requestFacts({ bodyBytes: 400 }) });
    const large = order(world, { facts: requestFacts({ bodyBytes: 40_000 }) });
    expect(small.slice(0, 2)).toEqual([tokenRate, flatRate]);
    expect(large.slice(0, 2)).toEqual([flatRate, tokenRate]);
    expect(new Set(small.slice(2))).toEqual(new Set([unknown, other]));
  });

  it('cheapest: what comes in is not all, a long answer counts too', () => {
    const world = new RouteWorld();
    const cards = [world.addCard({ input: '1', output: '10' }), world.addCard({ input: '5', output: '5' })];
    const [first, second] = cards.map((costCardId) => world.target({ costCardId }));
    world.addRoute(
      [first, second].flatMap((target) => target ?? []),
      { strategy: 'cheapest' },
    );
    expect(order(world, { facts: requestFacts({ answerCap: () => 1 }) })[0]).toBe(first?.id);
    expect(order(world, { facts: requestFacts({ answerCap: () => 400 }) })[0]).toBe(second?.id);
  });

  it('usage-aware: the most left of its own limits; a full one is left out', () => {
    const limits = (requestsPerMinute: number | null, tokensPerMinute: number | null) => ({
      limits: { requestsPerMinute, tokensPerMinute, concurrentCalls: null },
    });
    const { world, a, b, c } = three({ strategy: 'usage-aware' }, [
      limits(100, null),
      limits(null, 100_000),
      limits(10, null),
    ]);
    const health = healthOf({
      [a]: { requestsPerMinute: 80 },
      [b]: { tokensPerMinute: 10_000 },
      [c]: { requestsPerMinute: 10 },
    });
    expect(order(world, { health })).toEqual([b, a]);
  });

  it('sticky: one key stays where it is, whatever the seed, and only moves when its target goes', () => {
    const { world, targets } = three({ strategy: 'sticky' }, [
      { weight: 3 },
      { weight: 1 },
      { weight: 1 },
      { weight: 1 },
    ]);
    const keys = Array.from({ length: 600 }, (_, index) => `session-${index}`);
    const home = (key: string, seed: number, health?: HealthOf): string | undefined =>
      order(world, { seed, facts: requestFacts({ stickyKey: () => key }), ...(health && { health }) })[0];
    const lost = targets[1]?.id ?? '';
    const withoutOne = healthOf({ [lost]: { blocked: 'breaker-open' } });
    let heavy = 0;
    for (const key of keys) {
      const first = home(key, 1);
      expect(home(key, 2)).toBe(first);
      if (first !== lost) expect(home(key, 3, withoutOne)).toBe(first);
      else expect(home(key, 3, withoutOne)).not.toBe(lost);
      if (first === targets[0]?.id) heavy += 1;
    }
    expect(heavy / keys.length).toBeCloseTo(0.5, 1);
  });

  it('sticky: calls that name nothing are shared out by weight', () => {
    const { world, targets } = three({ strategy: 'sticky' }, [{ weight: 3 }, { weight: 1 }]);
    expect(shares(world, targets)[0]).toBeCloseTo(0.75, 1);
  });

  it('region: near before far, a target’s own region before its provider’s', () => {
    const world = new RouteWorld();
    const us = world.addProvider({ region: 'us' });
    const targets = [
      world.target({ providerId: us.id }),
      world.target({ providerId: us.id, region: 'eu-west' }),
      world.target({ providerId: us.id, region: 'eu' }),
      world.target(),
    ];
    world.addRoute(targets, { strategy: 'region' });
    const [far, near, same, unknown] = targets.map(({ id }) => id);
    expect(order(world, { facts: requestFacts({ region: 'eu' }) })).toEqual([same, near, unknown, far]);
  });

  it('differ by priority where a route says so', () => {
    const { world, a, b, c } = three({ strategy: 'weighted', tierStrategies: [{ priority: 1, strategy: 'region' }] }, [
      { priority: 0 },
      { priority: 1, region: 'us' },
      { priority: 1, region: 'eu' },
    ]);
    for (let seed = 0; seed < 30; seed += 1) {
      expect(order(world, { seed, facts: requestFacts({ region: 'eu' }) })).toEqual([a, c, b]);
    }
  });
});

describe('comparison with peers', () => {
  it('leaves out the one that fails far more often, and takes it back when that is past', () => {
    const world = new RouteWorld();
    const targets = [world.target(), world.target(), world.target()];
    world.addRoute(targets);
    const bad = targets[0]?.id ?? '';
    const seen = (failures: number, attempts = 100): number =>
      shares(world, targets, { health: healthOf({ [bad]: { attempts, failures } }) }, 300)[0] ?? 0;
    expect(seen(40)).toBe(0);
    expect(seen(10)).toBeGreaterThan(0);
    expect(seen(9, 10)).toBeGreaterThan(0);
  });

  it('leaves all in when all fail alike', () => {
    const world = new RouteWorld();
    const targets = [world.target(), world.target()];
    world.addRoute(targets);
    const health = healthOf(Object.fromEntries(targets.map(({ id }) => [id, { attempts: 100, failures: 60 }])));
    expect(order(world, { health })).toHaveLength(2);
  });
});

it('a route that states nothing is weighted, unconditional and without hedges', () => {
  expect(DEFAULT_ROUTE_POLICY).toMatchObject({ strategy: 'weighted', hedging: 'off', retry: { maxAttempts: 3 } });
});

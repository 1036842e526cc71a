import { describe, expect, it } from 'vitest';
import { findCandidates, type Target } from '@pingtoken/shared/route-candidates';
import type { TargetHealth } from '@pingtoken/shared/route-health';
import type { RoutePolicy } from '@pingtoken/shared/route-policy';
import { RouteWorld, targetHealth } from '../../test/kit/route-values.js';
import type { Admitted } from '../admit/admit.js';
import { createHealth, type AttemptResult, type Health } from './health.js';
import { RequestLook } from './request-facts.js';
import { route, type RouteOptions, type Routed } from './route.js';
import { seedOf } from './seed.js';

const AT = 999;

interface Trial {
  readonly world: RouteWorld;
  /** Targets whose credential cannot be opened. */
  readonly lost?: readonly string[];
  readonly body?: string;
  readonly health?: Readonly<Record<string, Partial<TargetHealth>>> | Pick<Health, 'of'>;
}

/** A call as far as `route` looks at it. */
function admitted({ world, lost = [], body = '{}' }: Trial): Admitted {
  const call = { operation: 'chat-completions', admittedAt: AT, dialect: 'openai', model: 'asked-for' } as const;
  const request = { headers: {} };
  const facts = new RequestLook({ ...call, streamed: true, request, body: Buffer.from(body) });
  const { model, caller, tables } = world;
  const candidates = findCandidates({ model, caller, tables, facts, seed: 1 }).map((way) => {
    const { id: targetId, credentialId, upstreamModel, priority, weight, costCardId } = way.target;
    const flat = { targetId, credentialId, upstreamModel, priority, weight, costCardId, rank: way.rank };
    return { ...flat, provider: way.provider, dropsUnsupported: false, way };
  });
  const secretOf = (id: string): string | undefined => (lost.includes(id) ? undefined : `secret of ${id}`);
  const catalogue = { secretOf, rateCards: world.rateCards, plans: new Map() };
  const account = { tenant: { id: world.tenantId, planId: null } };
  return { ...call, streamed: true, candidates, facts, account, catalogue } as unknown as Admitted;
}

function routed(trial: Trial, seed = 1): Routed {
  const { health = {} } = trial;
  const known: RouteOptions['health'] = isHealth(health)
    ? health
    : { of: ({ targetId }) => health[targetId] && targetHealth(health[targetId]) };
  const result = route(admitted(trial), { seed, region: 'eu', health: known });
  if ('refused' in result) throw new Error(result.refused);
  return result;
}

const isHealth = (health: Trial['health']): health is Pick<Health, 'of'> => typeof health?.['of'] === 'function';

const order = (trial: Trial, seed = 1): (string | null)[] =>
  routed(trial, seed).attempts.map(({ targetId }) => targetId);

function worldOf(changes: readonly Partial<Target>[], policy: Partial<RoutePolicy> = {}) {
  const world = new RouteWorld();
  const targets = changes.map((change) => world.target(change));
  world.addRoute(targets, policy);
  return { world, targets, ids: targets.map(({ id }) => id) };
}

describe('the order of attempts', () => {
  it('puts a route of the tenant first, then lower priorities', () => {
    const { world, ids } = worldOf([{ priority: 1 }, { priority: 0 }]);
    const own = world.target();
    world.addRoute([own], { tenantId: world.tenantId });
    for (let seed = 0; seed < 50; seed += 1) expect(order({ world }, seed)).toEqual([own.id, ids[1], ids[0]]);
  });

  it('is the same for the same seed', () => {
    const { world } = worldOf([{}, {}, {}, {}]);
    expect(order({ world }, 12_345)).toEqual(order({ world }, 12_345));
  });

  it('leaves out what has no credential that can be opened, and refuses when nothing is left', () => {
    const { world, targets, ids } = worldOf([{}, { priority: 1 }]);
    const lost = targets.map(({ credentialId }) => credentialId);
    expect(order({ world, lost: lost.slice(0, 1) })).toEqual([ids[1]]);
    expect(route(admitted({ world, lost }), { seed: 1 })).toMatchObject({ refused: 'upstream_failed' });
  });

  it('goes by health, and says that a wait was stated where nothing else is left', () => {
    const { world, ids } = worldOf([{}, { priority: 1 }]);
    const [first = '', second = ''] = ids;
    const cooling = { blocked: 'cooling-down', blockedUntil: AT + 1_000 } as const;
    expect(order({ world, health: { [first]: cooling } })).toEqual([second]);
    expect(() => order({ world, health: { [first]: cooling, [second]: cooling } })).toThrow('rate_limited');
  });

  it('of a single target goes by its health too', () => {
    const { world, ids } = worldOf([{}]);
    const [only = ''] = ids;
    expect(order({ world, health: { [only]: { blocked: 'breaker-open', isLastResort: true } } })).toEqual([only]);
    expect(() => order({ world, health: { [only]: { blocked: 'credential-parked' } } })).toThrow('upstream_failed');
  });

  it('gives a target whose breaker is half open its probe, however often it has failed before', () => {
    const { world, targets, ids } = worldOf([{}, { priority: 1 }, { priority: 1 }]);
    const [first = '', ...peers] = ids;
    let now = AT;
    const health = createHealth({ clock: () => now, onCredentialFault: () => undefined });
    const begin = (target: Target) => {
      const { id, credentialId, upstreamModel } = target;
      return health.begin({ targetId: id, credentialId, upstreamModel, streamed: true }, 1);
    };
    const failure = { kind: 'server-error', status: 500, retryAfterMs: undefined } as const;
    const [one, ...others] = targets;
    if (one === undefined) throw new Error('no target');
    const underWay = Array.from({ length: 60 }, () => begin(one));
    for (const target of others) for (let each = 0; each < 30; each += 1) begin(target).end({ kind: 'served' });
    const failed: AttemptResult = { kind: 'failed', failure };
    for (const attempt of underWay) attempt.end(failed);
    expect(order({ world, health })).not.toContain(first);
    now += 5_000;
    expect(order({ world, health })[0]).toBe(first);
    const probe = begin(one);
    expect(order({ world, health }).toSorted()).toEqual(peers.toSorted());
    probe.end({ kind: 'served' });
    expect(order({ world, health })[0]).toBe(first);
  });

  it('prefers what is near where the route says so', () => {
    const { world, ids } = worldOf([{ region: 'us' }, { region: 'eu' }], { strategy: 'region' });
    for (let seed = 0; seed < 20; seed += 1) expect(order({ world }, seed)).toEqual([ids[1], ids[0]]);
  });

  it('keeps a session where it was', () => {
    const { world } = worldOf([{}, {}, {}], { strategy: 'sticky' });
    const body = JSON.stringify({ prompt_cache_key: 'conversation 7' });
    const [home] = order({ world, body });
    for (let seed = 0; seed < 20; seed += 1) expect(order({ world, body }, seed)[0]).toBe(home);
  });

  it('names the cost in force at admission, and has room in a usage event', () => {
    const world = new RouteWorld();
    const costCardId = world.addCard({ input: '1' });
    world.addRoute(Array.from({ length: 30 }, () => world.target({ costCardId })));
    const version = world.rateCards.get(costCardId)?.versions[0]?.id;
    expect(routed({ world })).toMatchObject({ attempts: { length: 16, 0: { costCardVersionId: version } } });
  });

  it('names the price of the model that serves where that is another one', () => {
    const world = new RouteWorld();
    const priceCardId = world.addCard({ input: '5' });
    const other = world.addModel('other', { priceCardId });
    world.addRoute([world.target()], { fallbackModelIds: [other.id] });
    world.addRoute([world.target()], { modelId: other.id });
    const version = world.rateCards.get(priceCardId)?.versions[0]?.id;
    const [own, fallback] = routed({ world }).attempts;
    expect(own.served).toBeUndefined();
    expect(fallback?.served).toEqual({ model: 'other', priceCardVersionId: version });
  });

  it('draws its seed from the random part of the call’s id', () => {
    expect(seedOf('01890000-0000-7000-8000-0000ffffffff')).toBe(0xffff_ffff);
  });
});

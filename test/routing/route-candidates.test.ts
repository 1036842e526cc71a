import { describe, expect, it } from 'vitest';
import type { Capability } from '@pingtoken/shared/config-snapshot';
import { findCandidates, type Excluded, type RequestFacts } from '@pingtoken/shared/route-candidates';
import { DEFAULT_ROUTE_POLICY, type RouteConditions } from '@pingtoken/shared/route-policy';
import { requestFacts, RouteWorld } from '../kit/route-values.js';

interface Asked {
  readonly planPriceCards?: Readonly<Record<string, string>>;
  readonly facts?: RequestFacts;
  readonly keyTags?: readonly string[];
  readonly seed?: number;
}

function ask(world: RouteWorld, { facts = requestFacts(), keyTags = [], planPriceCards = {}, seed = 1 }: Asked = {}) {
  const excluded: Excluded[] = [];
  const candidates = findCandidates({
    ...{ model: world.model, tables: world.tables, facts, seed },
    caller: { ...world.caller, keyTags, planPriceCards },
    onExcluded: (each) => excluded.push(each),
  });
  return {
    ids: candidates.map(({ target }) => target.id),
    candidates,
    reasons: excluded.map(({ why }) => why),
    excluded,
  };
}

/** Whether a route of these conditions, before an unconditional one, is for the call. */
function holds(conditions: Partial<RouteConditions>, asked: Asked = {}): boolean {
  const world = new RouteWorld();
  const [special, general] = [world.target(), world.target()];
  world.addRoute([special], { conditions: { ...DEFAULT_ROUTE_POLICY.conditions, ...conditions } });
  world.addRoute([general], { position: 1 });
  const { ids } = ask(world, asked);
  expect(ids.at(-1)).toBe(general.id);
  return ids[0] === special.id;
}

const needing = (...needs: Capability[]): RequestFacts => requestFacts({ needs: () => needs });

describe('a route’s conditions', () => {
  it('go by the key’s tags', () => {
    expect(holds({ keyTags: ['batch', 'team:a'] }, { keyTags: ['team:a'] })).toBe(true);
    expect(holds({ keyTags: ['batch'] }, { keyTags: ['team:a'] })).toBe(false);
    expect(holds({ keyTags: ['batch'] })).toBe(false);
  });

  it('go by the tenant', () => {
    expect(holds({ tenantIds: [crypto.randomUUID()] })).toBe(false);
    const world = new RouteWorld();
    world.addRoute([world.target()], {
      conditions: { ...DEFAULT_ROUTE_POLICY.conditions, tenantIds: [world.tenantId] },
    });
    expect(ask(world).ids).toHaveLength(1);
  });

  it('go by the size of the request, both bounds included', () => {
    const sized = (bodyBytes: number) => ({ facts: requestFacts({ bodyBytes }) });
    const bounds = { minRequestBytes: 10, maxRequestBytes: 20 };
    expect([9, 10, 20, 21].map((bytes) => holds(bounds, sized(bytes)))).toEqual([false, true, true, false]);
  });

  it('go by the context that is needed: prompt and answer', () => {
    const facts = requestFacts({ bodyBytes: 4_000, answerCap: () => 500 });
    expect(holds({ minContextTokens: 1_500 }, { facts })).toBe(true);
    expect(holds({ minContextTokens: 1_501 }, { facts })).toBe(false);
  });

  it('go by what is needed, all of it', () => {
    expect(holds({ capabilities: ['vision', 'tools'] }, { facts: needing('tools', 'vision', 'pdf') })).toBe(true);
    expect(holds({ capabilities: ['vision', 'tools'] }, { facts: needing('vision') })).toBe(false);
  });

  it('take the share that a canary is to have, each route its own', () => {
    let first = 0;
    let both = 0;
    for (let call = 0; call < 4000; call += 1) {
      const seed = Math.imul(call, 2_654_435_761) >>> 0;
      const world = canaryWorld;
      const { ids } = ask(world, { seed });
      if (ids.includes(canaryIds[0] ?? '')) first += 1;
      if (ids.length === 3) both += 1;
    }
    expect(first / 4000).toBeCloseTo(0.1, 1);
    expect(both / 4000).toBeLessThan(0.03);
  });
  const canaryWorld = new RouteWorld();
  const canaryIds = [0, 1].map((position) => {
    const target = canaryWorld.target();
    const conditions = { ...DEFAULT_ROUTE_POLICY.conditions, percent: 10 };
    canaryWorld.addRoute([target], { position, conditions });
    return target.id;
  });
  canaryWorld.addRoute([canaryWorld.target()], { position: 2 });

  it('look into the request only where they ask', () => {
    const world = new RouteWorld();
    world.addRoute([world.target()]);
    const never = (): never => {
      throw new Error('looked');
    };
    expect(ask(world, { facts: requestFacts({ needs: never, answerCap: never, stickyKey: never }) }).ids).toHaveLength(
      1,
    );
  });
});

it('a fallback that is paid in another currency is left out, and named', () => {
  const world = new RouteWorld();
  const priceCardId = world.addCard({ input: '10' }, 'EUR');
  const [alike, other] = [world.addModel('alike'), world.addModel('other', { priceCardId })];
  const [own, second, third] = [world.target(), world.target(), world.target()];
  world.addRoute([own], { fallbackModelIds: [other.id, alike.id] });
  world.addRoute([second], { modelId: alike.id });
  world.addRoute([third], { modelId: other.id });
  expect(ask(world)).toMatchObject({ ids: [own.id, second.id], reasons: ['other-currency'] });
});

describe('a tenant gets', () => {
  it('its own routes first, and never another tenant’s', () => {
    const world = new RouteWorld();
    const [general, own, foreign] = [world.target(), world.target(), world.target()];
    world.addRoute([general]);
    world.addRoute([own], { tenantId: world.tenantId });
    world.addRoute([foreign], { tenantId: crypto.randomUUID() });
    expect(ask(world).ids).toEqual([own.id, general.id]);
  });

  it('no provider that it has not granted, that is off or that cannot be asked, and is told why', () => {
    const world = new RouteWorld();
    const providers = [
      world.addProvider({}, false),
      world.addProvider({ status: 'disabled' }),
      world.addProvider({ dialect: 'gemini' }),
      world.addProvider(),
    ];
    const targets = providers.map(({ id }) => world.target({ providerId: id }));
    world.addRoute([...targets, world.target({ status: 'drained' })]);
    Object.assign(world.model, { operations: ['images'] });
    const { ids, reasons } = ask(world, { facts: requestFacts({ operation: 'images' }) });
    expect(ids).toEqual([targets[3]?.id]);
    expect(reasons).toEqual(['provider-not-granted', 'provider-disabled', 'dialect-not-spoken', 'target-drained']);
  });

  it('what its plan prices, though the model itself has no price in force', () => {
    const world = new RouteWorld();
    world.addRoute([world.target()]);
    const { priceCardId } = world.addModel('x');
    const own = crypto.randomUUID();
    Object.assign(world.model, { priceCardId: own });
    expect(ask(world)).toMatchObject({ ids: [], reasons: ['model-unpriced'] });
    expect(ask(world, { planPriceCards: { [own]: priceCardId ?? '' } }).ids).toHaveLength(1);
  });

  it('nothing of a model without a price in force, or that is off', () => {
    const world = new RouteWorld();
    world.addRoute([world.target()]);
    expect(ask(world, { facts: requestFacts({ at: -1 }) })).toMatchObject({ ids: [], reasons: ['model-unpriced'] });
    Object.assign(world.model, { priceCardId: null });
    expect(ask(world)).toMatchObject({ ids: [], reasons: ['model-unpriced'] });
    Object.assign(world.model, { status: 'disabled' });
    expect(ask(world)).toMatchObject({ ids: [], reasons: ['model-disabled'] });
  });
});

describe('a fallback', () => {
  const withFallbacks = (changes: readonly object[]) => {
    const world = new RouteWorld();
    const models = changes.map((change, index) => world.addModel(`fallback ${index}`, change));
    const own = world.target();
    world.addRoute([own], { fallbackModelIds: models.map(({ id }) => id) });
    const targets = models.map(({ id }) => {
      const target = world.target();
      world.addRoute([target], { modelId: id, fallbackModelIds: [world.model.id] });
      return target;
    });
    return { world, own, targets };
  };

  it('comes after the model’s own, in the order of the route, and does not fall back further', () => {
    const { world, own, targets } = withFallbacks([{}, {}]);
    const { ids, candidates } = ask(world);
    expect(ids).toEqual([own.id, ...targets.map(({ id }) => id)]);
    expect(candidates.map(({ model }) => model.name)).toEqual(['asked-for', 'fallback 0', 'fallback 1']);
    expect(candidates.map(({ rank }) => rank)).toEqual([0, 1, 2]);
  });

  it('is known to do what is asked, has the context, a price, and is on', () => {
    const { world, own, targets } = withFallbacks([
      { capabilities: ['tools'] },
      { contextWindow: 100, capabilities: ['vision'] },
      { priceCardId: null, capabilities: ['vision'] },
      { status: 'disabled', capabilities: ['vision'] },
      { operations: ['embeddings'], capabilities: ['vision'] },
      { contextWindow: 101, capabilities: ['vision'] },
    ]);
    const facts = requestFacts({ bodyBytes: 400, answerCap: () => 1, needs: () => ['vision'] });
    const { ids, reasons } = ask(world, { facts });
    expect(ids).toEqual([own.id, targets[5]?.id]);
    expect(reasons).toEqual([
      ...['capability-missing', 'context-too-short', 'model-unpriced', 'model-disabled', 'capability-missing'],
    ]);
  });

  it('is there when the model’s own providers are not', () => {
    const { world, targets } = withFallbacks([{}]);
    world.granted.splice(0, 1);
    expect(ask(world).ids).toEqual([targets[0]?.id]);
  });
});

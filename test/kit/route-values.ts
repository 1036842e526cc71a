import { randomUUID } from 'node:crypto';
import type { ConfigObjectOf } from '@pingtoken/shared/config-snapshot';
import type { Caller, Candidate, RequestFacts, RouteTables, Target } from '@pingtoken/shared/route-candidates';
import type { HealthOf, TargetHealth } from '@pingtoken/shared/route-health';
import { DEFAULT_ROUTE_POLICY, DEFAULT_TARGET_POLICY, type RoutePolicy } from '@pingtoken/shared/route-policy';

/** A config in memory of one model and what it is served by; a test changes what it is about. */
export class RouteWorld {
  readonly tenantId = randomUUID();
  readonly priceCard = rateCard({ input: '10', output: '20' });
  readonly rateCards = new Map<string, ConfigObjectOf<'rate-card'>>([[this.priceCard.id, this.priceCard]]);
  readonly providers = new Map<string, ConfigObjectOf<'provider'>>();
  readonly models = new Map<string, ConfigObjectOf<'model'>>();
  readonly routes: ConfigObjectOf<'route'>[] = [];
  readonly granted: string[] = [];
  readonly model = this.addModel('asked-for');

  get tables(): RouteTables {
    return {
      routes: (modelId, tenantId) =>
        this.routes
          .filter((route) => route.modelId === modelId && (route.tenantId ?? tenantId) === tenantId)
          .sort(
            (one, other) =>
              Number(one.tenantId === null) - Number(other.tenantId === null) || one.position - other.position,
          ),
      modelById: (id) => this.models.get(id),
      providers: this.providers,
      rateCards: this.rateCards,
    };
  }

  get caller(): Caller {
    return { tenant: { id: this.tenantId, grantedProviderIds: this.granted }, keyTags: [], planPriceCards: {} };
  }

  addModel(name: string, change: Partial<ConfigObjectOf<'model'>> = {}): ConfigObjectOf<'model'> {
    const model: ConfigObjectOf<'model'> = {
      ...{ kind: 'model', id: randomUUID(), seq: 1, name, operations: ['chat-completions'], capabilities: [] },
      ...{ contextWindow: null, maxOutputTokens: null, status: 'active', createdAt: 0 },
      priceCardId: this.priceCard.id,
      ...change,
    };
    this.models.set(model.id, model);
    return model;
  }

  addProvider(change: Partial<ConfigObjectOf<'provider'>> = {}, isGranted = true): ConfigObjectOf<'provider'> {
    const id = randomUUID();
    const provider: ConfigObjectOf<'provider'> = {
      ...{ kind: 'provider', id, seq: 1, slug: id.slice(0, 8), baseUrl: 'https://p.example/v1', dialect: 'openai' },
      ...{ auth: 'bearer', region: null, status: 'active' },
      ...change,
    };
    this.providers.set(id, provider);
    if (isGranted) this.granted.push(id);
    return provider;
  }

  addRoute(
    targets: readonly Target[],
    policy: Partial<RoutePolicy & Pick<ConfigObjectOf<'route'>, 'tenantId' | 'modelId'>> = {},
  ): ConfigObjectOf<'route'> {
    const route: ConfigObjectOf<'route'> = {
      ...DEFAULT_ROUTE_POLICY,
      ...{ kind: 'route', id: randomUUID(), seq: 1, modelId: this.model.id, tenantId: null, dropsUnsupported: false },
      targets: [...targets],
      ...policy,
    };
    this.routes.push(route);
    return route;
  }

  target(change: Partial<Target> = {}): Target {
    return {
      ...DEFAULT_TARGET_POLICY,
      ...{ id: randomUUID(), credentialId: randomUUID(), upstreamModel: 'm', priority: 0, weight: 1 },
      costCardId: null,
      ...change,
      providerId: change.providerId ?? this.addProvider().id,
    };
  }

  /** A card that states what a target costs. @returns its id */
  addCard(rates: Record<string, string>, currency = 'USD'): string {
    const card = rateCard(rates, currency);
    this.rateCards.set(card.id, card);
    return card.id;
  }
}

function rateCard(rates: Record<string, string>, currency = 'USD'): ConfigObjectOf<'rate-card'> {
  const version = { id: randomUUID(), effectiveFrom: 0, currency, rates, contextTiers: [], serviceTiers: {} };
  return {
    kind: 'rate-card',
    id: randomUUID(),
    seq: 1,
    versions: [{ ...version, windows: [], freeTokensPerMonth: 0 }],
  };
}

export function requestFacts(change: Partial<RequestFacts> = {}): RequestFacts {
  return {
    ...{ operation: 'chat-completions', bodyBytes: 400, at: 1_800_000_000_000, region: null },
    ...{ needs: () => [], answerCap: () => undefined, stickyKey: () => undefined },
    ...change,
  };
}

export function targetHealth(change: Partial<TargetHealth> = {}): TargetHealth {
  return {
    ...{ blocked: undefined, blockedUntil: undefined, isLastResort: false, outstanding: 0, latencyMs: undefined },
    ...{ attempts: 0, failures: 0, requestsPerMinute: 0, tokensPerMinute: 0 },
    ...change,
  };
}

/** Health by target, as a test states it; of the others nothing is known. */
export function healthOf(states: Readonly<Record<string, Partial<TargetHealth>>>): HealthOf {
  return (targetId) => (states[targetId] === undefined ? undefined : targetHealth(states[targetId]));
}

export function targetIds(list: readonly { readonly candidate: Candidate }[]): string[] {
  return list.map(({ candidate }) => candidate.target.id);
}

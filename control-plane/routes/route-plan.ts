import { z } from 'zod';
import { CAPABILITIES, type ConfigObjectOf } from '@pingtoken/shared/config-snapshot';
import {
  findCandidates,
  type Caller,
  type Candidate,
  type Excluded,
  type RequestFacts,
  type RouteTables,
} from '@pingtoken/shared/route-candidates';
import type { HealthOf } from '@pingtoken/shared/route-health';
import { planAttempts, type Placement } from '@pingtoken/shared/route-plan';
import { OPERATIONS } from '@pingtoken/shared/usage-event';
import { checkInput, Refusal, refuse } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { readReportedHealth, targetHealthOf, type DataPlaneHealth } from '../health/reported-health.js';
import { ApiKey } from '../keys/entities.js';
import { Plan } from '../plans/entities.js';
import { RateCard, RateCardVersion } from '../pricing/entities.js';
import { Credential, Provider, ProviderGrant } from '../providers/entities.js';
import { modelObject, providerObject, rateCardObject, routeObject } from '../publishing/config-objects.js';
import { DataPlane } from '../publishing/entities.js';
import { Tenant } from '../tenants/entities.js';
import { Model, Route, Target } from './entities.js';

const planInput = z.object({
  model: z.string().min(1).max(256),
  apiKeyId: z.uuid().nullish(),
  operation: z.enum(OPERATIONS).default('chat-completions'),
  requestBytes: z.int().nonnegative().default(0),
  answerCap: z.int().nonnegative().nullish(),
  needs: z.array(z.enum(CAPABILITIES)).default([]),
  /** Session, prompt cache key or user. */
  stickyKey: z.string().max(512).nullish(),
  /** Where the data plane stands. */
  region: z.string().max(60).nullish(),
  /** Whose health of targets counts, and whose region where none is given. */
  dataPlaneId: z.uuid().nullish(),
  streamed: z.boolean().default(false),
  at: z.date().nullish(),
  /** Of the call's id; the same one gives the same plan. */
  seed: z.int().min(0).max(0xffff_ffff).default(0),
});
export type RoutePlanInput = z.input<typeof planInput>;

export interface RoutePlan {
  readonly model: string;
  /** Whose report of health was gone by; null where there was none. */
  readonly healthFrom: { readonly dataPlaneId: string; readonly receivedAt: Date } | null;
  /** Why a target would be tried last or left out, by that report; undefined for what it does not tell of. */
  readonly healthOf: HealthOf;
  readonly placements: readonly Placement[];
  readonly excluded: readonly Excluded[];
}

export interface RoutePlans {
  /**
   * The attempts that a call of the scope's tenant would make, in order, and why each way was placed or left out: by the very
   * function that data planes plan with. Each data plane knows the health of targets for itself: counted is what the one that is
   * named has reported last, else the one of the region that was heard of last. Without either, all are well.
   */
  plan(scope: Scope, input: RoutePlanInput): Promise<RoutePlan | Refusal>;
}

export function createRoutePlans({ run }: { run: RunTransaction }): RoutePlans {
  return {
    plan: async (scope, input) => {
      const checked = checkInput(planInput, input);
      return checked instanceof Refusal ? checked : run(scope, (transaction) => plan(transaction, checked));
    },
  };
}

type Asked = z.output<typeof planInput>;

async function plan(transaction: Transaction, asked: Asked): Promise<RoutePlan | Refusal> {
  const model = await transaction.em.findOne(Model, { name: asked.model });
  if (model === null) return refuse('model_not_found', ['model']);
  if (!model.operations.includes(asked.operation)) return refuse('model_not_found', ['operation']);
  const caller = await readCaller(transaction, asked.apiKeyId ?? null);
  if (caller instanceof Refusal) return caller;
  const tables = await readTables(transaction);
  const hasCredential = await readCredentials(transaction, caller);
  const excluded: Excluded[] = [];
  const onExcluded = (each: Excluded): void => void excluded.push(each);
  const dataPlane = await findDataPlane(transaction, asked);
  if (dataPlane instanceof Refusal) return dataPlane;
  const { health } = dataPlane;
  const facts = toFacts(asked, dataPlane.region);
  const { seed, streamed } = asked;
  const healthOf: HealthOf = (id, credentialId, upstreamModel) =>
    health && targetHealthOf(health, { id, credentialId, upstreamModel }, { at: facts.at, streamed });
  const candidates = findCandidates({ model: toModel(model), caller, tables, facts, seed, onExcluded });
  const { rateCards } = tables;
  const question = { candidates, facts, health: healthOf, rateCards, hasCredential, seed, onExcluded };
  const { placements } = planAttempts(question);
  return { model: model.name, healthFrom: health ?? null, healthOf, placements, excluded };
}

/** @returns the region to plan for, and what is known of health there */
async function findDataPlane(
  transaction: Transaction,
  { dataPlaneId, region = null }: Asked,
): Promise<{ readonly region: string | null; readonly health: DataPlaneHealth | undefined } | Refusal> {
  if (dataPlaneId != null) {
    const dataPlane = await transaction.em.findOne(DataPlane, { id: dataPlaneId });
    if (dataPlane === null) return refuse('not_found', ['dataPlaneId']);
    const [health] = await readReportedHealth(transaction, dataPlaneId);
    return { region: region ?? dataPlane.region, health };
  }
  if (region === null) return { region, health: undefined };
  const inRegion = await transaction.em.find(DataPlane, { region });
  const ids = new Set(inRegion.map(({ id }) => id));
  const health = (await readReportedHealth(transaction, null)).find((each) => ids.has(each.dataPlaneId));
  return { region, health };
}

function toFacts(asked: Asked, region: string | null): RequestFacts {
  return {
    operation: asked.operation,
    bodyBytes: asked.requestBytes,
    at: (asked.at ?? new Date()).getTime(),
    region,
    needs: () => asked.needs,
    answerCap: () => asked.answerCap ?? undefined,
    stickyKey: () => asked.stickyKey ?? undefined,
  };
}

async function readCaller({ em, scope }: Transaction, apiKeyId: string | null): Promise<Caller | Refusal> {
  const tenant = await em.findOne(Tenant, { id: scope.tenantId });
  if (tenant === null) return refuse('not_found', ['tenantId']);
  const key = apiKeyId === null ? null : await em.findOne(ApiKey, { id: apiKeyId });
  if (apiKeyId !== null && key === null) return refuse('not_found', ['apiKeyId']);
  const grants = await em.find(ProviderGrant, { revokedAt: null });
  const chosen = tenant.planId === null ? null : await em.findOne(Plan, { id: tenant.planId });
  return {
    tenant: { id: tenant.id, grantedProviderIds: grants.map(({ providerId }) => providerId) },
    keyTags: key?.tags ?? [],
    planPriceCards: chosen?.priceCards ?? {},
  };
}

/** A row as it would be published; the sequence number says nothing here. */
const asObject = <Draft extends object>(draft: Draft): Draft & { readonly seq: number } => ({ ...draft, seq: 0 });
const toModel = (model: Model): ConfigObjectOf<'model'> => asObject(modelObject(model));

async function readTables({ em }: Transaction): Promise<RouteTables> {
  const models = new Map((await em.find(Model, {})).map((model) => [model.id, toModel(model)]));
  const providers = new Map((await em.find(Provider, {})).map((row) => [row.id, asObject(providerObject(row))]));
  const versions = Map.groupBy(await em.find(RateCardVersion, {}), ({ rateCardId }) => rateCardId);
  const cards = (await em.find(RateCard, {})).filter(({ id }) => versions.has(id));
  const rateCards = new Map(
    cards.map((card) => [card.id, asObject(rateCardObject(card, versions.get(card.id) ?? []))]),
  );
  const targets = Map.groupBy(await em.find(Target, {}, { orderBy: { id: 'asc' } }), ({ routeId }) => routeId);
  const rows = await em.find(Route, {}, { orderBy: { position: 'asc' } });
  const routes = rows.map((route) => asObject(routeObject(route, targets.get(route.id) ?? [])));
  return {
    routes: (modelId, tenantId) => {
      const ofModel = routes.filter((route) => route.modelId === modelId);
      return [
        ...ofModel.filter((route) => route.tenantId === tenantId),
        ...ofModel.filter((route) => route.tenantId === null),
      ];
    },
    modelById: (id) => models.get(id),
    providers,
    rateCards,
  };
}

/** Whether a data plane would have a secret to send: of the operator or of the tenant, and bound to the provider's origin. */
async function readCredentials({ em }: Transaction, { tenant }: Caller): Promise<(candidate: Candidate) => boolean> {
  const rows = await em.find(Credential, { $or: [{ tenantId: null }, { tenantId: tenant.id }] });
  const origins = new Map(rows.map(({ id, origin }) => [id, origin]));
  return ({ target, provider }) => origins.get(target.credentialId) === new URL(provider.baseUrl).origin;
}

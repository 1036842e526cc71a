import { z } from 'zod';
import { priceLines, UnpricedDimensionError, type PriceLine } from '@pingtoken/shared/price-of';
import { DIMENSIONS, SERVICE_TIERS, versionInForce } from '@pingtoken/shared/rate-card';
import type { RateCardVersion, ServiceTier, Usage } from '@pingtoken/shared/rate-card';
import { checkInput, Refusal, refuse } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { Plan } from '../plans/entities.js';
import { Tenant } from '../tenants/entities.js';
import { Model, Route, Target } from '../routes/entities.js';
import { RateCardVersion as StoredVersion } from './entities.js';
import { effectiveFromSchema, printable } from './inputs.js';
import { toSharedVersion } from './shared-version.js';

const quoteInput = z.object({
  model: printable(256),
  usage: z
    .array(z.object({ dimension: z.enum(DIMENSIONS), count: z.int().nonnegative() }))
    .max(DIMENSIONS.length)
    .refine(
      (counts) => new Set(counts.map(({ dimension }) => dimension)).size === counts.length,
      'a dimension is counted twice',
    ),
  /** When the call is admitted; null for now. */
  at: effectiveFromSchema,
  serviceTier: z.enum(SERVICE_TIERS).default('standard'),
});
export type QuoteInput = z.input<typeof quoteInput>;

/** What a call would cost, and how that comes about. */
export interface PriceQuote {
  readonly model: string;
  readonly at: Date;
  readonly serviceTier: ServiceTier;
  readonly rateCardVersionId: string;
  readonly currency: string;
  /** Units: the sum of the lines. */
  readonly amount: bigint;
  readonly lines: readonly PriceLine[];
  /** What the tenant has left of the free tokens of that month, before the call. */
  readonly freeTokensLeft: number;
  /** For the operator: what the call would cost at each way that the model is served; null for everyone else. */
  readonly costs: readonly QuotedCost[] | null;
}

export interface QuotedCost {
  readonly targetId: string;
  readonly providerId: string;
  readonly upstreamModel: string;
  readonly rateCardVersionId: string;
  readonly currency: string;
  readonly amount: bigint;
  /** Price less cost; null where they are of different currencies. */
  readonly margin: bigint | null;
}

export interface PriceQuotes {
  /** By the very prices that a call of the scope's tenant, admitted at that instant, would go by. Nothing is reserved. */
  quote(scope: Scope, input: QuoteInput): Promise<PriceQuote | Refusal>;
}

export function createPriceQuotes({ run }: { run: RunTransaction }): PriceQuotes {
  return {
    async quote(scope, input) {
      const checked = checkInput(quoteInput, input);
      if (checked instanceof Refusal) return checked;
      const usage: Usage = Object.fromEntries(checked.usage.map(({ dimension, count }) => [dimension, count]));
      return run(scope, (transaction) => quote(transaction, { ...checked, usage, at: checked.at ?? new Date() }));
    },
  };
}

interface HypotheticalCall {
  readonly model: string;
  readonly usage: Usage;
  readonly at: Date;
  readonly serviceTier: ServiceTier;
}

async function quote(transaction: Transaction, call: HypotheticalCall): Promise<PriceQuote | Refusal> {
  const { em, scope } = transaction;
  const { usage, at, serviceTier } = call;
  const model = await em.findOne(Model, { name: call.model });
  if (model === null || (model.status !== 'active' && !scope.operator)) return refuse('model_not_found', ['model']);
  const version = await findVersion(transaction, await priceCardOf(transaction, model), at);
  if (version === undefined) return refuse('price_missing', ['model']);
  const freeTokensLeft = await findFreeTokens(transaction, call, version);
  try {
    const lines = priceLines(usage, version, { at: at.getTime(), serviceTier, freeTokens: freeTokensLeft });
    const amount = sum(lines);
    const { id: rateCardVersionId, currency } = version;
    const costs = scope.operator ? await quoteCosts(transaction, { model, call, currency, amount }) : null;
    return { model: model.name, at, serviceTier, rateCardVersionId, currency, amount, lines, freeTokensLeft, costs };
  } catch (error) {
    if (!(error instanceof UnpricedDimensionError)) throw error;
    return refuse('price_missing', ['usage', error.dimension], error.message);
  }
}

interface CostOptions {
  readonly model: Model;
  readonly call: HypotheticalCall;
  readonly currency: string;
  readonly amount: bigint;
}

/** Ways whose cost is unknown are left out: no cost card, none in force, or one that does not price such a call. */
async function quoteCosts(
  transaction: Transaction,
  { model, call, currency, amount }: CostOptions,
): Promise<QuotedCost[]> {
  const { em, scope } = transaction;
  const routes = await em.find(Route, { modelId: model.id, $or: [{ tenantId: null }, { tenantId: scope.tenantId }] });
  const routeIds = routes.map(({ id }) => id);
  const targets = await em.find(Target, { routeId: { $in: routeIds } }, { orderBy: { priority: 'asc', id: 'asc' } });
  const costs: QuotedCost[] = [];
  for (const { id: targetId, providerId, upstreamModel, costCardId } of targets) {
    const version = await findVersion(transaction, costCardId, call.at);
    const cost = version === undefined ? undefined : costOf(call, version);
    if (version === undefined || cost === undefined) continue;
    costs.push({
      ...{ targetId, providerId, upstreamModel, rateCardVersionId: version.id, currency: version.currency },
      amount: cost,
      margin: version.currency === currency ? amount - cost : null,
    });
  }
  return costs;
}

function costOf({ usage, at, serviceTier }: HypotheticalCall, version: RateCardVersion): bigint | undefined {
  try {
    return sum(priceLines(usage, version, { at: at.getTime(), serviceTier }));
  } catch (error) {
    if (error instanceof UnpricedDimensionError) return undefined;
    throw error;
  }
}

/** A plan may have prices of its own. */
async function priceCardOf({ em, scope }: Transaction, { priceCardId }: Model): Promise<string | null> {
  if (priceCardId === null) return null;
  const { planId } = await em.findOneOrFail(Tenant, { id: scope.tenantId });
  const plan = planId === null ? null : await em.findOne(Plan, { id: planId });
  return plan?.priceCards[priceCardId] ?? priceCardId;
}

async function findVersion(
  { em }: Transaction,
  rateCardId: string | null,
  at: Date,
): Promise<RateCardVersion | undefined> {
  if (rateCardId === null) return undefined;
  const stored = await em.find(StoredVersion, { rateCardId }, { orderBy: { effectiveFrom: 'asc' } });
  return versionInForce(stored.map(toSharedVersion), at.getTime());
}

async function findFreeTokens(
  { em, scope }: Transaction,
  { model, at }: HypotheticalCall,
  { freeTokensPerMonth }: RateCardVersion,
): Promise<number> {
  if (freeTokensPerMonth === 0) return 0;
  const [row] = await em.execute<{ used: string }[]>(
    `select used from free_token_use
     where tenant_id = ? and model = ? and month = date_trunc('month', ?::timestamptz, 'UTC')::date`,
    [scope.tenantId, model, at],
  );
  return Math.max(0, freeTokensPerMonth - Number(row?.used ?? 0));
}

function sum(lines: readonly PriceLine[]): bigint {
  return lines.reduce((total, { amount }) => total + amount, 0n);
}

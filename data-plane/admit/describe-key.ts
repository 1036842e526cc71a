import type { Limits } from '@pingtoken/shared/limits';
import type { Authenticated } from '../authenticate.js';
import { sendJson } from '../http-error.js';
import type { Catalogue } from '../snapshot.js';
import { boundsOf, type Bound } from '../limits/bounds.js';
import type { CallLimits } from '../limits/call-limits.js';
import { callableModels } from './admit.js';

/**
 * Answers `GET /v1/key`: what the key that asks may do. The members that other gateways have too bear the names that their
 * callers know, `data` around them. https://openrouter.ai/docs/api/api-reference/api-keys/get-current-key
 *
 * A limit that is null does not hold. What was spent is in the ledger, which a data plane does not ask.
 */
export function describeKey(known: Authenticated, callLimits: Pick<CallLimits, 'left'>, nowMs: number): void {
  const { account, catalogue } = known;
  const { apiKey, tenant } = account;
  const models = callableModels(account, catalogue, nowMs);
  const bounds = boundsOf(known);
  const data = {
    id: apiKey.id,
    tenant_id: apiKey.tenantId,
    member_id: apiKey.memberId,
    status: apiKey.status,
    expires_at: apiKey.expiresAt === null ? null : new Date(apiKey.expiresAt).toISOString(),
    operations: [...new Set(models.flatMap(({ operations }) => operations))].sort(),
    models: models.map(({ model, operations }) => ({ id: model.name, operations })),
    // Amounts of money.
    limit: null,
    limit_remaining: null,
    limit_reset: null,
    limits: bounds.flatMap((bound) => listRates(bound, callLimits.left(bound))),
    restrictions: bounds.flatMap((bound) => listRestrictions(bound, catalogue)),
    // Without a key of the tenant's no pseudonym can be made.
    end_users: tenant.pseudonymKey === null ? 'drop' : tenant.endUsers,
    config: catalogue.position,
  };
  sendJson(known, 200, JSON.stringify({ data }), ['cache-control', 'no-store']);
}

const RATES = {
  requestsPerMinute: 'requests_per_minute',
  requestsPerDay: 'requests_per_day',
  tokensPerMinute: 'tokens_per_minute',
  tokensPerDay: 'tokens_per_day',
  concurrentCalls: 'concurrent_calls',
} as const satisfies Partial<Record<keyof Limits, string>>;

function listRates({ scope, limits }: Bound, left: ReturnType<CallLimits['left']>): readonly object[] {
  return (Object.keys(RATES) as (keyof typeof RATES)[]).flatMap((rate) => {
    const limit = limits[rate];
    return limit === null ? [] : [{ scope, name: RATES[rate], limit, remaining: left[rate] ?? null }];
  });
}

function listRestrictions({ scope, limits }: Bound, catalogue: Catalogue): readonly object[] {
  const { modelIds, operations, addressRanges } = limits;
  if (modelIds === null && operations === null && addressRanges === null) return [];
  return [{ scope, models: modelIds && namesOf(modelIds, catalogue), operations, address_ranges: addressRanges }];
}

function namesOf(modelIds: readonly string[], catalogue: Catalogue): readonly string[] {
  const wanted = new Set(modelIds);
  return [...catalogue.models.values()].filter(({ id }) => wanted.has(id)).map(({ name }) => name);
}

import type { Authenticated } from '../authenticate.js';
import { sendJson } from '../http-error.js';
import { callableModels } from './admit.js';

/**
 * Answers `GET /v1/key`: what the key that asks may do. The members that other gateways have too bear the names that their
 * callers know, `data` around them. https://openrouter.ai/docs/api/api-reference/api-keys/get-current-key
 *
 * A limit that is null does not hold: the configuration sets none for keys. What was spent is in the ledger, which a data
 * plane does not ask.
 */
export function describeKey(known: Authenticated, nowMs: number): void {
  const { apiKey, tenant } = known.account;
  const models = callableModels(known.account, known.catalogue, nowMs);
  const data = {
    id: apiKey.id,
    tenant_id: apiKey.tenantId,
    member_id: apiKey.memberId,
    status: apiKey.status,
    expires_at: apiKey.expiresAt === null ? null : new Date(apiKey.expiresAt).toISOString(),
    operations: [...new Set(models.flatMap(({ operations }) => operations))].sort(),
    models: models.map(({ model, operations }) => ({ id: model.name, operations })),
    limit: null,
    limit_remaining: null,
    limit_reset: null,
    limits: [],
    // Without a key of the tenant's no pseudonym can be made.
    end_users: tenant.pseudonymKey === null ? 'drop' : tenant.endUsers,
    config: known.catalogue.position,
  };
  sendJson(known, 200, JSON.stringify({ data }), ['cache-control', 'no-store']);
}

import type { TargetHealth } from '@pingtoken/shared/route-health';
import { asQueryable } from '../database/orm-queryable.js';
import type { Transaction } from '../database/transaction.js';

interface Reported {
  readonly credentialId: string;
  readonly blockedUntil: Date;
}

interface ReportedCredential extends Reported {
  readonly since: Date;
  readonly providerStatus: number | null;
}

interface ReportedCoolDown extends Reported {
  readonly upstreamModel: string;
  readonly isStated: boolean;
}

export interface ReportedTarget extends Reported {
  readonly targetId: string;
  readonly isBreakerOpen: boolean;
  readonly outstanding: number;
  readonly latencyMs: number | null;
  readonly streamLatencyMs: number | null;
  readonly attempts: number;
  readonly failures: number;
  readonly requestsPerMinute: number;
  readonly tokensPerMinute: number;
}

/** What one data plane has reported last, as far as the scope may see it. */
export interface DataPlaneHealth {
  readonly dataPlaneId: string;
  readonly receivedAt: Date;
  /** By the credential. */
  readonly parked: ReadonlyMap<string, ReportedCredential>;
  /** By {@link coolDownKey}. */
  readonly coolDowns: ReadonlyMap<string, ReportedCoolDown>;
  readonly targets: ReadonlyMap<string, ReportedTarget>;
}

const coolDownKey = (credentialId: string, upstreamModel: string): string => `${credentialId} ${upstreamModel}`;

interface Row {
  readonly data_plane_id: string;
  readonly received_at: Date | string;
  /** Null where there is nothing to tell, or nothing that the scope may see. */
  readonly kind: 'credential' | 'model' | 'target' | null;
  readonly credential_id: string;
  readonly target_id: string;
  readonly upstream_model: string;
  readonly since: Date | string;
  readonly blocked_until: Date | string;
  readonly is_stated: boolean;
  readonly is_breaker_open: boolean;
  readonly provider_status: number | null;
  readonly outstanding: number;
  readonly latency_ms: number | null;
  readonly stream_latency_ms: number | null;
  readonly attempts: number;
  readonly failures: number;
  readonly requests_per_minute: string;
  readonly tokens_per_minute: string;
}

/** @param dataPlaneId one only; null for all. The one that was heard of last comes first. */
export async function readReportedHealth(
  transaction: Transaction,
  dataPlaneId: string | null,
): Promise<DataPlaneHealth[]> {
  const { rows } = await asQueryable(transaction).query<Row>({
    text: `
      select report.data_plane_id, report.received_at, kind, credential_id, target_id, upstream_model, since, blocked_until,
        is_stated, is_breaker_open, provider_status, outstanding, latency_ms, stream_latency_ms, attempts, failures,
        requests_per_minute, tokens_per_minute
      from health_report report left join reported_health entry on entry.data_plane_id = report.data_plane_id
      where $1::uuid is null or report.data_plane_id = $1::uuid
      order by report.received_at desc, report.data_plane_id`,
    values: [dataPlaneId],
  });
  return [...Map.groupBy(rows, ({ data_plane_id: id }) => id).values()].map(toDataPlaneHealth);
}

function toDataPlaneHealth(rows: readonly Row[]): DataPlaneHealth {
  const parked = new Map<string, ReportedCredential>();
  const coolDowns = new Map<string, ReportedCoolDown>();
  const targets = new Map<string, ReportedTarget>();
  for (const row of rows) {
    if (row.kind === null) continue;
    const reported = { credentialId: row.credential_id, blockedUntil: new Date(row.blocked_until) };
    if (row.kind === 'credential') {
      const { provider_status: providerStatus } = row;
      parked.set(row.credential_id, { ...reported, since: new Date(row.since), providerStatus });
    } else if (row.kind === 'model') {
      const { upstream_model: upstreamModel, is_stated: isStated } = row;
      coolDowns.set(coolDownKey(row.credential_id, upstreamModel), { ...reported, upstreamModel, isStated });
    } else targets.set(row.target_id, { ...reported, ...toTarget(row) });
  }
  const [first] = rows;
  if (first === undefined) throw new Error('a data plane without a report was read');
  return {
    ...{ dataPlaneId: first.data_plane_id, receivedAt: new Date(first.received_at) },
    ...{ parked, coolDowns, targets },
  };
}

function toTarget(row: Row): Omit<ReportedTarget, keyof Reported> {
  const { outstanding, attempts, failures } = row;
  return {
    ...{ targetId: row.target_id, isBreakerOpen: row.is_breaker_open, outstanding, attempts, failures },
    ...{ latencyMs: row.latency_ms, streamLatencyMs: row.stream_latency_ms },
    requestsPerMinute: Number(row.requests_per_minute),
    tokensPerMinute: Number(row.tokens_per_minute),
  };
}

/** A target as it is called: the same one with another credential is another one to health. */
interface CalledTarget {
  readonly id: string;
  readonly credentialId: string;
  readonly upstreamModel: string;
}

/**
 * What the data plane plans with, by its last report: what was blocked until then may be called again since.
 * @returns undefined for what it has not called lately and knows nothing against
 */
export function targetHealthOf(
  { parked, coolDowns, targets }: DataPlaneHealth,
  { id, credentialId, upstreamModel }: CalledTarget,
  { at, streamed }: { readonly at: number; readonly streamed: boolean },
): TargetHealth | undefined {
  const found = targets.get(id);
  const target = found?.credentialId === credentialId ? found : undefined;
  const parking = parked.get(credentialId);
  const coolDown = coolDowns.get(coolDownKey(credentialId, upstreamModel));
  if (target === undefined && parking === undefined && coolDown === undefined) return undefined;
  const until = (entry: Reported | undefined): number | undefined => {
    const blockedUntil = entry?.blockedUntil.getTime();
    return blockedUntil !== undefined && blockedUntil > at ? blockedUntil : undefined;
  };
  const blocks = [
    { blocked: 'credential-parked', blockedUntil: until(parking), isLastResort: false },
    { blocked: 'cooling-down', blockedUntil: until(coolDown), isLastResort: coolDown?.isStated === false },
    { blocked: 'breaker-open', blockedUntil: until(target), isLastResort: true },
  ] as const;
  const block = blocks.find(({ blockedUntil }) => blockedUntil !== undefined);
  return {
    ...(block ?? { blocked: undefined, blockedUntil: undefined, isLastResort: false }),
    outstanding: target?.outstanding ?? 0,
    latencyMs: (streamed ? target?.streamLatencyMs : target?.latencyMs) ?? undefined,
    attempts: target?.attempts ?? 0,
    failures: target?.failures ?? 0,
    requestsPerMinute: target?.requestsPerMinute ?? 0,
    tokensPerMinute: target?.tokensPerMinute ?? 0,
  };
}

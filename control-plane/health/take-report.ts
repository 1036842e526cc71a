import { v7 as uuidv7 } from 'uuid';
import type { HealthReport } from '@pingtoken/shared/health-report';
import { inTransaction, type Connection, type ConnectionPool } from '../database/sql.js';

/** Parked again within this time, a credential has the fault that it had: who was told of it is not told again. */
const SAME_FAULT_WITHIN = '10 minutes';

/**
 * Puts a data plane's report in the place of its last one, and opens and closes faults by what all data planes report. A fault
 * is opened once, with its notices, by whichever report comes first: in one transaction, so that a report that is sent twice
 * or by many at once tells nobody twice.
 * @returns false for a report that a later one of the same run has overtaken
 */
export async function takeReport(pool: ConnectionPool, dataPlaneId: string, report: HealthReport): Promise<boolean> {
  return inTransaction(pool, async (connection) => {
    const { rows } = await connection.query<{ seq: string }>({
      name: 'note-health-report',
      text: `
        insert into health_report (data_plane_id, run_id, seq, received_at) values ($1, $2, $3, now())
        on conflict (data_plane_id) do update
          set run_id = excluded.run_id, seq = excluded.seq, received_at = excluded.received_at
          where health_report.run_id <> excluded.run_id or health_report.seq < excluded.seq
        returning seq`,
      values: [dataPlaneId, report.runId, report.seq],
    });
    if (rows.length === 0) return false;
    const hadParked = await forget(connection, dataPlaneId);
    await store(connection, dataPlaneId, report);
    if (hadParked || report.parked.length > 0) {
      await settleFaults(connection);
      await openFaults(connection);
    }
    return true;
  });
}

/** @returns whether a credential was parked there */
async function forget(connection: Connection, dataPlaneId: string): Promise<boolean> {
  const { rows } = await connection.query<{ kind: string }>({
    name: 'forget-reported-health',
    text: 'delete from reported_health where data_plane_id = $1 returning kind',
    values: [dataPlaneId],
  });
  return rows.some(({ kind }) => kind === 'credential');
}

/** What names a credential or a target that is no more, or a state of the credential that is not in force, is left out. */
async function store(connection: Connection, dataPlaneId: string, report: HealthReport): Promise<void> {
  const entries = [
    ...report.parked.map((each) => ({ ...each, kind: 'credential' })),
    ...report.coolDowns.map((each) => ({ ...each, kind: 'model' })),
    ...report.targets.map((each) => ({ ...each, kind: 'target' })),
  ];
  if (entries.length === 0) return;
  await connection.query({
    name: 'store-reported-health',
    text: STORE,
    values: [dataPlaneId, JSON.stringify(entries)],
  });
}

const STORE = `
  insert into reported_health (
    data_plane_id, kind, credential_id, tenant_id, credential_seq, target_id, upstream_model, since, blocked_until, is_stated, is_breaker_open,
    provider_status, outstanding, latency_ms, stream_latency_ms, attempts, failures, requests_per_minute, tokens_per_minute
  )
  select $1, entry.kind, credential.id, credential.tenant_id, entry."credentialSeq", target.id, entry."upstreamModel",
    now() - make_interval(secs => entry."parkedForMs" / 1000.0), now() + make_interval(secs => entry."blockedForMs" / 1000.0),
    entry."isStated", entry."isBreakerOpen", entry.status, entry.outstanding, entry."latencyMs", entry."streamLatencyMs",
    entry.attempts, entry.failures, entry."requestsPerMinute", entry."tokensPerMinute"
  from jsonb_to_recordset($2) as entry (
      kind text, "credentialId" uuid, "credentialSeq" bigint, "targetId" uuid, "upstreamModel" text, "parkedForMs" bigint,
      "blockedForMs" bigint, "isStated" boolean, "isBreakerOpen" boolean, status integer, outstanding integer,
      "latencyMs" double precision, "streamLatencyMs" double precision, attempts integer, failures integer,
      "requestsPerMinute" bigint, "tokensPerMinute" bigint
    )
    join credential on credential.id = entry."credentialId"
    left join target on target.id = entry."targetId"
    left join config_object published on published.kind = 'credential' and published.object_id = credential.id
  where case entry.kind when 'target' then target.id is not null else entry."credentialSeq" = published.seq end
  on conflict do nothing`;

/**
 * Closes faults of credentials that were changed since, and of those that no data plane has parked any more. Under one lock with
 * {@link openFaults}: what is parked anywhere is asked for by several reports at once.
 */
export async function settleFaults(connection: Connection): Promise<void> {
  await connection.query({ text: `select pg_advisory_xact_lock(hashtextextended('credential-faults', 0))` });
  await connection.query({
    name: 'settle-credential-faults',
    text: `
      update credential_fault fault set resolved_at = now(),
        resolution = case when fault.credential_seq = published.seq then 'recovered' else 'changed' end
      from config_object published
      where fault.resolved_at is null and published.kind = 'credential' and published.object_id = fault.credential_id
        and (
          fault.credential_seq <> published.seq
          or not exists (
            select 1 from reported_health parked
            where parked.kind = 'credential' and parked.credential_id = fault.credential_id
              and parked.credential_seq = fault.credential_seq
          )
        )`,
  });
}

interface OpenedFault {
  readonly id: string;
  readonly tenant_id: string | null;
}

async function openFaults(connection: Connection): Promise<void> {
  await connection.query({ name: 'reopen-credential-faults', text: REOPEN });
  const { rows: parked } = await connection.query<ParkedRow>({ name: 'parked-without-fault', text: WITHOUT_FAULT });
  for (const each of parked) {
    const { rows } = await connection.query<OpenedFault>({
      name: 'open-credential-fault',
      text: `
        insert into credential_fault (id, credential_id, tenant_id, credential_seq, provider_status, opened_at)
        values ($1, $2, $3, $4, $5, $6) returning id, tenant_id`,
      values: [uuidv7(), each.credential_id, each.tenant_id, each.credential_seq, each.provider_status, each.since],
    });
    for (const fault of rows) await tell(connection, fault);
  }
}

/** What is parked in the state that is in force, by whichever data plane parked it first. */
const PARKED = `
  select distinct on (reported.credential_id)
    reported.credential_id, reported.tenant_id, reported.credential_seq, reported.provider_status, reported.since
  from reported_health reported
    join config_object published on published.kind = 'credential' and published.object_id = reported.credential_id
      and published.seq = reported.credential_seq
  where reported.kind = 'credential'
  order by reported.credential_id, reported.since`;

interface ParkedRow {
  readonly credential_id: string;
  readonly tenant_id: string | null;
  readonly credential_seq: string;
  readonly provider_status: number | null;
  readonly since: Date;
}

const WITHOUT_FAULT = `
  select * from (${PARKED}) parked
  where not exists (
    select 1 from credential_fault fault
    where fault.credential_id = parked.credential_id and fault.resolved_at is null
  )`;

/** The last fault of the same state of a credential, where it was over for a short while or never really was. */
const REOPEN = `
  update credential_fault fault set resolved_at = null, resolution = null
  from (${PARKED}) parked
    cross join lateral (
      select id, resolution, resolved_at, credential_seq from credential_fault other
      where other.credential_id = parked.credential_id order by id desc limit 1
    ) latest
  where fault.id = latest.id and latest.resolution = 'recovered' and latest.credential_seq = parked.credential_seq
    and parked.since < latest.resolved_at + interval '${SAME_FAULT_WITHIN}'`;

/** The operator, and the tenant whose own credential it is. */
async function tell(connection: Connection, { id, tenant_id: tenantId }: OpenedFault): Promise<void> {
  const { rows } = await connection.query<{ id: string }>({
    name: 'who-is-told-of-faults',
    text: `select id from tenant where kind = 'operator' or id = $1::uuid order by id`,
    values: [tenantId],
  });
  for (const told of rows) {
    await connection.query({
      name: 'tell-of-credential-fault',
      text: `insert into outbox (id, tenant_id, topic, payload) values ($1, $2, 'tell-owners', $3)`,
      values: [uuidv7(), told.id, { notice: 'credential-parked', faultId: id }],
    });
  }
}

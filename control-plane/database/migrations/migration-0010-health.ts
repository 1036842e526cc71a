import { Migration } from '@mikro-orm/migrations';

/** What data planes report of the providers' targets, and the faults that somebody has to see to. */
export class Migration0010Health extends Migration {
  override name = 'migration-0010-health';

  override up(): void {
    for (const part of [TABLES, RIGHTS]) this.addSql(part);
  }
}

const TABLES = `
  create table health_report (
    data_plane_id uuid primary key references data_plane,
    run_id uuid not null,
    seq bigint not null,
    received_at timestamptz not null
  );

  -- The last report of each data plane. Of a credential: refused; of a model with it: cools down; of a target: how it does.
  create table reported_health (
    data_plane_id uuid not null references health_report on delete cascade,
    kind text not null check (kind in ('credential', 'model', 'target')),
    credential_id uuid not null references credential,
    tenant_id uuid references tenant,
    credential_seq bigint,
    target_id uuid,
    upstream_model text,
    since timestamptz,
    blocked_until timestamptz not null,
    is_stated boolean,
    is_breaker_open boolean,
    provider_status integer,
    outstanding integer,
    latency_ms double precision,
    stream_latency_ms double precision,
    attempts integer,
    failures integer,
    requests_per_minute bigint,
    tokens_per_minute bigint,
    unique nulls not distinct (data_plane_id, kind, credential_id, target_id, upstream_model)
  );
  create index on reported_health (credential_id) where kind = 'credential';

  -- A credential that its provider refuses, however many data planes have parked it.
  create table credential_fault (
    id uuid primary key,
    credential_id uuid not null references credential,
    tenant_id uuid references tenant,
    credential_seq bigint not null,
    provider_status integer,
    opened_at timestamptz not null,
    resolved_at timestamptz,
    resolution text check (resolution in ('recovered', 'changed', 'resumed')),
    check ((resolved_at is null) = (resolution is null))
  );
  create unique index open_fault_of_credential on credential_fault (credential_id) where resolved_at is null;
  create index on credential_fault (credential_id, id desc);
`;

const RIGHTS = `
  alter table health_report enable row level security;
  alter table reported_health enable row level security;
  alter table credential_fault enable row level security;
  create policy health_report_worker on health_report to pingtoken_group_worker using (true) with check (true);
  create policy reported_health_worker on reported_health to pingtoken_group_worker using (true) with check (true);
  create policy credential_fault_worker on credential_fault to pingtoken_group_worker using (true) with check (true);
  -- When a data plane was heard of last says nothing of anybody.
  create policy health_report_api on health_report to pingtoken_group_api using (true) with check (false);
  create policy reported_health_api on reported_health to pingtoken_group_api
    using (tenant_id = current_tenant() or is_operator());
  create policy credential_fault_api on credential_fault to pingtoken_group_api
    using (tenant_id = current_tenant() or is_operator());

  grant select on health_report, reported_health, credential_fault to pingtoken_group_api;
  grant delete on reported_health to pingtoken_group_api;
  grant update (resolved_at, resolution) on credential_fault to pingtoken_group_api;
  grant select, insert, update, delete on health_report, reported_health to pingtoken_group_worker;
  grant select, insert, update, delete on credential_fault to pingtoken_group_worker;
  grant select (id, tenant_id, provider_id, name) on credential to pingtoken_group_worker;
  grant select (id) on target to pingtoken_group_worker;
`;

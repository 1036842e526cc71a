import { Migration } from '@mikro-orm/migrations';

/**
 * What data planes hold of limits that they keep together, leases that others wait for, and which tenants pay afterwards,
 * which data planes learn with the upgrade.
 */
export class Migration0013RateShares extends Migration {
  override name = 'migration-0013-rate-shares';

  override up(): void {
    this.addSql(`
      create table rate_spool (
        spool_id uuid primary key references lease_spool,
        -- The last request that was answered.
        turn bigint not null check (turn > 0),
        -- It may have been told that no other data plane is enrolled, and take all limits for its own.
        is_sole boolean not null,
        heard_at timestamptz not null default now()
      );
      create index on rate_spool (spool_id) where is_sole;
      create table rate_share (
        tenant_id uuid not null references tenant,
        scope text not null check (scope in ('key', 'member', 'tenant', 'plan')),
        scope_id uuid not null,
        bound text not null check (bound in
          ('requestsPerMinute', 'tokensPerMinute', 'requestsPerDay', 'tokensPerDay', 'concurrentCalls')),
        spool_id uuid not null references lease_spool,
        amount bigint not null check (amount > 0),
        used bigint not null check (used >= 0),
        -- When some of what is used is free again; null where that is not known.
        free_at timestamptz,
        is_recalled boolean not null default false,
        primary key (scope_id, tenant_id, scope, bound, spool_id)
      );
      create index on rate_share (spool_id) where is_recalled;
      create index on rate_share (spool_id);
      alter table lease add is_recalled boolean not null default false;
      create index on lease (spool_id) where is_recalled and closed_at is null;

      alter table rate_spool enable row level security;
      alter table rate_share enable row level security;
      create policy rate_spool_worker on rate_spool to pingtoken_group_worker using (true) with check (true);
      create policy rate_share_worker on rate_share to pingtoken_group_worker using (true) with check (true);
      create policy rate_spool_api on rate_spool to pingtoken_group_api using (is_operator()) with check (is_operator());
      create policy rate_share_api on rate_share to pingtoken_group_api
        using (tenant_id = current_tenant()) with check (tenant_id = current_tenant());
      grant select on rate_spool, rate_share to pingtoken_group_api;
      grant select, insert, update on rate_spool to pingtoken_group_worker;
      grant select, insert, update, delete on rate_share to pingtoken_group_worker;
      grant update (is_recalled) on lease to pingtoken_group_worker;
    `);
    this.addSql(`select set_config('pingtoken.operator', 'on', true);`);
    this.addSql(`
      select publish_config(jsonb_agg(
        (object.line::jsonb - 'seq') || jsonb_build_object('billingMode', tenant.billing_mode) order by object.seq))
      from config_object object join tenant on tenant.id = object.object_id
      where object.kind = 'tenant' and not object.line::jsonb ? 'deleted' and tenant.billing_mode = 'postpaid'
      having count(*) > 0;
    `);
    this.addSql(`select set_config('pingtoken.operator', '', true);`);
  }
}

import { Migration } from '@mikro-orm/migrations';

/**
 * Usage by hour and day, the months that transfers are booked in, and checks of transfers that are made once for a statement
 * instead of five times for a row.
 */
export class Migration0012Rollups extends Migration {
  override name = 'migration-0012-rollups';

  override up(): void {
    for (const part of [EVENTS, ROLLUPS, PERIODS, POSTING, BACKFILL, POLICIES]) this.addSql(part);
  }
}

const EVENTS = `
  alter table usage_event
    -- Of the data plane that carried the call; empty for calls of before this was recorded.
    add column region text not null default '',
    -- The key's when the call was admitted, in order.
    add column tags text[] not null default '{}';
  create index on usage_event (tenant_id, admitted_at);
`;

/** Columns by the dimension that they sum; a dimension that shared/rate-card.ts gets later needs a later migration. */
const COUNTS = {
  input: 'input',
  output: 'output',
  cacheRead: 'cache_read',
  cacheWrite5m: 'cache_write_5m',
  cacheWrite1h: 'cache_write_1h',
  reasoning: 'reasoning',
  audioInput: 'audio_input',
  audioOutput: 'audio_output',
  imageInput: 'image_input',
  imageOutput: 'image_output',
  image: 'image',
  request: 'request',
  webSearch: 'web_search',
  audioSeconds: 'audio_seconds',
  characters: 'characters',
};

const rollup = (table: string): string => `
  create table ${table} (
    tenant_id uuid not null references tenant,
    -- When it begins, in UTC. A call counts where it was admitted.
    bucket timestamptz not null,
    -- Names all that a row is of, see usage_series.
    series uuid not null,
    api_key_id uuid not null,
    member_id uuid not null,
    model text not null,
    provider_id uuid,
    region text not null,
    tags text[] not null,
    -- What is counted stands in the row of the price's currency; what it cost the operator in that of the cost's.
    currency text not null,
    calls bigint not null,
    failures bigint not null,
    amount numeric(40, 0) not null,
    excess numeric(40, 0) not null,
    cost numeric(40, 0) not null,
    free_tokens numeric not null,
    ${Object.values(COUNTS)
      .map((name) => `${name} numeric not null`)
      .join(', ')},
    primary key (tenant_id, bucket, series)
  ) with (fillfactor = 70);
  create index on ${table} (bucket);
`;

const ROLLUPS = `
  -- In the order of what cannot hold a space; a region is as long as it says.
  create function usage_series(api_key_id uuid, provider_id uuid, currency text, tags text[], region text, model text)
    returns uuid language sql stable parallel safe as $$
      select encode(substr(sha256(convert_to(concat_ws(' ', api_key_id, coalesce(provider_id::text, '-'), currency,
        array_to_string(tags, ','), length(region), region, model), 'UTF8')), 1, 16), 'hex')::uuid $$;
  ${rollup('usage_by_hour')}
  ${rollup('usage_by_day')}

  -- What the rows of buckets that begin from "since" on and before "until" must be, worked out from events and transfers.
  create function rollup_usage(unit text, since timestamptz, until timestamptz) returns setof usage_by_day
    language sql stable as $$
      with event as materialized (
        select * from usage_event where admitted_at >= since and admitted_at < until
      ), part as (
        select event.tenant_id, api_key_id, member_id, model, provider_id, region, tags, admitted_at, currency, 1 as calls,
          case when outcome in ('completed', 'caller-left') then 0 else 1 end as failures,
          event.amount, coalesce(excess.amount, 0) as excess, 0 as cost, free_tokens, usage
        from event left join transfer excess on excess.event_id = event.id and excess.kind = 'excess'
        union all
        select event.tenant_id, api_key_id, member_id, model, provider_id, region, tags, admitted_at, account.currency, 0,
          0, 0, 0, bought.amount, 0, '{}'
        from event join transfer bought on bought.event_id = event.id and bought.kind = 'provider_cost'
          join account on account.id = bought.debit_account_id
      )
      select tenant_id, date_trunc(unit, admitted_at, 'UTC'),
        usage_series(api_key_id, provider_id, currency, tags, region, model),
        api_key_id, member_id, model, provider_id, region, tags, currency,
        sum(calls)::bigint, sum(failures)::bigint, sum(amount), sum(excess), sum(cost), sum(free_tokens),
        ${Object.keys(COUNTS)
          .map((dimension) => `coalesce(sum((usage->>'${dimension}')::numeric), 0)`)
          .join(', ')}
      from part
      group by tenant_id, date_trunc(unit, admitted_at, 'UTC'), api_key_id, member_id, model, provider_id, region, tags, currency
    $$;
`;

const PERIODS = `
  -- Months that are closed, as their first days. They close in order: the newest says that all before it are closed too.
  create table ledger_period (
    month date primary key check (extract(day from month) = 1),
    closed_at timestamptz not null default now()
  );
  create function ledger_month(at timestamptz) returns date language sql immutable parallel safe
    as $$ select date_trunc('month', at at time zone 'UTC')::date $$;
  -- The month that a transfer is booked in: that of what it is for, as long as that month is open.
  alter table transfer add column period date check (extract(day from period) = 1);
  alter table transfer disable trigger transfer_append_only;
  update transfer set period = ledger_month(coalesce(
    (select least(event.admitted_at, transfer.created_at) from usage_event event where event.id = transfer.event_id),
    transfer.created_at));
  alter table transfer enable trigger transfer_append_only;
  alter table transfer
    alter column period set not null,
    alter column period set default ledger_month(now());
`;

/**
 * A transfer's accounts are its own tenant's and of one currency, its rate card version exists and its month is open: each is
 * asked once for a whole statement, under the lock on the accounts. Foreign keys would ask row by row, which took more time
 * than all else that is done for a transfer, and say less.
 */
const POSTING = `
  create or replace function post_transfers() returns trigger
    language plpgsql security definer set search_path = public, pg_temp as $$
    begin
      perform 1 from account where id in
        (select debit_account_id from inserted union select credit_account_id from inserted) order by id for no key update;
      if exists (
        select 1 from (select distinct tenant_id, debit_account_id, credit_account_id from inserted) pair
          left join account debit on debit.id = pair.debit_account_id and debit.tenant_id = pair.tenant_id
          left join account credit on credit.id = pair.credit_account_id and credit.tenant_id = pair.tenant_id
        where debit.currency is distinct from credit.currency or debit.currency is null
      ) then
        raise exception 'a transfer is between two accounts of its tenant, in one currency' using errcode = 'foreign_key_violation';
      end if;
      if exists (
        select 1 from (select distinct rate_card_version_id as id from inserted where rate_card_version_id is not null) named
        where not exists (select 1 from rate_card_version version where version.id = named.id)
      ) then
        raise exception 'a transfer names no rate card version' using errcode = 'foreign_key_violation';
      end if;
      if exists (select 1 from inserted where period <= (select max(month) from ledger_period)) then
        raise exception 'the month of a transfer is closed' using errcode = 'restrict_violation';
      end if;
      update account set debits = debits + d.amount, credits = credits + d.credit_amount
        from (
          select account_id, sum(debit) as amount, sum(credit) as credit_amount from (
            select debit_account_id as account_id, amount as debit, 0 as credit from inserted
            union all select credit_account_id, 0, amount from inserted
          ) legs group by account_id
        ) d where account.id = d.account_id;
      return null;
    end $$;
  alter table transfer
    drop constraint transfer_tenant_id_fkey,
    drop constraint transfer_debit_account_id_fkey,
    drop constraint transfer_credit_account_id_fkey,
    drop constraint transfer_rate_card_version_id_fkey;
  -- What the keys forbade.
  create trigger account_stays before delete on account for each row execute function refuse_change();
  create trigger ledger_period_append_only before update or delete on ledger_period
    for each row execute function refuse_change();
`;

const BACKFILL = `
  insert into usage_by_hour select * from rollup_usage('hour', '-infinity', 'infinity');
  insert into usage_by_day select * from rollup_usage('day', '-infinity', 'infinity');
`;

const POLICIES = ['usage_by_hour', 'usage_by_day']
  .map(
    (table) => `
      alter table ${table} enable row level security;
      create policy ${table}_worker on ${table} to pingtoken_group_worker using (true) with check (true);
      create policy ${table}_api on ${table} to pingtoken_group_api using (tenant_id = current_tenant() or is_operator());
      grant select on ${table} to pingtoken_group_api;
      grant select, insert, update, delete on ${table} to pingtoken_group_worker;`,
  )
  .concat(
    `
      alter table ledger_period enable row level security;
      create policy ledger_period_worker on ledger_period to pingtoken_group_worker using (true) with check (true);
      create policy ledger_period_api on ledger_period to pingtoken_group_api using (true) with check (false);
      grant select on ledger_period to pingtoken_group_api;
      grant select, insert on ledger_period to pingtoken_group_worker;`,
  )
  .join('\n');

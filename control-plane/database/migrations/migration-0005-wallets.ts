import { Migration } from '@mikro-orm/migrations';

/**
 * Wallets that are enforced: credits with priority and expiry, redemption codes, credit limits, leases and budgets.
 * Top-ups that are there already become credits that never expire; what was spent of them shows when they are settled next.
 */
export class Migration0005Wallets extends Migration {
  override name = 'migration-0005-wallets';

  override up(): void {
    for (const part of [TERMS, TRANSFERS, CREDITS, CODES, BUDGETS, LEASES, POLICIES, GRANTS]) this.addSql(part);
  }
}

const TERMS = `
  alter table tenant add billing_mode text not null default 'prepaid' check (billing_mode in ('prepaid', 'postpaid'));
  -- What was agreed with a tenant about one currency; a wallet without a row has no credit limit and gives no warning.
  create table wallet_terms (
    tenant_id uuid not null references tenant,
    currency text not null check (length(currency) = 3),
    credit_limit numeric(40, 0) not null default 0 check (credit_limit >= 0),
    low_balance numeric(40, 0) check (low_balance > 0),
    low_balance_told boolean not null default false,
    primary key (tenant_id, currency)
  );
`;

const TRANSFERS = `
  alter table transfer drop constraint transfer_kind_check;
  alter table transfer
    add credit_id uuid,
    add lease_id uuid,
    add corrects_transfer_id uuid references transfer,
    add constraint transfer_kind_check check (kind in (
      'top_up', 'credit_grant', 'redemption', 'refund', 'expiry', 'lease', 'lease_return', 'usage', 'excess',
      'provider_cost', 'correction')),
    add constraint transfer_names_its_cause check (
      (kind in ('refund', 'expiry')) = (credit_id is not null)
      and (lease_id is null or kind in ('lease', 'lease_return', 'usage'))
      and (kind not in ('lease', 'lease_return') or lease_id is not null)
      and (kind = 'correction') = (corrects_transfer_id is not null)
      and (kind <> 'correction' or (reason is not null and idempotency_key is not null)));
  -- What a call costs above what was reserved for it is booked once too, on the operator.
  create unique index transfer_of_excess on transfer (event_id) where kind = 'excess';
  -- What is left of a lease comes back once.
  create unique index transfer_of_lease_return on transfer (lease_id) where kind = 'lease_return';
  create index on transfer (corrects_transfer_id) where corrects_transfer_id is not null;

  -- Locks accounts in the one order that posting locks them in, and tells their totals as they are then.
  create function lock_accounts(wanted uuid[]) returns setof account
    language plpgsql security definer set search_path = public, pg_temp as $$
    begin
      return query select * from account where id = any(wanted) and may_write_for(tenant_id)
        order by id for no key update;
    end $$;
`;

const CREDITS = `
  create table credit (
    id uuid primary key,
    tenant_id uuid not null references tenant,
    currency text not null check (length(currency) = 3),
    -- The transfer that it came with.
    transfer_id uuid not null unique references transfer,
    amount numeric(40, 0) not null check (amount > 0),
    priority integer not null default 100 check (priority between 0 and 1000),
    expires_at timestamptz,
    drawn numeric(40, 0) not null default 0 check (drawn >= 0),
    expired numeric(40, 0) not null default 0 check (expired >= 0),
    refunded numeric(40, 0) not null default 0 check (refunded >= 0),
    created_at timestamptz not null default now(),
    check (drawn + expired + refunded <= amount)
  );
  create index on credit (tenant_id, currency);
  create index on credit (expires_at) where expires_at is not null and drawn + expired + refunded < amount;
  insert into credit (id, tenant_id, currency, transfer_id, amount, created_at)
    select transfer.id, transfer.tenant_id, account.currency, transfer.id, transfer.amount, transfer.created_at
    from transfer join account on account.id = transfer.credit_account_id where transfer.kind = 'top_up';
`;

const CODES = `
  create table redemption_batch (
    id uuid primary key,
    name text not null,
    currency text not null check (length(currency) = 3),
    amount numeric(40, 0) not null check (amount > 0),
    priority integer not null check (priority between 0 and 1000),
    -- Until when a code can be redeemed, and how long what it gave can be spent.
    redeem_until timestamptz,
    credit_days integer check (credit_days > 0),
    count integer not null check (count > 0),
    idempotency_key text not null unique,
    actor_member_id uuid,
    created_at timestamptz not null default now(),
    voided_at timestamptz
  );
  create table redemption_code (
    code_hash text primary key,
    batch_id uuid not null references redemption_batch,
    redeemed_by uuid references tenant,
    redeemed_at timestamptz,
    check ((redeemed_by is null) = (redeemed_at is null))
  );
  create index on redemption_code (batch_id);
`;

const BUDGETS = `
  create table budget (
    id uuid primary key,
    tenant_id uuid not null references tenant,
    name text not null,
    subject text not null check (subject in ('tenant', 'member', 'api-key')),
    subject_id uuid not null,
    period text not null check (period in ('day', 'month', 'total')),
    time_zone text not null,
    currency text not null check (length(currency) = 3),
    amount numeric(40, 0) not null check (amount > 0),
    is_hard boolean not null,
    status text not null default 'active' check (status in ('active', 'removed')),
    -- Calls that were admitted before do not count.
    starts_at timestamptz not null,
    idempotency_key text not null,
    created_at timestamptz not null default now(),
    unique (tenant_id, idempotency_key)
  );
  -- What is spent and leased of a budget in one day or month of its time zone; of one for all time, since 1970.
  create table budget_window (
    budget_id uuid not null references budget,
    tenant_id uuid not null references tenant,
    window_from timestamptz not null,
    window_to timestamptz,
    spent numeric(40, 0) not null default 0 check (spent >= 0),
    leased numeric(40, 0) not null default 0 check (leased >= 0),
    -- The highest percentage that was told of.
    told integer not null default 0,
    primary key (budget_id, window_from)
  );
  create function budget_window_from(period text, time_zone text, at timestamptz) returns timestamptz
    language sql stable as $$
      select case period when 'total' then to_timestamp(0) else date_trunc(period, at, time_zone) end $$;
  -- By the clock on the wall: a day on which clocks change has 23 or 25 hours.
  create function budget_window_to(period text, time_zone text, at timestamptz) returns timestamptz
    language sql stable as $$
      select case period when 'total' then null else
        (date_trunc(period, at at time zone time_zone) + ('1 ' || period)::interval) at time zone time_zone end $$;
`;

const LEASES = `
  -- A spool that leases were given to. The first fence that arrives holds; from then on it is given none.
  create table lease_spool (
    spool_id uuid primary key,
    data_plane_id uuid not null references data_plane,
    fence_seq bigint check (fence_seq >= 0),
    fenced_at timestamptz,
    lost_at timestamptz,
    created_at timestamptz not null default now(),
    check ((fence_seq is null and lost_at is null) = (fenced_at is null))
  );
  create index on lease_spool (data_plane_id);
  create table lease (
    id uuid primary key,
    tenant_id uuid not null references tenant,
    spool_id uuid not null references lease_spool,
    scope text not null check (scope in ('wallet', 'budget')),
    currency text not null check (length(currency) = 3),
    budget_id uuid references budget,
    window_from timestamptz,
    window_to timestamptz,
    granted numeric(40, 0) not null check (granted > 0),
    used numeric(40, 0) not null default 0 check (used >= 0),
    returned numeric(40, 0) not null default 0 check (returned >= 0),
    admit_until timestamptz not null,
    -- Every call that drew on it stands in the spool at or below this.
    fence_seq bigint check (fence_seq >= 0),
    closed_at timestamptz,
    is_lost boolean not null default false,
    created_at timestamptz not null default now(),
    check (used + returned <= granted),
    check (closed_at is null or used + returned = granted),
    check ((scope = 'budget') = (budget_id is not null and window_from is not null))
  );
  create index on lease (spool_id) where closed_at is null;
  create index on lease (budget_id, window_from) where closed_at is null;
  create index on lease (tenant_id, id desc);
  -- What was answered to a request, so that the same request is answered alike.
  create table lease_request (
    id uuid primary key,
    spool_id uuid not null references lease_spool,
    answer jsonb not null,
    created_at timestamptz not null default now()
  );
  create index on lease_request (created_at);
`;

const OF_ONE_TENANT = ['wallet_terms', 'credit', 'budget', 'budget_window', 'lease'];

const policy = (table: string, using: string, check = using): string =>
  `create policy ${table}_api on ${table} to pingtoken_group_api using (${using}) with check (${check});`;

const POLICIES = [
  ...[...OF_ONE_TENANT, 'redemption_batch', 'redemption_code', 'lease_spool', 'lease_request'].flatMap((table) => [
    `alter table ${table} enable row level security;`,
    `create policy ${table}_worker on ${table} to pingtoken_group_worker using (true) with check (true);`,
  ]),
  ...OF_ONE_TENANT.map((table) => policy(table, 'tenant_id = current_tenant()')),
  // Reached by the hash of a secret code, which cannot be listed for anything; only the own tenant can be named.
  policy('redemption_batch', 'true', 'is_operator()'),
  policy('redemption_code', 'true', 'is_operator() or redeemed_by = current_tenant()'),
  policy('lease_spool', 'is_operator()'),
].join('\n');

const GRANTS = `
  grant select, insert on wallet_terms, credit, budget, redemption_batch, redemption_code to pingtoken_group_api;
  grant update (credit_limit, low_balance, low_balance_told) on wallet_terms to pingtoken_group_api;
  grant update (drawn, expired, refunded) on credit to pingtoken_group_api;
  grant update (name, amount, is_hard, status) on budget to pingtoken_group_api;
  grant update (voided_at) on redemption_batch to pingtoken_group_api;
  grant update (redeemed_by, redeemed_at) on redemption_code to pingtoken_group_api;
  grant select on budget_window, lease, lease_spool to pingtoken_group_api;
  grant update (fenced_at, lost_at) on lease_spool to pingtoken_group_api;

  grant select on wallet_terms, credit, budget to pingtoken_group_worker;
  grant update (low_balance_told) on wallet_terms to pingtoken_group_worker;
  grant update (drawn, expired, refunded) on credit to pingtoken_group_worker;
  grant select, insert on lease_spool, lease, lease_request, budget_window to pingtoken_group_worker;
  grant delete on lease_request to pingtoken_group_worker;
  grant update (fence_seq, fenced_at, lost_at) on lease_spool to pingtoken_group_worker;
  grant update (granted, used, returned, admit_until, fence_seq, closed_at, is_lost) on lease to pingtoken_group_worker;
  grant update (spent, leased, told) on budget_window to pingtoken_group_worker;

  revoke execute on function lock_accounts from public;
  grant execute on function lock_accounts to pingtoken_group_api, pingtoken_group_worker;
`;

import { Migration } from '@mikro-orm/migrations';

/** Service tiers, hours, derived cards, exchange rates and free tokens; what is stored already keeps its meaning. */
export class Migration0004Prices extends Migration {
  override name = 'migration-0004-prices';

  override up(): void {
    for (const part of [RATE_CARDS, EXCHANGE_RATES, FREE_TOKENS]) this.addSql(part);
  }
}

const RATE_CARDS = `
  alter table rate_card add base_card_id uuid references rate_card;
  create index on rate_card (base_card_id) where base_card_id is not null;
  alter table rate_card_version
    add service_tiers jsonb not null default '{}',
    add windows jsonb not null default '[]',
    add free_tokens_per_month bigint not null default 0 check (free_tokens_per_month >= 0),
    add derivation jsonb;
`;

const EXCHANGE_RATES = `
  create table exchange_rate (
    id uuid primary key,
    base_currency text not null check (length(base_currency) = 3),
    quote_currency text not null check (length(quote_currency) = 3),
    rate text not null,
    effective_from timestamptz not null,
    source text not null,
    created_at timestamptz not null default now(),
    check (base_currency <> quote_currency),
    unique (base_currency, quote_currency, effective_from)
  );
  create trigger exchange_rate_append_only before update or delete on exchange_rate
    for each row execute function refuse_change();
  alter table exchange_rate enable row level security;
  create policy exchange_rate_worker on exchange_rate to pingtoken_group_worker using (true) with check (true);
  create policy exchange_rate_api on exchange_rate to pingtoken_group_api using (true) with check (is_operator());
  grant select, insert on exchange_rate to pingtoken_group_api;
  grant select on exchange_rate to pingtoken_group_worker;
`;

const FREE_TOKENS = `
  alter table usage_event
    add service_tier text not null default 'standard',
    add free_tokens bigint not null default 0 check (free_tokens >= 0);
  -- What of a month's free tokens is used up. Locked by the worker before it prices, so that none is given twice.
  create table free_token_use (
    tenant_id uuid not null references tenant,
    model text not null,
    month date not null,
    used bigint not null default 0 check (used >= 0),
    primary key (tenant_id, model, month)
  );
  alter table free_token_use enable row level security;
  create policy free_token_use_worker on free_token_use to pingtoken_group_worker using (true) with check (true);
  create policy free_token_use_api on free_token_use to pingtoken_group_api
    using (tenant_id = current_tenant()) with check (tenant_id = current_tenant());
  grant select on free_token_use to pingtoken_group_api;
  grant select, insert, update on free_token_use to pingtoken_group_worker;
`;

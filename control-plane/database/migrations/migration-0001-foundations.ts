import { Migration } from '@mikro-orm/migrations';

/**
 * Tables up to the first billed call. Rules that hold for every later migration too:
 * - a table that belongs to tenants carries `tenant_id`, has row-level security on, and a policy for each login;
 * - `api` sees the tenant that its transaction names and nothing when it names none; `worker` works across tenants;
 * - ledger, audit, rate card versions and usage are never updated or deleted: neither privilege nor trigger allows it.
 */
export class Migration0001Foundations extends Migration {
  override name = 'migration-0001-foundations';

  override up(): void {
    for (const part of [SESSION, IDENTITY, CATALOGUE, BILLING, USAGE, JOURNAL, CONFIG, POLICIES, GRANTS])
      this.addSql(part);
  }
}

const SESSION = `
  create function current_tenant() returns uuid language sql stable
    as $$ select nullif(current_setting('pingtoken.tenant_id', true), '')::uuid $$;
  create function is_operator() returns boolean language sql stable
    as $$ select coalesce(current_setting('pingtoken.operator', true), '') = 'on' $$;
  -- Guards what security-definer functions write on behalf of a login that row-level security would have held back.
  create function may_write_for(tenant uuid) returns boolean language sql stable
    as $$ select tenant = current_tenant() or is_operator() or pg_has_role(session_user, 'pingtoken_group_worker', 'member') $$;
  create function refuse_change() returns trigger language plpgsql
    as $$ begin raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation'; end $$;
`;

const IDENTITY = `
  create table tenant (
    id uuid primary key,
    kind text not null check (kind in ('operator', 'person', 'enterprise')),
    organization_name text,
    status text not null default 'active' check (status in ('active', 'suspended')),
    created_at timestamptz not null default now(),
    check ((kind = 'enterprise') = (organization_name is not null))
  );
  create table person (
    id uuid primary key,
    tenant_id uuid not null references tenant,
    email_index text not null unique,
    email_sealed bytea not null,
    name_sealed bytea not null,
    contact_sealed bytea,
    password_hash text not null,
    sealing_key text not null,
    email_verified_at timestamptz,
    created_at timestamptz not null default now()
  );
  create index on person (tenant_id);
  create table member (
    id uuid primary key,
    tenant_id uuid not null references tenant,
    person_id uuid not null references person,
    role text not null check (role in ('operator', 'owner', 'member')),
    created_at timestamptz not null default now()
  );
  create index on member (tenant_id);
  create index on member (person_id);
  create table session (
    id uuid primary key,
    tenant_id uuid not null references tenant,
    member_id uuid not null references member,
    token_hash text not null unique,
    client_sealed jsonb,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    revoked_at timestamptz
  );
  create index on session (tenant_id);
  create table email_verification (
    id uuid primary key,
    tenant_id uuid not null references tenant,
    person_id uuid not null references person,
    token_hash text not null unique,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz
  );
  create table invitation (
    id uuid primary key,
    code_hash text not null unique,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz
  );
  create table policy_version (
    id uuid primary key,
    version text not null unique,
    title text not null,
    body text not null,
    digest text not null,
    published_at timestamptz not null default now()
  );
  create trigger policy_version_append_only before update or delete on policy_version
    for each row execute function refuse_change();
  create table consent (
    id uuid primary key,
    tenant_id uuid not null references tenant,
    person_id uuid not null references person,
    policy_version_id uuid not null references policy_version,
    client_sealed jsonb,
    granted_at timestamptz not null default now(),
    withdrawn_at timestamptz
  );
  create index on consent (person_id);
  create table api_key (
    id uuid primary key,
    tenant_id uuid not null references tenant,
    member_id uuid not null references member,
    name text not null,
    hash text not null unique,
    hint text not null,
    status text not null default 'active' check (status in ('active', 'revoked')),
    expires_at timestamptz,
    created_at timestamptz not null default now(),
    revoked_at timestamptz
  );
  create index on api_key (tenant_id, id desc);
  create table rate_limit (
    key varchar(255) primary key,
    points integer not null default 0,
    expire bigint
  );
  -- The one question asked before a tenant is known. It answers for one exact address and gives nothing to enumerate.
  create function find_sign_in(wanted_email_index text)
    returns table (tenant_id uuid, member_id uuid, person_id uuid, password_hash text)
    language sql stable security definer set search_path = public, pg_temp
    as $$ select p.tenant_id, m.id, p.id, p.password_hash
          from person p join member m on m.person_id = p.id where p.email_index = wanted_email_index $$;
`;

const CATALOGUE = `
  create table provider (
    id uuid primary key,
    slug text not null unique,
    name text not null,
    base_url text not null,
    dialect text not null check (dialect in ('openai')),
    terms_url text not null,
    privacy_url text not null,
    status text not null default 'active' check (status in ('active', 'disabled')),
    created_at timestamptz not null default now()
  );
  create table content_key (
    id uuid primary key,
    sealed_key bytea not null,
    created_at timestamptz not null default now()
  );
  create table credential (
    id uuid primary key,
    provider_id uuid not null references provider,
    tenant_id uuid references tenant,
    name text not null,
    content_key_id uuid not null references content_key,
    sealed_secret bytea not null,
    created_at timestamptz not null default now()
  );
  create table provider_grant (
    id uuid primary key,
    tenant_id uuid not null references tenant,
    provider_id uuid not null references provider,
    member_id uuid not null references member,
    terms_url text not null,
    privacy_url text not null,
    granted_at timestamptz not null default now(),
    revoked_at timestamptz
  );
  create unique index provider_grant_in_force on provider_grant (tenant_id, provider_id) where revoked_at is null;
  create table rate_card (
    id uuid primary key,
    name text not null unique,
    purpose text not null check (purpose in ('price', 'cost')),
    created_at timestamptz not null default now()
  );
  create table rate_card_version (
    id uuid primary key,
    rate_card_id uuid not null references rate_card,
    effective_from timestamptz not null,
    currency text not null check (length(currency) = 3),
    rates jsonb not null,
    context_tiers jsonb not null default '[]',
    source text not null,
    created_at timestamptz not null default now(),
    unique (rate_card_id, effective_from)
  );
  create trigger rate_card_version_append_only before update or delete on rate_card_version
    for each row execute function refuse_change();
  create table model (
    id uuid primary key,
    name text not null unique,
    operations text[] not null,
    status text not null default 'active' check (status in ('active', 'disabled')),
    price_card_id uuid references rate_card,
    created_at timestamptz not null default now()
  );
  create table route (
    id uuid primary key,
    model_id uuid not null references model,
    tenant_id uuid references tenant,
    created_at timestamptz not null default now()
  );
  create unique index route_of_model on route (model_id, tenant_id) nulls not distinct;
  create table target (
    id uuid primary key,
    route_id uuid not null references route,
    tenant_id uuid references tenant,
    provider_id uuid not null references provider,
    credential_id uuid not null references credential,
    upstream_model text not null,
    priority integer not null check (priority >= 0),
    weight integer not null check (weight > 0),
    cost_card_id uuid references rate_card
  );
  create index on target (route_id);
  create table passthrough_route (
    id uuid primary key,
    provider_id uuid not null references provider,
    credential_id uuid not null references credential,
    method text not null check (method in ('GET', 'POST', 'PUT', 'PATCH', 'DELETE')),
    path text not null check (path like '/%'),
    price_card_id uuid not null references rate_card,
    created_at timestamptz not null default now(),
    unique (provider_id, method, path)
  );
`;

const BILLING = `
  create table account (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null references tenant,
    kind text not null check (kind in
      ('wallet', 'leased', 'funding', 'revenue', 'provider_cost', 'provider_payable', 'operator_loss', 'adjustment')),
    currency text not null check (length(currency) = 3),
    debits numeric(40, 0) not null default 0,
    credits numeric(40, 0) not null default 0,
    unique (tenant_id, kind, currency)
  );
  create table transfer (
    id uuid primary key,
    tenant_id uuid not null references tenant,
    debit_account_id uuid not null references account,
    credit_account_id uuid not null references account,
    amount numeric(40, 0) not null check (amount > 0),
    kind text not null check (kind in ('top_up', 'usage', 'provider_cost')),
    event_id uuid,
    rate_card_version_id uuid references rate_card_version,
    idempotency_key text,
    reason text,
    actor_member_id uuid,
    created_at timestamptz not null default now(),
    check (debit_account_id <> credit_account_id),
    check ((event_id is null) = (rate_card_version_id is null))
  );
  -- Exactly once, for ever: an event is charged once however often it is delivered, a top-up booked once however often retried.
  -- An event costs the operator once for each cost card version that its attempts went by.
  create unique index transfer_of_usage on transfer (event_id) where kind = 'usage';
  create unique index transfer_of_cost on transfer (event_id, rate_card_version_id) where kind = 'provider_cost';
  create unique index transfer_of_idempotency_key on transfer (tenant_id, idempotency_key) where idempotency_key is not null;
  create index on transfer (tenant_id, id desc);
  create trigger transfer_append_only before update or delete on transfer for each row execute function refuse_change();

  create function ledger_account(wanted_tenant uuid, wanted_kind text, wanted_currency text) returns uuid
    language plpgsql security definer set search_path = public, pg_temp as $$
    declare found uuid;
    begin
      if not may_write_for(wanted_tenant) then raise insufficient_privilege; end if;
      select id into found from account where tenant_id = wanted_tenant and kind = wanted_kind and currency = wanted_currency;
      if found is not null then return found; end if;
      insert into account (tenant_id, kind, currency) values (wanted_tenant, wanted_kind, wanted_currency)
        on conflict (tenant_id, kind, currency) do nothing;
      select id into found from account where tenant_id = wanted_tenant and kind = wanted_kind and currency = wanted_currency;
      return found;
    end $$;

  -- Totals are kept by the insert itself, so that no login needs the right to write them. Locked in one order: two
  -- transactions with the same accounts wait for one another instead of deadlocking. No stronger lock than the update takes:
  -- "for update" would wait for the other's foreign key checks on the account, which wait for nothing but its commit.
  create function post_transfers() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
    begin
      perform 1 from account where id in
        (select debit_account_id from inserted union select credit_account_id from inserted) order by id for no key update;
      update account set debits = debits + d.amount, credits = credits + d.credit_amount
        from (
          select account_id, sum(debit) as amount, sum(credit) as credit_amount from (
            select debit_account_id as account_id, amount as debit, 0 as credit from inserted
            union all select credit_account_id, 0, amount from inserted
          ) legs group by account_id
        ) d where account.id = d.account_id;
      return null;
    end $$;
  create trigger transfer_posts after insert on transfer
    referencing new table as inserted for each statement execute function post_transfers();
`;

const USAGE = `
  create table usage_event (
    id uuid primary key,
    tenant_id uuid not null,
    api_key_id uuid not null,
    member_id uuid not null,
    spool_id uuid not null,
    seq bigint not null,
    kind text not null check (kind in ('usage', 'interrupted')),
    operation text not null,
    model text not null,
    streamed boolean not null,
    admitted_at timestamptz not null,
    ended_at timestamptz not null,
    first_byte_ms integer,
    outcome text not null,
    status integer,
    usage jsonb not null,
    counted_by text not null,
    provider_id uuid,
    price_card_version_id uuid not null,
    amount numeric(40, 0) not null,
    currency text not null,
    cost_amount numeric(40, 0),
    cost_currency text,
    attempts jsonb not null,
    config_epoch bigint not null,
    config_seq bigint not null,
    lease_ids uuid[] not null,
    client_sealed jsonb,
    received_at timestamptz not null default now()
  ) partition by range (id);
  create index on usage_event (tenant_id, id desc);
  create table usage_event_rest partition of usage_event default;
  create trigger usage_event_append_only before update or delete on usage_event
    for each row execute function refuse_change();

  -- PostgreSQL allows no unique id on ranges of time; a UUIDv7 begins with its time, so ranges of the id are ranges of time.
  create function usage_partition_bound(at timestamptz) returns uuid language sql immutable as $$
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid $$;
  create function ensure_usage_partition(at timestamptz) returns void
    language plpgsql security definer set search_path = public, pg_temp as $$
    declare
      first_day timestamptz := date_trunc('month', at, 'UTC');
      next_first_day timestamptz := date_trunc('month', at, 'UTC') + interval '1 month';
      partition_name text := 'usage_event_' || to_char(at at time zone 'UTC', 'YYYY_MM');
    begin
      if to_regclass(partition_name) is not null then return; end if;
      perform pg_advisory_xact_lock(hashtext('ensure_usage_partition'));
      -- Asked of the table itself: this session may not have heard yet of one that was made while it waited for the lock.
      execute format('create table if not exists %I partition of usage_event for values from (%L) to (%L)', partition_name,
        usage_partition_bound(first_day), usage_partition_bound(next_first_day));
      execute format('alter table %I enable row level security', partition_name);
    end $$;
  alter table usage_event_rest enable row level security;

  create table usage_spool (
    id uuid primary key,
    data_plane_id uuid not null,
    confirmed bigint not null default 0,
    first_seen_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now()
  );
  create index on usage_spool (data_plane_id, last_seen_at desc);
  create table usage_quarantine (
    spool_id uuid not null,
    seq bigint not null,
    record jsonb not null,
    reason text not null,
    created_at timestamptz not null default now(),
    primary key (spool_id, seq)
  );
`;

const JOURNAL = `
  create table audit_head (
    tenant_id uuid primary key references tenant,
    seq bigint not null,
    hash bytea not null
  );
  create table audit (
    tenant_id uuid not null references tenant,
    seq bigint not null,
    entry jsonb not null,
    hash bytea not null,
    primary key (tenant_id, seq)
  );
  create trigger audit_append_only before update or delete on audit for each row execute function refuse_change();

  create function append_audit(
    for_tenant uuid, actor uuid, action text, subject_kind text, subject_id uuid, details jsonb
  ) returns void language plpgsql security definer set search_path = public, pg_temp as $$
    declare
      head audit_head;
      entry jsonb;
      entry_hash bytea;
    begin
      if not may_write_for(for_tenant) then raise insufficient_privilege; end if;
      insert into audit_head values (for_tenant, 0, '\\x') on conflict do nothing;
      select * into head from audit_head where tenant_id = for_tenant for update;
      entry := jsonb_build_object('seq', head.seq + 1, 'at', to_jsonb(clock_timestamp()), 'actor', actor, 'action', action,
        'subjectKind', subject_kind, 'subjectId', subject_id, 'details', details);
      entry_hash := sha256(head.hash || convert_to(entry::text, 'UTF8'));
      insert into audit values (for_tenant, head.seq + 1, entry, entry_hash);
      update audit_head set seq = head.seq + 1, hash = entry_hash where tenant_id = for_tenant;
    end $$;

  -- The first entry that does not follow from the one before it, or null when the whole chain holds.
  create function audit_fault(of_tenant uuid) returns bigint
    language plpgsql stable security definer set search_path = public, pg_temp as $$
    declare
      row audit;
      previous bytea := '\\x';
      expected bigint := 1;
    begin
      if not may_write_for(of_tenant) then raise insufficient_privilege; end if;
      for row in select * from audit where tenant_id = of_tenant order by seq loop
        if row.seq <> expected or row.hash <> sha256(previous || convert_to(row.entry::text, 'UTF8')) then
          return expected;
        end if;
        previous := row.hash;
        expected := expected + 1;
      end loop;
      if exists (select 1 from audit_head where tenant_id = of_tenant and (seq <> expected - 1 or hash <> previous)) then
        return expected;
      end if;
      return null;
    end $$;

  create table outbox (
    id uuid primary key,
    tenant_id uuid not null references tenant,
    topic text not null,
    payload jsonb not null,
    created_at timestamptz not null default now(),
    available_at timestamptz not null default now(),
    attempts integer not null default 0,
    processed_at timestamptz,
    last_error text
  );
  create index on outbox (available_at) where processed_at is null;
`;

const CONFIG = `
  create table config_head (
    only_row boolean primary key default true check (only_row),
    epoch bigint not null,
    seq bigint not null,
    chain bytea not null
  );
  insert into config_head values (true, 1, 0, decode(repeat('00', 32), 'hex'));
  create table config_change (
    seq bigint primary key,
    line text not null,
    chain bytea not null
  );
  create table config_object (
    kind text not null,
    object_id uuid not null,
    seq bigint not null unique,
    line text not null,
    primary key (kind, object_id)
  );

  -- drafts: an array of {kind, id, …} or {kind, id, deleted: true}. The head row stays locked until commit, so that numbers
  -- become visible in order and a reader that sees the head sees all before it. Chain as in shared/config-snapshot.ts.
  create function publish_config(drafts jsonb) returns bigint
    language plpgsql security definer set search_path = public, pg_temp as $$
    declare
      head config_head;
      draft jsonb;
      object_line text;
    begin
      select * into head from config_head for update;
      for draft in select * from jsonb_array_elements(drafts) loop
        if not may_write_for(coalesce(draft->>'tenantId', case draft->>'kind' when 'tenant' then draft->>'id' end)::uuid) is true then
          raise insufficient_privilege;
        end if;
        head.seq := head.seq + 1;
        object_line := (draft || jsonb_build_object('seq', head.seq))::text;
        head.chain := sha256(head.chain || sha256(convert_to(object_line, 'UTF8')));
        insert into config_change values (head.seq, object_line, head.chain);
        insert into config_object values (draft->>'kind', (draft->>'id')::uuid, head.seq, object_line)
          on conflict (kind, object_id) do update set seq = excluded.seq, line = excluded.line;
      end loop;
      update config_head set seq = head.seq, chain = head.chain;
      perform pg_notify('config', head.seq::text);
      return head.seq;
    end $$;

  create table data_plane (
    id uuid primary key,
    name text not null unique,
    region text not null,
    verify_key text not null,
    sealing_key text not null,
    status text not null default 'enrolled' check (status in ('enrolled', 'revoked')),
    enrolled_at timestamptz not null default now(),
    last_contact_at timestamptz,
    acked_epoch bigint,
    acked_seq bigint,
    last_refusal jsonb
  );
`;

/** Tables of one tenant each: the api login sees the rows of the tenant that its transaction names. */
const OF_ONE_TENANT = [
  'person',
  'member',
  'session',
  'email_verification',
  'consent',
  'api_key',
  'provider_grant',
  'transfer',
  'usage_event',
  'audit',
  'outbox',
];
/** Rows of the operator (no tenant) beside rows of tenants; the operator's own are everyone's to read. */
const SHARED_OR_OF_TENANT = ['route', 'target'];
/** The platform's catalogue: everyone reads, the operator writes. */
const OF_PLATFORM = [
  'policy_version',
  'provider',
  'rate_card',
  'rate_card_version',
  'model',
  'passthrough_route',
  'content_key',
];
/** Nobody's but the operator's. */
const OF_OPERATOR = ['data_plane'];
const OTHERS = ['tenant', 'account', 'credential', 'invitation', 'rate_limit'];
const OF_WORKER = ['usage_spool', 'usage_quarantine', 'config_head', 'config_change', 'config_object', 'audit_head'];

const policy = (table: string, using: string, check = using): string =>
  `create policy ${table}_api on ${table} to pingtoken_group_api using (${using}) with check (${check});`;

const POLICIES = [
  ...[...OF_ONE_TENANT, ...SHARED_OR_OF_TENANT, ...OF_PLATFORM, ...OF_OPERATOR, ...OTHERS, ...OF_WORKER].flatMap(
    (table) => [
      `alter table ${table} enable row level security;`,
      `create policy ${table}_worker on ${table} to pingtoken_group_worker using (true) with check (true);`,
    ],
  ),
  ...OF_ONE_TENANT.map((table) => policy(table, 'tenant_id = current_tenant()')),
  ...SHARED_OR_OF_TENANT.map((table) =>
    policy(table, 'tenant_id is null or tenant_id = current_tenant()', 'is_operator() or tenant_id = current_tenant()'),
  ),
  ...OF_PLATFORM.map((table) => policy(table, 'true', 'is_operator()')),
  ...OF_OPERATOR.map((table) => policy(table, 'is_operator()')),
  policy('tenant', 'id = current_tenant() or is_operator()'),
  // What the operator earns and pays on a tenant is not the tenant's to see.
  policy('account', `tenant_id = current_tenant() and (kind in ('wallet', 'leased', 'adjustment') or is_operator())`),
  policy('credential', 'tenant_id = current_tenant() or is_operator()'),
  // Reached by the hash of a secret code, or by a keyed hash of an address; neither can be listed for anything.
  policy('invitation', 'true'),
  policy('rate_limit', 'true'),
].join('\n');

const GRANTS = `
  grant usage on schema public to pingtoken_group_api, pingtoken_group_worker;
  grant select, insert, update on
    tenant, person, member, session, email_verification, invitation, consent, api_key, provider, content_key, credential,
    provider_grant, model, route, target, data_plane to pingtoken_group_api;
  grant delete on target to pingtoken_group_api;
  grant select, insert on policy_version, rate_card, rate_card_version, passthrough_route, outbox to pingtoken_group_api;
  grant select, insert on transfer to pingtoken_group_api, pingtoken_group_worker;
  grant select on account, usage_event, audit to pingtoken_group_api;
  grant select, insert, update, delete on rate_limit to pingtoken_group_api;

  grant select on
    tenant, person, member, account, rate_card, rate_card_version, model, provider, api_key, content_key, config_head,
    config_change, config_object, audit, audit_head, data_plane to pingtoken_group_worker;
  grant update (last_contact_at, acked_epoch, acked_seq, last_refusal) on data_plane to pingtoken_group_worker;
  grant select, insert on usage_event, usage_quarantine, outbox to pingtoken_group_worker;
  grant select, insert, update on usage_spool to pingtoken_group_worker;
  grant update, delete on outbox to pingtoken_group_worker;

  revoke execute on function
    find_sign_in, publish_config, append_audit, audit_fault, ledger_account, ensure_usage_partition, post_transfers from public;
  grant execute on function find_sign_in, publish_config, append_audit, audit_fault, ledger_account to pingtoken_group_api;
  grant execute on function publish_config, append_audit, audit_fault, ledger_account, ensure_usage_partition to pingtoken_group_worker;
`;

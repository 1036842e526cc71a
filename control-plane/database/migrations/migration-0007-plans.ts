import { Migration } from '@mikro-orm/migrations';

/** Plans, and the limits of plans, tenants, members and keys. */
export class Migration0007Plans extends Migration {
  override name = 'migration-0007-plans';

  override up(): void {
    this.addSql(`
      create table plan (
        id uuid primary key,
        name text not null unique,
        limits jsonb,
        price_cards jsonb not null default '{}',
        created_at timestamptz not null default now()
      );
      alter table plan enable row level security;
      create policy plan_worker on plan to pingtoken_group_worker using (true) with check (true);
      create policy plan_api on plan to pingtoken_group_api using (true) with check (is_operator());
      grant select, insert, update on plan to pingtoken_group_api;
      grant select on plan to pingtoken_group_worker;

      alter table tenant add plan_id uuid references plan, add limits jsonb;
      create index on tenant (plan_id) where plan_id is not null;
      alter table member add limits jsonb;
      alter table api_key add limits jsonb;
    `);
  }
}

import { Migration } from '@mikro-orm/migrations';

/** Which changes of the catalogue an operator has approved. */
export class Migration0011CatalogueImports extends Migration {
  override name = 'migration-0011-catalogue-imports';

  override up(): void {
    this.addSql(`
      create table catalogue_import (
        id uuid primary key,
        idempotency_key text not null unique,
        digest text not null,
        source text not null,
        effective_from timestamptz not null,
        announce_at timestamptz not null,
        entries jsonb not null,
        actor_member_id uuid references member,
        created_at timestamptz not null default now()
      );
      alter table catalogue_import enable row level security;
      create policy catalogue_import_worker on catalogue_import to pingtoken_group_worker using (true) with check (true);
      create policy catalogue_import_api on catalogue_import to pingtoken_group_api using (is_operator());
      create trigger catalogue_import_append_only before update or delete on catalogue_import
        for each row execute function refuse_change();
      grant select, insert on catalogue_import to pingtoken_group_api;
    `);
  }
}

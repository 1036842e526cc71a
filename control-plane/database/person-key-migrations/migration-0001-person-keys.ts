import { Migration } from '@mikro-orm/migrations';

/**
 * The keys of persons, in a database of their own that is never in the same backup as the rows they open: a backup of one
 * without the other reads as noise, and a key destroyed here is destroyed for every copy of the rows.
 */
export class Migration0001PersonKeys extends Migration {
  override name = 'migration-0001-person-keys';

  override up(): void {
    this.addSql(`
      create table person_key (
        person_id uuid primary key,
        sealed_data_key bytea,
        sealing_key text not null,
        sealed_private_key bytea,
        created_at timestamptz not null default now(),
        destroyed_at timestamptz,
        check ((destroyed_at is null) = (sealed_data_key is not null)),
        check ((destroyed_at is null) = (sealed_private_key is not null))
      );
    `);
  }
}

import { Migration } from '@mikro-orm/migrations';

/**
 * What providers are told of a tenant's own end users, and the key that makes their pseudonyms: 32 random bytes, drawn by the
 * database for the tenants that are there already, whose data planes learn them with the upgrade.
 */
export class Migration0003EndUsers extends Migration {
  override name = 'migration-0003-end-users';

  override up(): void {
    this.addSql(`
      alter table tenant
        add column end_users text not null default 'pseudonym' check (end_users in ('pseudonym', 'drop')),
        add column pseudonym_key bytea not null
          default sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
          check (length(pseudonym_key) = 32);
    `);
    this.addSql(`select set_config('pingtoken.operator', 'on', true);`);
    this.addSql(`
      select publish_config(jsonb_agg(
        (object.line::jsonb - 'seq') || jsonb_build_object(
          'endUsers', tenant.end_users,
          'pseudonymKey', translate(rtrim(encode(tenant.pseudonym_key, 'base64'), '='), '+/', '-_'))
        order by object.seq))
      from config_object object join tenant on tenant.id = object.object_id
      where object.kind = 'tenant' and not object.line::jsonb ? 'deleted'
      having count(*) > 0;
    `);
    this.addSql(`select set_config('pingtoken.operator', '', true);`);
  }
}

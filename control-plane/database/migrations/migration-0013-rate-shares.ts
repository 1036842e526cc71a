import { Migration } from '@mikro-orm/migrations';

/** What data planes hold of limits, and which tenants pay afterwards, which data planes learn with the upgrade. */
export class Migration0013RateShares extends Migration {
  override name = 'migration-0013-rate-shares';

  override up(): void {
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

import { Migration } from '@mikro-orm/migrations';

/** Who is asked before a call of a route is made; none for the routes that are there. */
export class Migration0009Guardrails extends Migration {
  override name = 'migration-0009-guardrails';

  override up(): void {
    this.addSql(`alter table route add column guardrail jsonb`);
  }
}

import { Migration } from '@mikro-orm/migrations';

/**
 * Answers that are given again: which API keys have opted in, which routes keep any, and what a call pays that was given one.
 * The defaults are those of the contract, so that nothing need be published again.
 */
export class Migration0008Answers extends Migration {
  override name = 'migration-0008-answers';

  override up(): void {
    this.addSql(`
      alter table api_key
        add idempotency boolean not null default false,
        add cache boolean not null default false;
      alter table route add cache jsonb;
      alter table usage_event add cache_share integer check (cache_share between 0 and 10000);
    `);
  }
}

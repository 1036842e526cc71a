import { Migration } from '@mikro-orm/migrations';

/**
 * How a route uses its targets, and the tags of API keys that routes may go by. The defaults are those of the contract, which
 * data planes also read into what was published before, so that nothing need be published again. A model may have several
 * routes of one owner from now on, each in a position of its own.
 */
export class Migration0006Routes extends Migration {
  override name = 'migration-0006-routes';

  override up(): void {
    this.addSql(`
      alter table route
        add column position integer not null default 0 check (position >= 0),
        add column strategy text not null default 'weighted',
        add column tier_strategies jsonb not null default '[]',
        add column conditions jsonb not null default '{}',
        add column fallback_model_ids uuid[] not null default '{}',
        add column retry jsonb not null default '{}',
        add column hedging text not null default 'off' check (hedging in ('off', 'after-p95'));
      drop index route_of_model;
      create unique index route_of_model on route (model_id, tenant_id, position) nulls not distinct;
      alter table target
        add column region text,
        add column status text not null default 'active' check (status in ('active', 'drained')),
        add column limits jsonb not null default '{}';
      alter table api_key add column tags text[] not null default '{}';
    `);
  }
}

import { Migration } from '@mikro-orm/migrations';

/**
 * Providers of three dialects, and what is known of them and of models. What was published before is published again in the
 * new form: a data plane refuses objects that lack a field.
 */
export class Migration0002Catalogue extends Migration {
  override name = 'migration-0002-catalogue';

  override up(): void {
    for (const part of [COLUMNS, ORIGINS, REPUBLISH]) this.addSql(part);
  }
}

const COLUMNS = `
  alter table provider
    drop constraint provider_dialect_check,
    add constraint provider_dialect_check check (dialect in ('openai', 'anthropic', 'gemini')),
    add column auth text not null default 'bearer'
      check (auth in ('bearer', 'x-api-key', 'x-goog-api-key', 'api-key', 'none')),
    add column region text,
    add column trains_on_data boolean,
    add column retention_days integer check (retention_days >= 0);
  alter table provider alter column auth drop default;
  alter table model
    add column capabilities text[] not null default '{}',
    add column context_window integer check (context_window > 0),
    add column max_output_tokens integer check (max_output_tokens > 0);
  alter table model alter column capabilities drop default;
  alter table route add column drops_unsupported boolean not null default false;
  alter table route alter column drops_unsupported drop default;
`;

/** A base URL's origin as the URL standard writes it: without the port that is its scheme's own. */
const ORIGINS = `
  alter table credential add column origin text;
  update credential set origin = regexp_replace(
    lower(substring(provider.base_url from '^https?://[^/?#]+')), '^(http://.*):80$|^(https://.*):443$', '\\1\\2'
  ) from provider where provider.id = credential.provider_id;
  alter table credential alter column origin set not null;
`;

const REPUBLISH = `
  select set_config('pingtoken.operator', 'on', true);
  select publish_config(coalesce(jsonb_agg(drafts.draft order by drafts.seq), '[]')) from (
    select object.seq, object.line::jsonb - 'seq' || case object.kind
      when 'provider' then (select jsonb_build_object('auth', auth, 'region', region) from provider where id = object.object_id)
      when 'credential' then (select jsonb_build_object('origin', origin) from credential where id = object.object_id)
      when 'model' then jsonb_build_object('capabilities', '[]'::jsonb, 'contextWindow', null, 'maxOutputTokens', null)
      else jsonb_build_object('dropsUnsupported', false)
    end as draft
    from config_object object
    where object.kind in ('provider', 'credential', 'model', 'route') and object.line::jsonb->'deleted' is null
  ) drafts;
  select set_config('pingtoken.operator', 'off', true);
`;

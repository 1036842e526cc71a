import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configObjectSchema } from '@pingtoken/shared/config-snapshot';
import {
  KEPT_ANSWERS,
  PERSON_KEY_TABLES,
  PLATFORM_TABLES,
  WIRE_CONTRACTS,
  type FieldGroup,
} from '@pingtoken/shared/data-inventory';
import { healthReportSchema } from '@pingtoken/shared/health-report';
import { usageEventSchema } from '@pingtoken/shared/usage-event';
import { keptHeadSchema } from '../data-plane/replay/kept-answer.js';
import { createTestDatabase, type TestDatabase } from './kit/platform-database.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

type Fields = Record<string, string[]>;

const listed = (inventory: Readonly<Record<string, readonly FieldGroup[]>>): Fields =>
  Object.fromEntries(
    Object.entries(inventory).map(([store, groups]) => [store, groups.flatMap(({ fields }) => fields).sort()]),
  );

async function liveColumns(url: string): Promise<Fields> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  // A partition stores what its parent stores.
  const { rows } = await client.query<{ table_name: string; columns: string[] }>(`
    select c.relname as table_name, array_agg(a.attname::text) as columns
    from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
      and a.attnum > 0 and not a.attisdropped
    group by c.relname`);
  await client.end();
  return Object.fromEntries(rows.map(({ table_name, columns }) => [table_name, columns.sort()]));
}

describe('the data inventory', () => {
  it('lists every column of the platform database, and no other', async () => {
    expect(listed(PLATFORM_TABLES)).toEqual(await liveColumns(database.urls.owner));
  });

  it("lists every column of the persons' keys database, and no other", async () => {
    expect(listed(PERSON_KEY_TABLES)).toEqual(await liveColumns(database.urls.personKeys));
  });

  it('lists every field that crosses between the planes, and no other', () => {
    const contracts: Fields = {
      'usage-event': Object.keys(usageEventSchema.shape).sort(),
      'health-report': Object.keys(healthReportSchema.shape).sort(),
    };
    for (const option of configObjectSchema.options) {
      contracts[option.shape.kind.value] = Object.keys(option.shape).sort();
    }
    expect(listed(WIRE_CONTRACTS)).toEqual(contracts);
  });

  it('lists everything that gateways keep of an answer, and no other', () => {
    expect(listed(KEPT_ANSWERS)).toEqual({ answer: [...Object.keys(keptHeadSchema.shape), 'body'].sort() });
  });

  it('names a field once only', () => {
    for (const inventory of [PLATFORM_TABLES, PERSON_KEY_TABLES, WIRE_CONTRACTS, KEPT_ANSWERS]) {
      for (const fields of Object.values(listed(inventory))) expect(new Set(fields).size).toBe(fields.length);
    }
  });
});

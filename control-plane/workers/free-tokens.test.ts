import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type pg from 'pg';
import { createBillingFixture, makeAttempt, makeEvent, TestSpool } from '../../test/kit/billing-fixture.js';
import type { BillingFixture, Customer, EventDraft } from '../../test/kit/billing-fixture.js';
import { createTestDatabase, type TestDatabase } from '../../test/kit/platform-database.js';
import type { RateCardVersion } from '@pingtoken/shared/rate-card';
import { verifyLedger } from '../billing/verify-ledger.js';
import { openPool } from '../database/sql.js';
import { createUsageIngest } from './ingest-usage.js';

let database: TestDatabase;
let fixture: BillingFixture;
let pool: pg.Pool;
let dataPlaneId: string;
/** 1000 tokens a month are free; then 3 and 5 units. */
let card: RateCardVersion;

beforeAll(async () => {
  database = await createTestDatabase();
  fixture = createBillingFixture(database.urls.owner);
  pool = openPool({ url: database.urls.worker, size: 6, onError: () => undefined });
  dataPlaneId = await fixture.createDataPlane();
  card = await fixture.createVersion({ input: '3', output: '5' }, { freeTokensPerMonth: 1000 });
});
afterAll(async () => {
  await pool.end();
  await fixture.close();
  await database.drop();
});

const call = (owner: Customer, input: number, overrides: Partial<EventDraft> = {}): EventDraft =>
  makeEvent(owner, card.id, { attempts: [makeAttempt({ usage: { input } })], ...overrides });

interface Books {
  /** What the tenant was charged, units. */
  readonly charged: bigint;
  /** Free tokens used up, by month and model. */
  readonly used: Record<string, number>;
}

async function booksOf({ tenantId }: Customer): Promise<Books> {
  const [account] = await fixture.query<{ debits: string }>(
    `select debits from account where tenant_id = $1 and kind = 'wallet'`,
    [tenantId],
  );
  const rows = await fixture.query<{ key: string; used: string }>(
    `select to_char(month, 'YYYY-MM') || ' ' || model as key, used from free_token_use where tenant_id = $1`,
    [tenantId],
  );
  return {
    charged: BigInt(account?.debits ?? 0),
    used: Object.fromEntries(rows.map(({ key, used }) => [key, Number(used)])),
  };
}

const NOVEMBER = { admittedAt: Date.parse('2026-11-30T23:59:59.999Z') };
const DECEMBER = { admittedAt: Date.parse('2026-12-01T00:00:00Z') };

describe('free tokens', () => {
  test('are used up within a batch and across batches; what goes beyond is charged to the unit', async () => {
    const owner = await fixture.createCustomer();
    const ingest = createUsageIngest({ pool });
    const spool = new TestSpool(dataPlaneId);
    await ingest(spool.append(call(owner, 400, NOVEMBER), call(owner, 500, NOVEMBER), call(owner, 200, NOVEMBER)));
    expect(await booksOf(owner)).toEqual({ charged: 300n, used: { '2026-11 test-model': 1000 } });
    await ingest(spool.append(call(owner, 10, NOVEMBER)));
    expect(await booksOf(owner)).toEqual({ charged: 330n, used: { '2026-11 test-model': 1000 } });
  });

  test('are anew in each month (UTC, of admission) and of each model, and each tenant’s own', async () => {
    const [owner, other] = [await fixture.createCustomer(), await fixture.createCustomer()];
    const calls = [
      call(owner, 1000, NOVEMBER),
      call(owner, 1000, DECEMBER),
      call(owner, 1000, { ...NOVEMBER, model: 'another' }),
      call(other, 1000, NOVEMBER),
      call(owner, 1, NOVEMBER),
    ];
    await createUsageIngest({ pool })(new TestSpool(dataPlaneId).append(...calls));
    expect(await booksOf(owner)).toEqual({
      charged: 3n,
      used: { '2026-11 test-model': 1000, '2026-12 test-model': 1000, '2026-11 another': 1000 },
    });
    expect(await booksOf(other)).toEqual({ charged: 0n, used: { '2026-11 test-model': 1000 } });
  });

  test('are not taken twice by a call that is delivered twice, in one batch or by another spool', async () => {
    const owner = await fixture.createCustomer();
    const ingest = createUsageIngest({ pool });
    const event = call(owner, 600, NOVEMBER);
    const later = call(owner, 600, NOVEMBER);
    await ingest(new TestSpool(dataPlaneId).append(event, event, later));
    // Little is left now: priced anew, the first would come to another price and be set aside as a contradiction.
    const again = await ingest(new TestSpool(dataPlaneId).append(event, later));
    expect(again).toMatchObject({ duplicates: 2, quarantined: [] });
    expect(await booksOf(owner)).toEqual({ charged: 600n, used: { '2026-11 test-model': 1000 } });
  });

  test('are given once by many workers at once, whatever the order of tenants in their batches', async () => {
    const owners = await Promise.all([1, 2, 3].map(() => fixture.createCustomer()));
    const batches = Array.from({ length: 12 }, (_, round) => {
      const calls = owners.map((owner) => call(owner, 100, NOVEMBER));
      return new TestSpool(dataPlaneId).append(...(round % 2 === 0 ? calls : calls.toReversed()));
    });
    await Promise.all(batches.map((batch) => createUsageIngest({ pool })(batch)));
    for (const owner of owners) {
      expect(await booksOf(owner)).toEqual({ charged: 600n, used: { '2026-11 test-model': 1000 } });
    }
  });

  test('are not touched by calls that are billed to nobody, refused, or of a key of somebody else', async () => {
    const [owner, thief] = [await fixture.createCustomer(), await fixture.createCustomer()];
    const calls = [
      call(owner, 500, { ...NOVEMBER, billedAttempt: null, outcome: 'provider-failed' }),
      call(owner, 500, { ...NOVEMBER, apiKeyId: thief.apiKeyId }),
      call(owner, 500, { ...NOVEMBER, attempts: [makeAttempt({ usage: { input: 9, webSearch: 1 } })] }),
    ];
    const result = await createUsageIngest({ pool })(new TestSpool(dataPlaneId).append(...calls));
    expect(result.quarantined).toHaveLength(2);
    expect(await booksOf(owner)).toEqual({ charged: 0n, used: { '2026-11 test-model': 0 } });
  });

  test('leave a ledger that verifies, until somebody changes what was used', async () => {
    expect((await verifyLedger({ pool })).differences).toEqual([]);
    await fixture.query(`update free_token_use set used = used - 1 where used > 0 and model = 'another'`);
    expect((await verifyLedger({ pool })).differences).toMatchObject([
      { about: 'free-tokens', expected: '1000 free tokens', found: '999 free tokens' },
    ]);
    await fixture.query(`update free_token_use set used = used + 1 where used > 0 and model = 'another'`);
  });
});

test('an event is priced by the service tier and the hour that it names, and again so by the verification', async () => {
  const owner = await fixture.createCustomer();
  const special = await fixture.createVersion(
    { input: '100' },
    {
      serviceTiers: { batch: { rates: { input: '50' }, contextTiers: [] } },
      windows: [
        ...[{ timeZone: 'Asia/Shanghai', days: [1, 2, 3, 4, 5, 6, 7], fromMinute: 30, toMinute: 510 }].map((hours) => ({
          ...{ ...hours, serviceTiers: ['standard' as const], rates: { input: '25' }, contextTiers: [] },
        })),
      ],
    },
  );
  const made = (at: string, serviceTier?: 'batch' | 'flex'): EventDraft =>
    makeEvent(owner, special.id, {
      admittedAt: Date.parse(at),
      attempts: [makeAttempt({ usage: { input: 1 }, serviceTier, costCardVersionId: special.id })],
    });
  const calls = [
    made('2026-11-25T12:00:00Z'),
    made('2026-11-25T12:00:00Z', 'batch'),
    made('2026-11-25T12:00:00Z', 'flex'),
    made('2026-11-25T16:30:00Z'),
    made('2026-11-25T16:30:00Z', 'batch'),
  ];
  await createUsageIngest({ pool })(new TestSpool(dataPlaneId).append(...calls));
  expect(await booksOf(owner)).toMatchObject({ charged: 100n + 50n + 100n + 25n + 50n });
  const rows = await fixture.query<{ service_tier: string }>(
    'select service_tier, cost_amount = amount as alike from usage_event where tenant_id = $1 order by seq',
    [owner.tenantId],
  );
  expect(rows).toEqual(
    ['standard', 'batch', 'flex', 'standard', 'batch'].map((tier) => ({ service_tier: tier, alike: true })),
  );
  expect((await verifyLedger({ pool })).differences).toEqual([]);
});

import { v7 as uuidv7 } from 'uuid';
import type { RateCardVersion } from '@pingtoken/shared/rate-card';
import { createBillingFixture, type BillingFixture, type Customer } from '../../kit/billing-fixture.js';

/** A tenant with several keys, and what its calls draw on at each data plane. */
export interface BenchTenant extends Customer {
  readonly apiKeyIds: readonly string[];
  /** A wallet's lease for each spool, by the spool's id. */
  readonly leases: ReadonlyMap<string, string>;
}

export interface BenchModel {
  readonly name: string;
  readonly price: RateCardVersion;
  readonly cost: RateCardVersion;
  readonly providerId: string;
}

export interface BenchSpool {
  readonly dataPlaneId: string;
  readonly spoolId: string;
}

export interface Market {
  readonly tenants: readonly BenchTenant[];
  readonly models: readonly BenchModel[];
  readonly spools: readonly BenchSpool[];
}

export interface MarketSize {
  readonly tenants: number;
  readonly keys: number;
  readonly models: number;
  readonly dataPlanes: number;
}

const PROVIDERS = 5;
/** Units: enough for every call, so that none of them is the operator's loss. */
const LEASED = 10n ** 21n;

/** Tenants, keys, models with prices and costs, data planes with leases on every wallet. */
export async function openMarket(ownerUrl: string, size: MarketSize): Promise<Market> {
  const fixture = createBillingFixture(ownerUrl);
  try {
    const spools = await Promise.all(
      range(size.dataPlanes).map(async () => ({ dataPlaneId: await fixture.createDataPlane(), spoolId: uuidv7() })),
    );
    for (const { spoolId, dataPlaneId } of spools) {
      await fixture.query('insert into lease_spool (spool_id, data_plane_id) values ($1, $2)', [spoolId, dataPlaneId]);
    }
    const providers = range(PROVIDERS).map(() => uuidv7());
    const models: BenchModel[] = [];
    for (const index of range(size.models)) {
      models.push({
        name: `model-${index}`,
        price: await fixture.createVersion({ input: '2500000', output: '10000000', cacheRead: '250000' }),
        cost: await fixture.createVersion({ input: '2000000', output: '8000000', cacheRead: '200000' }),
        providerId: providers[index % PROVIDERS] ?? '',
      });
    }
    const tenants: BenchTenant[] = [];
    for (let index = 0; index < size.tenants; index += 1) tenants.push(await openTenant(fixture, spools, size.keys));
    return { tenants, models, spools };
  } finally {
    await fixture.close();
  }
}

async function openTenant(fixture: BillingFixture, spools: readonly BenchSpool[], keys: number): Promise<BenchTenant> {
  const customer = await fixture.createCustomer();
  const more = range(keys - 1).map(() => uuidv7());
  await fixture.query(
    `insert into api_key (id, tenant_id, member_id, name, hash, hint)
     select id, $2::uuid, $3::uuid, 'k', id::text, 'h' from unnest($1::uuid[]) as id`,
    [more, customer.tenantId, customer.memberId],
  );
  const leases = new Map<string, string>();
  for (const { spoolId } of spools) {
    const leaseId = uuidv7();
    leases.set(spoolId, leaseId);
    await fixture.query(
      `insert into lease (id, tenant_id, spool_id, scope, currency, granted, admit_until)
       values ($1, $2, $3, 'wallet', 'USD', $4, now() + interval '1 day')`,
      [leaseId, customer.tenantId, spoolId, String(LEASED)],
    );
    await fixture.query(
      `insert into transfer (id, tenant_id, debit_account_id, credit_account_id, amount, kind, lease_id)
       values ($1, $2, ledger_account($2, 'wallet', 'USD'), ledger_account($2, 'leased', 'USD'), $4, 'lease', $3)`,
      [uuidv7(), customer.tenantId, leaseId, String(LEASED)],
    );
  }
  return { ...customer, apiKeyIds: [customer.apiKeyId, ...more], leases };
}

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

import type pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import type { LeaseAnswer, LeaseAsk, LeaseGrant, LeaseRequest, LeaseScope } from '@pingtoken/shared/lease';
import { parseAmount } from '@pingtoken/shared/money';
import { createAllocator, type Allocator } from '../../control-plane/allocation/allocate.js';
import { closeSpool } from '../../control-plane/allocation/close-leases.js';
import { fenceLeases } from '../../control-plane/allocation/fence.js';
import { createLeases, type Leases } from '../../control-plane/allocation/leases.js';
import { createLedger, type Ledger } from '../../control-plane/billing/ledger.js';
import { createBudgets, type Budgets } from '../../control-plane/budgets/budgets.js';
import { openPlatformDatabase } from '../../control-plane/database/orm.js';
import { Refusal } from '../../control-plane/database/refusal.js';
import { openPool, sqlState } from '../../control-plane/database/sql.js';
import { createTransactionRunner, platformScope, type Scope } from '../../control-plane/database/transaction.js';
import { createWallets, type Wallets } from '../../control-plane/wallets/wallets.js';
import { createUsageIngest, type IngestUsage } from '../../control-plane/workers/ingest-usage.js';
import { createBillingFixture, makeEvent } from './billing-fixture.js';
import type { BillingFixture, Customer, EventDraft, TestSpool } from './billing-fixture.js';
import { createTestDatabase } from './platform-database.js';

export const DOLLAR = parseAmount('1');
export const WALLET: LeaseScope = { kind: 'wallet' };
export const quiet = { warn: () => undefined };

/** A platform's money in a database of its own, with a data plane and prices of a dollar for a token. All amounts in dollars. */
export interface LeaseFixture {
  readonly billing: BillingFixture;
  readonly pool: pg.Pool;
  readonly ledger: Ledger;
  readonly wallets: Wallets;
  readonly leases: Leases;
  readonly budgets: Budgets;
  readonly ingest: IngestUsage;
  readonly allocator: Allocator;
  readonly dataPlaneId: string;
  createPrepaid(dollars: number, options?: object): Promise<Customer>;
  lease(customer: Customer, spool: TestSpool, ...asks: LeaseAsk[]): Promise<(LeaseGrant | string)[]>;
  leaseOne(customer: Customer, spool: TestSpool, of: LeaseAsk): Promise<LeaseGrant>;
  /** A call that was admitted on leases. */
  call(customer: Customer, dollars: number, leaseIds: string[], overrides?: Partial<EventDraft>): EventDraft;
  fence(spool: TestSpool, lastSeq: number | null, given?: { leaseId: string; seq: number }[]): Promise<void>;
  closeDrained(spool: TestSpool): Promise<void>;
  wallet(customer: Customer): Promise<{ balance: bigint; reserved: bigint; available: bigint }>;
  /** The operator's, on the tenant. */
  loss(customer: Customer): Promise<bigint>;
  close(): Promise<void>;
}

export function done<T>(result: T | Refusal): T {
  if (result instanceof Refusal) throw new Error(JSON.stringify(result.errors));
  return result;
}

export const owner = ({ tenantId, memberId }: Customer): Scope => ({
  ...{ tenantId, actorMemberId: memberId, operator: false },
});

export function ask(
  needed: number,
  options: { scope?: LeaseScope; unit?: number; desired?: number; held?: number } = {},
): LeaseAsk {
  const { scope = WALLET, unit = needed, desired = needed, held = 0 } = options;
  const units = (dollars: number): string => String(BigInt(dollars) * DOLLAR);
  return { scope, held: units(held), unit: units(unit), needed: units(needed), desired: units(desired) };
}

export function request({ tenantId }: Customer, spoolId: string, ...asks: LeaseAsk[]): LeaseRequest {
  return { requestId: uuidv7(), spoolId, tenantId, currency: 'USD', at: Date.now(), asks };
}

export const granted = (result: LeaseGrant | string | undefined): bigint | string | undefined =>
  typeof result === 'object' ? BigInt(result.granted) / DOLLAR : result;

const LOCK_NOT_AVAILABLE = '55P03';

/** As a data plane does: what was too slow is asked for again, by the same request. */
async function allocate(allocator: Allocator, spool: TestSpool, wanted: LeaseRequest): Promise<LeaseAnswer> {
  try {
    return await allocator.allocate(spool.dataPlaneId, wanted);
  } catch (error) {
    if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
    return allocate(allocator, spool, wanted);
  }
}

export async function createLeaseFixture(): Promise<LeaseFixture> {
  const database = await createTestDatabase();
  const billing = createBillingFixture(database.urls.owner);
  const orm = await openPlatformDatabase({ url: database.urls.api });
  const pool = openPool({ url: database.urls.worker, size: 12, onError: () => undefined });
  const run = createTransactionRunner(orm);
  const [ledger, allocator] = [createLedger({ run }), createAllocator({ pool })];
  const dataPlaneId = await billing.createDataPlane();
  const card = await billing.createVersion({ input: String(DOLLAR) });

  const lease: LeaseFixture['lease'] = async (customer, spool, ...asks) => {
    const { results } = await allocate(allocator, spool, request(customer, spool.spoolId, ...asks));
    return results.map((result) => ('refused' in result ? result.refused : result));
  };
  return {
    ...{ billing, pool, ledger, allocator, dataPlaneId, lease },
    wallets: createWallets({ run }),
    leases: createLeases({ run }),
    budgets: createBudgets({ run }),
    ingest: createUsageIngest({ pool }),
    async createPrepaid(dollars, options = {}) {
      const customer = await billing.createCustomer('prepaid');
      const input = {
        amount: String(dollars),
        currency: 'USD',
        idempotencyKey: uuidv7(),
        reason: 'a test',
        ...options,
      };
      done(await ledger.topUp(platformScope(customer.tenantId), input));
      return customer;
    },
    async leaseOne(customer, spool, of) {
      const [grant] = await lease(customer, spool, of);
      if (typeof grant !== 'object') throw new Error(`refused: ${grant ?? ''}`);
      return grant;
    },
    call(customer, dollars, leaseIds, overrides = {}) {
      const event = makeEvent(customer, card.id, { leaseIds, ...overrides });
      return { ...event, attempts: event.attempts.map((attempt) => ({ ...attempt, usage: { input: dollars } })) };
    },
    fence: (spool, lastSeq, given = []) =>
      fenceLeases(pool, spool.dataPlaneId, { spoolId: spool.spoolId, leases: given, lastSeq }),
    closeDrained: (spool) => closeSpool(pool, spool.spoolId, quiet),
    async wallet(customer) {
      const { balance, reserved, available } = done(await ledger.balanceOf(owner(customer), 'USD'));
      return { balance: balance / DOLLAR, reserved: reserved / DOLLAR, available: available / DOLLAR };
    },
    async loss(customer) {
      const [row] = await billing.query<{ debits: string }>(
        `select debits from account where tenant_id = $1 and kind = 'operator_loss'`,
        [customer.tenantId],
      );
      return BigInt(row?.debits ?? 0) / DOLLAR;
    },
    async close() {
      await pool.end();
      await orm.close();
      await billing.close();
      await database.drop();
    },
  };
}

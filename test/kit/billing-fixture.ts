import type pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import type { UsageBatch } from '@pingtoken/shared/usage-batch';
import type { Attempt, UsageEvent } from '@pingtoken/shared/usage-event';
import { rateCardVersionSchema, type RateCardVersion } from '@pingtoken/shared/rate-card';
import { openPool } from '../../control-plane/database/sql.js';

/** A tenant with one member and one API key: what an event must name to be charged. */
export interface Customer {
  readonly tenantId: string;
  readonly personId: string;
  readonly memberId: string;
  readonly apiKeyId: string;
}

/** Rows that usage refers to, written as the tables' owner, past every rule that the control plane would apply. */
export interface BillingFixture {
  /** One that pays afterwards, unless said otherwise: what it calls needs no credit. */
  createCustomer(billingMode?: 'prepaid' | 'postpaid'): Promise<Customer>;
  createDataPlane(status?: 'enrolled' | 'revoked'): Promise<string>;
  createVersion(
    rates: RateCardVersion['rates'],
    options?: Partial<Omit<RateCardVersion, 'id' | 'effectiveFrom' | 'rates'>>,
  ): Promise<RateCardVersion>;
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

export function createBillingFixture(ownerUrl: string): BillingFixture {
  const pool = openPool({ url: ownerUrl, size: 2, onError: () => undefined });
  const query = async <Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> =>
    (await pool.query<Row>(text, values)).rows;
  return {
    async createCustomer(billingMode = 'postpaid') {
      const [tenantId, personId, memberId, apiKeyId] = [uuidv7(), uuidv7(), uuidv7(), uuidv7()];
      await query(`insert into tenant (id, kind, billing_mode) values ($1, 'person', $2)`, [tenantId, billingMode]);
      await query(
        `insert into person (id, tenant_id, email_index, email_sealed, name_sealed, password_hash, sealing_key)
         values ($1::uuid, $2, $1::text, '', '', '', '')`,
        [personId, tenantId],
      );
      await query(`insert into member (id, tenant_id, person_id, role) values ($1, $2, $3, 'owner')`, [
        memberId,
        tenantId,
        personId,
      ]);
      await query(
        `insert into api_key (id, tenant_id, member_id, name, hash, hint) values ($1::uuid, $2, $3, 'k', $1::text, 'h')`,
        [apiKeyId, tenantId, memberId],
      );
      return { tenantId, personId, memberId, apiKeyId };
    },
    async createDataPlane(status = 'enrolled') {
      const id = uuidv7();
      await query(
        `insert into data_plane (id, name, region, verify_key, sealing_key, status)
         values ($1::uuid, $1::text, 'test', '', '', $2)`,
        [id, status],
      );
      return id;
    },
    async createVersion(rates, options = {}) {
      const [cardId, id, effectiveFrom] = [uuidv7(), uuidv7(), 1_700_000_000_000];
      const version = rateCardVersionSchema.parse({ id, effectiveFrom, currency: 'USD', rates, ...options });
      await query(`insert into rate_card (id, name, purpose) values ($1::uuid, $1::text, 'price')`, [cardId]);
      await query(
        `insert into rate_card_version (id, rate_card_id, effective_from, currency, rates, context_tiers, service_tiers,
           windows, free_tokens_per_month, source)
         values ($1, $2, to_timestamp($3 / 1000.0), $4, $5, $6, $7, $8, $9, 'test')`,
        [
          ...[id, cardId, effectiveFrom, version.currency, JSON.stringify(rates), JSON.stringify(version.contextTiers)],
          ...[JSON.stringify(version.serviceTiers), JSON.stringify(version.windows), version.freeTokensPerMonth],
        ],
      );
      return version;
    },
    query,
    close: () => pool.end(),
  };
}

/** An attempt as a provider answered it: 100 tokens in, 50 out. */
export function makeAttempt(overrides: Partial<Attempt> = {}): Attempt {
  return {
    targetId: uuidv7(),
    providerId: uuidv7(),
    credentialId: uuidv7(),
    upstreamModel: 'upstream-model',
    status: 200,
    usage: { input: 100, output: 50 },
    countedBy: 'provider',
    costCardVersionId: null,
    ...overrides,
  };
}

export type EventDraft = Omit<UsageEvent, 'spoolId' | 'seq'>;

/** A completed call of a customer's, one attempt, billed. */
export function makeEvent(
  { tenantId, apiKeyId, memberId }: Pick<Customer, 'tenantId' | 'apiKeyId' | 'memberId'>,
  priceCardVersionId: string,
  overrides: Partial<EventDraft> = {},
): EventDraft {
  const admittedAt = Date.now();
  return {
    version: 1,
    eventId: uuidv7(),
    kind: 'usage',
    tenantId,
    apiKeyId,
    memberId,
    config: { epoch: 1, seq: 1 },
    operation: 'chat-completions',
    model: 'test-model',
    streamed: false,
    admittedAt,
    endedAt: admittedAt + 1200,
    firstByteMs: 300,
    outcome: 'completed',
    status: 200,
    attempts: [makeAttempt()],
    billedAttempt: 0,
    priceCardVersionId,
    leaseIds: [],
    client: { key: 'A'.repeat(108), data: 'B'.repeat(160) },
    ...overrides,
  };
}

/** A spool as a data plane keeps it: hands out batches of contiguous records, any of them any number of times. */
export class TestSpool {
  readonly spoolId = uuidv7();
  readonly records: unknown[] = [];

  constructor(readonly dataPlaneId: string) {}

  /** Appends events; each gets this spool's id and the next sequence number. @returns their batch */
  append(...drafts: EventDraft[]): UsageBatch {
    const firstSeq = this.records.length + 1;
    for (const draft of drafts) {
      this.records.push({ ...draft, spoolId: this.spoolId, seq: this.records.length + 1 });
    }
    return this.batch(firstSeq, drafts.length);
  }

  /** Appends a record as it is. @returns its batch */
  appendRaw(record: unknown): UsageBatch {
    this.records.push(record);
    return this.batch(this.records.length, 1);
  }

  batch(firstSeq: number, count: number): UsageBatch {
    const { dataPlaneId, spoolId } = this;
    return { dataPlaneId, spoolId, firstSeq, events: this.records.slice(firstSeq - 1, firstSeq - 1 + count) };
  }
}

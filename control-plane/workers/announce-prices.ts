import type { Logger } from 'pino';
import { z } from 'zod';
import type { PersonVault } from '../identity/person-vault.js';
import type { Connection, ConnectionPool } from '../database/sql.js';
import { enqueueMail } from './enqueue-mail.js';
import { createOutboxConsumer } from './outbox-consumer.js';

export interface PriceAnnouncerOptions {
  readonly pool: ConnectionPool;
  readonly vault: PersonVault;
  readonly logger: Logger;
  readonly pollIntervalMs?: number;
}

export interface PriceAnnouncer {
  /** Turns what is due into mails. @returns how many announcements were dealt with */
  announceDue(): Promise<number>;
  /** Looks for due announcements from now on. */
  start(): void;
  /** Resolves when the announcement at hand is done. */
  stop(): Promise<void>;
}

/** Whoever called a model of the card within these days uses it. */
const USE_DAYS = 90;

/**
 * Turns announcements of price changes into mails, one for each owner of a tenant that uses a model of the card; all of them or
 * none, and never twice. The mails then wait in the outbox like any other.
 */
export function createPriceAnnouncer({ pool, vault, logger, ...options }: PriceAnnouncerOptions): PriceAnnouncer {
  const consumer = createOutboxConsumer({
    ...{ ...options, pool, logger, topic: 'announce-price-change' },
    handle: async (connection, { payload }) => {
      const mails = await announce(connection, vault, payload);
      logger.info({ mails }, 'a price change was announced');
    },
  });
  return { announceDue: consumer.consumeDue, start: consumer.start, stop: consumer.stop };
}

const payloadSchema = z.object({ rateCardVersionId: z.uuid() });

async function announce(connection: Connection, vault: PersonVault, payload: unknown): Promise<number> {
  const { rateCardVersionId } = payloadSchema.parse(payload);
  const { rows } = await connection.query<Recipient>({
    name: 'users-of-card',
    text: USERS_OF_CARD,
    values: [rateCardVersionId, USE_DAYS],
  });
  let mails = 0;
  for (const { person_id: personId, tenant_id: tenantId, models, effective_from: effectiveFrom } of rows) {
    const variables = { models, effectiveFrom: effectiveFrom.toISOString() };
    if (await enqueueMail(connection, vault, { template: 'price-change', tenantId, personId, variables })) mails += 1;
  }
  return mails;
}

interface Recipient {
  readonly person_id: string;
  readonly tenant_id: string;
  readonly models: readonly string[];
  readonly effective_from: Date;
}

/** Owners of tenants with calls of a model that is sold by the version's card. What is over already is not announced. */
const USERS_OF_CARD = `
  select member.person_id, member.tenant_id, version.effective_from, array_agg(model.name order by model.name) as models
  from rate_card_version version
    join model on model.price_card_id = version.rate_card_id
    cross join member
  where version.id = $1 and version.effective_from > now() and member.role = 'owner'
    and exists (
      select 1 from usage_event event
      where event.tenant_id = member.tenant_id and event.model = model.name
        and event.id >= usage_partition_bound(now() - make_interval(days => $2))
    )
  group by member.person_id, member.tenant_id, version.effective_from
  order by member.tenant_id, member.person_id`;

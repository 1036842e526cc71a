import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import type { PersonVault } from '../identity/person-vault.js';
import { inTransaction, type Connection, type ConnectionPool, type Queryable } from '../database/sql.js';

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
const MAX_ATTEMPTS = 12;

/**
 * Turns announcements of price changes into mails, one for each owner of a tenant that uses a model of the card. Its mails and
 * its own end are one transaction, which holds the announcement's row: killed at any moment it has written all mails or none,
 * and two at once never write them twice. The mails then wait in the outbox like any other.
 */
export function createPriceAnnouncer({
  pool,
  vault,
  logger,
  pollIntervalMs = 5000,
}: PriceAnnouncerOptions): PriceAnnouncer {
  let running: Promise<void> = Promise.resolve();
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  const announceDue = async (): Promise<number> => {
    let count = 0;
    while (!stopped && (await announceNext(pool, vault, logger))) count += 1;
    return count;
  };
  const poll = async (): Promise<void> => {
    try {
      await announceDue();
    } catch (error) {
      logger.warn({ error: error instanceof Error ? error.message : 'unknown' }, 'price changes cannot be announced');
    }
    if (!stopped) timer = setTimeout(wake, pollIntervalMs);
  };
  const wake = (): void => {
    running = poll();
  };

  return {
    announceDue,
    start: wake,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}

interface Announcement {
  readonly id: string;
  readonly payload: unknown;
  readonly attempts: number;
}

async function announceNext(pool: ConnectionPool, vault: PersonVault, logger: Logger): Promise<boolean> {
  return inTransaction(pool, async (connection) => {
    const { rows } = await connection.query<Announcement>({
      name: 'next-announcement',
      text: `
        select id, payload, attempts from outbox
        where topic = 'announce-price-change' and processed_at is null and available_at <= now()
        order by available_at limit 1 for update skip locked`,
    });
    const [announcement] = rows;
    if (announcement === undefined) return false;
    await connection.query({ text: 'savepoint announcement' });
    try {
      const mails = await announce(connection, vault, announcement);
      await finish(connection, announcement.id, null);
      logger.info({ outboxId: announcement.id, mails }, 'a price change was announced');
    } catch (error) {
      await connection.query({ text: 'rollback to savepoint announcement' });
      await postpone(connection, announcement, error instanceof Error ? error.name : 'unknown');
    }
    return true;
  });
}

const payloadSchema = z.object({ rateCardVersionId: z.uuid() });

async function announce(connection: Connection, vault: PersonVault, { payload }: Announcement): Promise<number> {
  const { rateCardVersionId } = payloadSchema.parse(payload);
  const { rows } = await connection.query<Recipient>({
    name: 'users-of-card',
    text: USERS_OF_CARD,
    values: [rateCardVersionId, USE_DAYS],
  });
  let mails = 0;
  for (const { person_id: personId, tenant_id: tenantId, models, effective_from: effectiveFrom } of rows) {
    const cipher = await vault.open(personId);
    if (cipher === null) continue;
    const variables = { models, effectiveFrom: effectiveFrom.toISOString() };
    const sealed = cipher.encrypt('mail', JSON.stringify(variables)).toString('base64url');
    await connection.query({
      name: 'enqueue-price-mail',
      text: `insert into outbox (id, tenant_id, topic, payload) values ($1, $2, 'send-mail', $3)`,
      values: [uuidv7(), tenantId, { template: 'price-change', personId, sealed }],
    });
    mails += 1;
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

async function finish(database: Queryable, id: string, lastError: string | null): Promise<void> {
  await database.query({
    name: 'finish-announcement',
    text: 'update outbox set processed_at = now(), attempts = attempts + 1, last_error = $2 where id = $1',
    values: [id, lastError],
  });
}

async function postpone(database: Queryable, { id, attempts }: Announcement, reason: string): Promise<void> {
  if (attempts + 1 >= MAX_ATTEMPTS) {
    await finish(database, id, `given up: ${reason}`);
    return;
  }
  await database.query({
    name: 'postpone-announcement',
    text: `update outbox set attempts = attempts + 1, last_error = $2,
           available_at = now() + make_interval(secs => 60 * 2 ^ attempts) where id = $1`,
    values: [id, reason],
  });
}

import type { Logger } from 'pino';
import { inTransaction, type Connection, type ConnectionPool, type Queryable } from '../database/sql.js';

export interface OutboxConsumer {
  /** Deals with what is due. @returns how many messages were */
  consumeDue(): Promise<number>;
  /** Looks for due messages from now on. */
  start(): void;
  /** Resolves when the message at hand is done. */
  stop(): Promise<void>;
}

export interface OutboxMessage {
  readonly id: string;
  readonly tenant_id: string;
  readonly payload: unknown;
  readonly attempts: number;
}

export interface OutboxConsumerOptions {
  readonly pool: ConnectionPool;
  readonly topic: string;
  /** Its writes and the message's end are one transaction. What it throws is undone, and tried again later. */
  readonly handle: (connection: Connection, message: OutboxMessage) => Promise<void>;
  readonly logger: Logger;
  readonly pollIntervalMs?: number;
}

const MAX_ATTEMPTS = 12;

/**
 * Does what messages of one topic ask for, exactly once where that is rows of the same database: the message stays locked until
 * its writes and its end commit together, so that a death at any moment leaves all or nothing, and two at once never do it twice.
 */
export function createOutboxConsumer(options: OutboxConsumerOptions): OutboxConsumer {
  const { topic, logger, pollIntervalMs = 5000 } = options;
  let running: Promise<void> = Promise.resolve();
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  const consumeDue = async (): Promise<number> => {
    let count = 0;
    while (!stopped && (await consumeNext(options))) count += 1;
    return count;
  };
  const poll = async (): Promise<void> => {
    try {
      await consumeDue();
    } catch (error) {
      logger.warn({ topic, error: error instanceof Error ? error.message : 'unknown' }, 'the outbox cannot be read');
    }
    if (!stopped) timer = setTimeout(wake, pollIntervalMs);
  };
  const wake = (): void => {
    running = poll();
  };
  return {
    consumeDue,
    start: wake,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}

async function consumeNext({ pool, topic, handle, logger }: OutboxConsumerOptions): Promise<boolean> {
  return inTransaction(pool, async (connection) => {
    const { rows } = await connection.query<OutboxMessage>({
      name: 'next-outbox-message',
      text: `
        select id, tenant_id, payload, attempts from outbox
        where topic = $1 and processed_at is null and available_at <= now()
        order by available_at limit 1 for update skip locked`,
      values: [topic],
    });
    const [message] = rows;
    if (message === undefined) return false;
    await connection.query({ text: 'savepoint message' });
    try {
      await handle(connection, message);
      await finish(connection, message.id, null);
      logger.info({ topic, outboxId: message.id }, 'an outbox message was dealt with');
    } catch (error) {
      await connection.query({ text: 'rollback to savepoint message' });
      await postpone(connection, message, error instanceof Error ? error.name : 'unknown');
    }
    return true;
  });
}

async function finish(database: Queryable, id: string, lastError: string | null): Promise<void> {
  await database.query({
    name: 'finish-outbox-message',
    text: 'update outbox set processed_at = now(), attempts = attempts + 1, last_error = $2 where id = $1',
    values: [id, lastError],
  });
}

async function postpone(database: Queryable, { id, attempts }: OutboxMessage, reason: string): Promise<void> {
  if (attempts + 1 >= MAX_ATTEMPTS) {
    await finish(database, id, `given up: ${reason}`);
    return;
  }
  await database.query({
    name: 'postpone-outbox-message',
    text: `update outbox set attempts = attempts + 1, last_error = $2,
           available_at = now() + make_interval(secs => 60 * 2 ^ attempts) where id = $1`,
    values: [id, reason],
  });
}

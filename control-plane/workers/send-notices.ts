import type { Logger } from 'pino';
import { z } from 'zod';
import { parseJson } from '@pingtoken/shared/wire';
import type { PersonVault } from '../identity/person-vault.js';
import { MAIL_TEMPLATE_NAMES, MAIL_TEMPLATES } from './mail-templates.js';
import type { Mail, MailTransport } from './mail-transport.js';
import type { Queryable } from '../database/sql.js';

export interface NoticeSenderOptions {
  readonly database: Queryable;
  readonly vault: PersonVault;
  readonly transport: MailTransport;
  readonly logger: Logger;
  readonly pollIntervalMs?: number;
}

export interface NoticeSender {
  /** Sends what is due. @returns how many messages were dealt with */
  sendDue(): Promise<number>;
  /** Looks for due messages from now on. */
  start(): void;
  /** Resolves when the mail at hand is done. */
  stop(): Promise<void>;
}

/** Longer than any try takes: a message whose sender was killed is due again after it. */
const CLAIM_SECONDS = 120;
/** Tries, the first at once and the last about a day and a half later; then the message is given up. */
const MAX_ATTEMPTS = 12;
const FIRST_BACKOFF_SECONDS = 60;

/**
 * Sends the mails of the outbox, each at least once: it is marked as sent after it was. Several senders share the work, since
 * each claims a message before it tries. Errors are kept without the server's text, which may quote the address.
 */
export function createNoticeSender(options: NoticeSenderOptions): NoticeSender {
  const { database, logger, pollIntervalMs = 1000 } = options;
  let running: Promise<void> = Promise.resolve();
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  const sendDue = async (): Promise<number> => {
    let count = 0;
    for (let message = await claim(database); message !== undefined; message = await claim(database)) {
      await deal(message, options);
      count += 1;
      if (stopped) break;
    }
    return count;
  };

  const poll = async (): Promise<void> => {
    try {
      await sendDue();
    } catch (error) {
      logger.warn({ error: error instanceof Error ? error.message : 'unknown' }, 'the outbox cannot be read');
    }
    if (!stopped) timer = setTimeout(wake, pollIntervalMs);
  };
  const wake = (): void => {
    running = poll();
  };

  return {
    sendDue,
    start: wake,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}

interface ClaimedMessage {
  readonly id: string;
  readonly payload: unknown;
  readonly attempts: number;
}

/** Takes one due message for the time of a try, in a transaction of its own: no lock is held while a mail server thinks. */
async function claim(database: Queryable): Promise<ClaimedMessage | undefined> {
  const { rows } = await database.query<{ id: string; payload: unknown; attempts: number }>({
    name: 'claim-mail',
    text: `
      update outbox set attempts = attempts + 1, available_at = now() + make_interval(secs => $1)
      where id = (
        select id from outbox where topic = 'send-mail' and processed_at is null and available_at <= now()
        order by available_at limit 1 for update skip locked
      )
      returning id, payload, attempts`,
    values: [CLAIM_SECONDS],
  });
  return rows[0];
}

async function deal(
  message: ClaimedMessage,
  { database, vault, transport, logger }: NoticeSenderOptions,
): Promise<void> {
  const { id, attempts } = message;
  try {
    const mail = await openMail(message, database, vault);
    if (mail === null) logger.info({ outboxId: id }, 'a mail was dropped: its recipient was erased');
    else await transport.send(mail);
    await finish(database, id, mail === null ? 'recipient erased' : null);
  } catch (error) {
    const reason = describeFault(error);
    logger.warn({ outboxId: id, attempts, reason }, 'a mail was not sent');
    if (attempts >= MAX_ATTEMPTS) await finish(database, id, `given up: ${reason}`);
    else await postpone(database, message, reason);
  }
}

const payloadSchema = z.object({ template: z.enum(MAIL_TEMPLATE_NAMES), personId: z.uuid(), sealed: z.string() });

/** @returns null where nobody can open the mail any more: the person is gone, or their key is */
async function openMail(
  { id, payload }: ClaimedMessage,
  database: Queryable,
  vault: PersonVault,
): Promise<Mail | null> {
  const { template, personId, sealed } = payloadSchema.parse(payload);
  const { rows } = await database.query<{ email_sealed: Buffer }>({
    name: 'sealed-address',
    text: 'select email_sealed from person where id = $1',
    values: [personId],
  });
  const cipher = await vault.open(personId);
  const [person] = rows;
  if (person === undefined || cipher === null) return null;
  const variables = parseJson(cipher.decrypt('mail', Buffer.from(sealed, 'base64url')));
  return { id, to: cipher.decrypt('email', person.email_sealed), ...MAIL_TEMPLATES[template](variables) };
}

async function finish(database: Queryable, id: string, lastError: string | null): Promise<void> {
  await database.query({
    name: 'finish-mail',
    text: 'update outbox set processed_at = now(), last_error = $2 where id = $1',
    values: [id, lastError],
  });
}

async function postpone(database: Queryable, { id, attempts }: ClaimedMessage, reason: string): Promise<void> {
  const seconds = FIRST_BACKOFF_SECONDS * 2 ** (attempts - 1);
  await database.query({
    name: 'postpone-mail',
    text: 'update outbox set available_at = now() + make_interval(secs => $2), last_error = $3 where id = $1',
    values: [id, seconds, reason],
  });
}

/** A kind of fault without any text from outside: `EENVELOPE 550`, `ZodError`. */
function describeFault(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  const { code, responseCode } = error as { code?: unknown; responseCode?: unknown };
  const parts = [code, responseCode].filter((part) => typeof part === 'string' || typeof part === 'number');
  return parts.length > 0 ? parts.join(' ') : error.name;
}

import type { Logger } from 'pino';
import { z } from 'zod';
import { formatAmount } from '@pingtoken/shared/money';
import type { Connection, ConnectionPool } from '../database/sql.js';
import type { PersonVault } from '../identity/person-vault.js';
import { enqueueMail, type MailDraft } from './enqueue-mail.js';
import { createOutboxConsumer, type OutboxConsumer } from './outbox-consumer.js';

/** What the ledger has put into the outbox of `tell-owners`: ids and amounts (units) only. */
const noticeSchema = z.discriminatedUnion('notice', [
  z.object({ notice: z.literal('low-balance'), currency: z.string(), balance: z.string().regex(/^-?\d+$/) }),
  z.object({ notice: z.literal('budget-threshold'), budgetId: z.uuid(), windowFrom: z.int(), percent: z.int() }),
]);
type Notice = z.infer<typeof noticeSchema>;
type MailText = Pick<MailDraft, 'template' | 'variables'>;

/** Turns what the owners of a tenant are to know about its money into mails, one for each of them, all or none. */
export function createOwnerNotices(options: {
  readonly pool: ConnectionPool;
  readonly vault: PersonVault;
  readonly logger: Logger;
  readonly pollIntervalMs?: number;
}): OutboxConsumer {
  const { vault } = options;
  return createOutboxConsumer({
    ...options,
    topic: 'tell-owners',
    handle: async (connection, { tenant_id: tenantId, payload }) => {
      const mail = await write(connection, noticeSchema.parse(payload));
      if (mail === null) return;
      const { rows } = await connection.query<{ person_id: string }>({
        name: 'owners-of-tenant',
        text: `select distinct person_id from member where tenant_id = $1 and role = 'owner' order by person_id`,
        values: [tenantId],
      });
      for (const { person_id: personId } of rows) await enqueueMail(connection, vault, { ...mail, tenantId, personId });
    },
  });
}

async function write(connection: Connection, notice: Notice): Promise<MailText | null> {
  if (notice.notice === 'low-balance') {
    const { currency, balance } = notice;
    return { template: 'low-balance', variables: { currency, balance: formatAmount(BigInt(balance)) } };
  }
  const { budgetId, windowFrom, percent } = notice;
  const { rows } = await connection.query<BudgetRow>({
    name: 'budget-to-tell-of',
    text: `
      select name, amount, currency, is_hard, period, time_zone,
        to_char(to_timestamp($2::bigint / 1000.0) at time zone time_zone, 'YYYY-MM-DD') as first_day
      from budget where id = $1 and status = 'active'`,
    values: [budgetId, windowFrom],
  });
  const [budget] = rows;
  // It was removed meanwhile.
  if (budget === undefined) return null;
  const { name, currency, is_hard: isHard } = budget;
  const period =
    budget.period === 'total' ? 'all' : `the ${budget.period} from ${budget.first_day} (${budget.time_zone})`;
  const variables = { name, percent, amount: formatAmount(BigInt(budget.amount)), currency, isHard, period };
  return { template: 'budget-threshold', variables };
}

interface BudgetRow {
  readonly name: string;
  readonly amount: string;
  readonly currency: string;
  readonly is_hard: boolean;
  readonly period: string;
  readonly time_zone: string;
  readonly first_day: string;
}

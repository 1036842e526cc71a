import type { Logger } from 'pino';
import { z } from 'zod';
import { formatAmount } from '@pingtoken/shared/money';
import type { Connection, ConnectionPool } from '../database/sql.js';
import type { PersonVault } from '../identity/person-vault.js';
import { enqueueMail, type MailDraft } from './enqueue-mail.js';
import { createOutboxConsumer, type OutboxConsumer } from './outbox-consumer.js';

/** What was put into the outbox of `tell-owners`: ids and amounts (units) only. */
const noticeSchema = z.discriminatedUnion('notice', [
  z.object({ notice: z.literal('low-balance'), currency: z.string(), balance: z.string().regex(/^-?\d+$/) }),
  z.object({ notice: z.literal('budget-threshold'), budgetId: z.uuid(), windowFrom: z.int(), percent: z.int() }),
  z.object({ notice: z.literal('credential-parked'), faultId: z.uuid() }),
]);
type Notice = z.infer<typeof noticeSchema>;
type MailText = Pick<MailDraft, 'template' | 'variables'>;

/**
 * Turns what the owners of a tenant are to know into mails, one for each of them, all or none. The operator's own are its
 * operators.
 */
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
      const mail = await write(connection, noticeSchema.parse(payload), tenantId);
      if (mail === null) return;
      const { rows } = await connection.query<{ person_id: string }>({
        name: 'owners-of-tenant',
        text: `select distinct person_id from member where tenant_id = $1 and role in ('owner', 'operator') order by person_id`,
        values: [tenantId],
      });
      for (const { person_id: personId } of rows) await enqueueMail(connection, vault, { ...mail, tenantId, personId });
    },
  });
}

async function write(connection: Connection, notice: Notice, tenantId: string): Promise<MailText | null> {
  switch (notice.notice) {
    case 'low-balance': {
      const { currency, balance } = notice;
      return { template: 'low-balance', variables: { currency, balance: formatAmount(BigInt(balance)) } };
    }
    case 'budget-threshold':
      return writeOfBudget(connection, notice);
    case 'credential-parked':
      return writeOfFault(connection, notice.faultId, tenantId);
  }
}

async function writeOfBudget(
  connection: Connection,
  { budgetId, windowFrom, percent }: Extract<Notice, { notice: 'budget-threshold' }>,
): Promise<MailText | null> {
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

/** Of every fault, also of one that is over by now: it happened. */
async function writeOfFault(connection: Connection, faultId: string, tenantId: string): Promise<MailText | null> {
  const { rows } = await connection.query<FaultRow>({
    name: 'fault-to-tell-of',
    text: `
      select fault.credential_id, fault.tenant_id, fault.provider_status, fault.opened_at, credential.name,
        provider.name as provider
      from credential_fault fault
        join credential on credential.id = fault.credential_id
        join provider on provider.id = credential.provider_id
      where fault.id = $1`,
    values: [faultId],
  });
  const [fault] = rows;
  if (fault === undefined) return null;
  return {
    template: 'credential-parked',
    variables: {
      ...{ credentialId: fault.credential_id, credential: fault.name, provider: fault.provider },
      ...{ status: fault.provider_status, since: fault.opened_at.toISOString() },
      whose: fault.tenant_id === null ? 'everyone' : fault.tenant_id === tenantId ? 'own' : 'tenant',
    },
  };
}

interface FaultRow {
  readonly credential_id: string;
  readonly tenant_id: string | null;
  readonly provider_status: number | null;
  readonly opened_at: Date;
  readonly name: string;
  readonly provider: string;
}

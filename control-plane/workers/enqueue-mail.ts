import { v7 as uuidv7 } from 'uuid';
import type { Queryable } from '../database/sql.js';
import type { PersonVault } from '../identity/person-vault.js';
import type { MailTemplate } from './mail-templates.js';

export interface MailDraft {
  readonly template: MailTemplate;
  readonly tenantId: string;
  readonly personId: string;
  /** What the template asks for; sealed to the person. */
  readonly variables: Readonly<Record<string, unknown>>;
}

/** Puts a mail into the outbox, in the caller's transaction. @returns false where the person was erased */
export async function enqueueMail(
  database: Queryable,
  vault: PersonVault,
  { template, tenantId, personId, variables }: MailDraft,
): Promise<boolean> {
  const cipher = await vault.open(personId);
  if (cipher === null) return false;
  const sealed = cipher.encrypt('mail', JSON.stringify(variables)).toString('base64url');
  await database.query({
    name: 'enqueue-mail',
    text: `insert into outbox (id, tenant_id, topic, payload) values ($1, $2, 'send-mail', $3)`,
    values: [uuidv7(), tenantId, { template, personId, sealed }],
  });
  return true;
}

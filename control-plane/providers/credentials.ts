import { z } from 'zod';
import { encrypt } from '@pingtoken/shared/crypto';
import { asQueryable } from '../database/orm-queryable.js';
import { checkInput, Refusal, refuse } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { credentialObject } from '../publishing/config-objects.js';
import { Credential, Provider } from './entities.js';
import { currentContentKey, secretSchema } from './providers.js';

const resumeInput = z.object({ credentialId: z.uuid('is no id') });
const replaceInput = z.object({ ...resumeInput.shape, secret: secretSchema });

/** Ways back for a credential that its provider refused. */
export interface Credentials {
  /**
   * Publishes it anew: no data plane holds what was known of it against it any more, neither a refusal nor a cool-down.
   * @returns `not_found` where the scope may not know of it
   */
  resume(scope: Scope, input: z.input<typeof resumeInput>): Promise<Credential | Refusal>;
  /** Another secret of the same account, bound to where the provider is now; it is put to use at once. */
  replaceSecret(scope: Scope, input: z.input<typeof replaceInput>): Promise<Credential | Refusal>;
}

/** @param contentKeySecret as `createProviders` takes it */
export function createCredentials({
  run,
  contentKeySecret,
}: {
  run: RunTransaction;
  contentKeySecret: string;
}): Credentials {
  return {
    resume: async (scope, input) => {
      const checked = checkInput(resumeInput, input);
      if (checked instanceof Refusal) return checked;
      return run(scope, (transaction) => change(transaction, checked.credentialId, 'resumed'));
    },
    replaceSecret: async (scope, input) => {
      const checked = checkInput(replaceInput, input);
      if (checked instanceof Refusal) return checked;
      const { credentialId, secret } = checked;
      return run(scope, (transaction) =>
        change(transaction, credentialId, 'changed', async (credential) => {
          const contentKey = await currentContentKey(transaction, contentKeySecret);
          const provider = await transaction.em.findOneOrFail(Provider, { id: credential.providerId });
          credential.contentKeyId = contentKey.id;
          credential.sealedSecret = encrypt(contentKey.key, secret, credential.id);
          credential.origin = new URL(provider.baseUrl).origin;
        }),
      );
    },
  };
}

async function change(
  transaction: Transaction,
  id: string,
  how: 'resumed' | 'changed',
  alter?: (credential: Credential) => Promise<void>,
): Promise<Credential | Refusal> {
  const database = asQueryable(transaction);
  // Two at once, one after the other; not "for update", which the reports' foreign keys would wait for.
  await database.query({ text: 'select id from credential where id = $1::uuid for no key update', values: [id] });
  const credential = await transaction.em.findOne(Credential, { id });
  if (credential === null) return refuse('not_found', ['credentialId']);
  await alter?.(credential);
  await transaction.em.flush();
  // Rows of reports before rows of faults, in the order in which a report that is being taken locks them.
  await database.query({
    text: `delete from reported_health where credential_id = $1::uuid and kind in ('credential', 'model')`,
    values: [id],
  });
  await database.query({
    text: `
      update credential_fault set resolved_at = now(), resolution = $2
      where credential_id = $1::uuid and resolved_at is null`,
    values: [id, how],
  });
  const action = how === 'resumed' ? 'credential-resumed' : 'credential-secret-replaced';
  await transaction.audit({ action, subjectKind: 'credential', subjectId: id });
  await transaction.publish([credentialObject(credential)]);
  return credential;
}

import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { sha256 } from '@pingtoken/shared/crypto';
import { checkInput, Refusal, refuseConflict } from '../database/refusal.js';
import type { Orm } from '../database/orm.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { PolicyVersion } from './entities.js';

const publishInput = z.object({
  version: z.string().trim().min(1).max(40),
  title: z.string().trim().min(1).max(200),
  body: z.string().min(1).max(200_000),
});

/** The newest published policy: the one that a registration must consent to. */
export async function findCurrentPolicy(transaction: Transaction): Promise<PolicyVersion | null> {
  const [newest] = await transaction.em.find(
    PolicyVersion,
    {},
    { orderBy: { publishedAt: 'desc', id: 'desc' }, limit: 1 },
  );
  return newest ?? null;
}

export interface Policies {
  /** Readable before there is an account: consent to an unread text is none. */
  current(): Promise<PolicyVersion | null>;
  publish(scope: Scope, input: z.input<typeof publishInput>): Promise<PolicyVersion | Refusal>;
}

export function createPolicies({ orm, run }: { orm: Orm; run: RunTransaction }): Policies {
  return {
    async current() {
      const [newest] = await orm.em
        .fork()
        .find(PolicyVersion, {}, { orderBy: { publishedAt: 'desc', id: 'desc' }, limit: 1 });
      return newest ?? null;
    },

    publish: (scope, input) =>
      run(scope, (transaction) =>
        refuseConflict(['version'], async () => {
          const checked = checkInput(publishInput, input);
          if (checked instanceof Refusal) return checked;
          const policy = transaction.em.create(PolicyVersion, {
            id: uuidv7(),
            ...checked,
            digest: sha256(checked.body),
            publishedAt: new Date(),
          });
          await transaction.em.flush();
          await transaction.audit({ action: 'policy-published', subjectKind: 'policy-version', subjectId: policy.id });
          return policy;
        }),
      ),
  };
}

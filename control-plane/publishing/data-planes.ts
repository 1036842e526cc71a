import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { readVerifyKey } from '@pingtoken/shared/crypto';
import { checkInput, Refusal, refuse, refuseConflict } from '../database/refusal.js';
import type { RunTransaction, Scope } from '../database/transaction.js';
import { DataPlane } from './entities.js';

const enrolInput = z.object({
  /** Chosen by whoever made the identity; a data plane that is enrolled again keeps it. */
  id: z.uuid().optional(),
  name: z.string().trim().min(1).max(100),
  region: z.string().trim().min(1).max(60),
  verifyKey: z.string().refine(isVerifyKey, 'an Ed25519 public key (SPKI DER, base64url)'),
  sealingKey: z
    .string()
    .refine((key) => Buffer.from(key, 'base64url').length === 32, 'an X25519 public key (base64url)'),
});

export interface DataPlanes {
  /** From then on the data plane may dial in and is given config. */
  enrol(scope: Scope, input: z.input<typeof enrolInput>): Promise<DataPlane | Refusal>;
  /** It is refused at its next request, and its standing link is cut. */
  revoke(scope: Scope, dataPlaneId: string): Promise<DataPlane | Refusal>;
  list(scope: Scope): Promise<DataPlane[]>;
}

export function createDataPlanes({ run }: { run: RunTransaction }): DataPlanes {
  return {
    enrol: (scope, input) =>
      run(scope, async (transaction) => {
        const checked = checkInput(enrolInput, input);
        if (checked instanceof Refusal) return checked;
        const { id = uuidv7(), ...rest } = checked;
        return refuseConflict(['name'], async () => {
          const dataPlane = transaction.em.create(DataPlane, {
            id,
            ...rest,
            status: 'enrolled',
            enrolledAt: new Date(),
            lastContactAt: null,
            ackedEpoch: null,
            ackedSeq: null,
            lastRefusal: null,
          });
          await transaction.em.flush();
          await transaction.audit({ action: 'data-plane-enrolled', subjectKind: 'data-plane', subjectId: id });
          return dataPlane;
        });
      }),

    revoke: (scope, dataPlaneId) =>
      run(scope, async (transaction) => {
        const { em } = transaction;
        const dataPlane = z.uuid().safeParse(dataPlaneId).success
          ? await em.findOne(DataPlane, { id: dataPlaneId })
          : null;
        if (dataPlane === null) return refuse('not_found', ['id']);
        dataPlane.status = 'revoked';
        await em.flush();
        await transaction.audit({ action: 'data-plane-revoked', subjectKind: 'data-plane', subjectId: dataPlaneId });
        return dataPlane;
      }),

    list: (scope) => run(scope, ({ em }) => em.find(DataPlane, {}, { orderBy: { name: 'asc' } })),
  };
}

function isVerifyKey(text: string): boolean {
  try {
    return readVerifyKey(text).asymmetricKeyType === 'ed25519';
  } catch {
    return false;
  }
}

import type { RunTransaction } from '../database/transaction.js';
import { Tenant } from '../tenants/entities.js';
import { Person } from './entities.js';
import type { Viewer } from './permissions.js';
import type { PersonVault } from './person-vault.js';
import { viewerScope } from './scope.js';

/** What a person may read of themselves, in clear. */
export interface Profile {
  readonly memberId: string;
  readonly role: Viewer['role'];
  readonly name: string;
  readonly email: string;
  readonly contact: string | null;
  readonly emailVerified: boolean;
  readonly tenant: Tenant;
}

export interface Profiles {
  read(viewer: Viewer): Promise<Profile>;
}

export function createProfiles({ run, vault }: { run: RunTransaction; vault: PersonVault }): Profiles {
  return {
    async read(viewer) {
      const { person, tenant } = await run(viewerScope(viewer), async ({ em }) => ({
        person: await em.findOneOrFail(Person, { id: viewer.personId }),
        tenant: await em.findOneOrFail(Tenant, { id: viewer.tenantId }),
      }));
      const cipher = await vault.open(viewer.personId);
      if (cipher === null) throw new Error('the person was erased');
      return {
        memberId: viewer.memberId,
        role: viewer.role,
        name: cipher.decrypt('name', person.nameSealed),
        email: cipher.decrypt('email', person.emailSealed),
        contact: person.contactSealed === null ? null : cipher.decrypt('contact', person.contactSealed),
        emailVerified: person.emailVerifiedAt !== null,
        tenant,
      };
    },
  };
}

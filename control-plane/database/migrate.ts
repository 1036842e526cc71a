import { openPersonKeyDatabase, openPlatformDatabase } from './orm.js';

export interface MigrateOptions {
  readonly ownerUrl: string;
  readonly personKeysUrl: string;
}

/** Brings both databases to the newest schema. Safe to run at every start; two at once wait for one another. */
export async function migrate({ ownerUrl, personKeysUrl }: MigrateOptions): Promise<void> {
  for (const orm of [
    await openPlatformDatabase({ url: ownerUrl, poolSize: 2 }),
    await openPersonKeyDatabase({ url: personKeysUrl, poolSize: 2 }),
  ]) {
    try {
      await orm.migrator.up();
    } finally {
      await orm.close();
    }
  }
}

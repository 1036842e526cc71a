import { defineEntity, p, type InferEntity } from '@mikro-orm/core';
import { instant } from '../database/columns.js';

/** What opens one person's columns. Destroyed, the row stays to say when, and the columns are noise for ever. */
export const PersonKey = defineEntity({
  name: 'PersonKey',
  properties: {
    personId: p.uuid().primary(),
    sealedDataKey: p.blob().nullable(),
    sealingKey: p.text(),
    sealedPrivateKey: p.blob().nullable(),
    createdAt: instant(),
    destroyedAt: instant().nullable(),
  },
});
export type PersonKey = InferEntity<typeof PersonKey>;

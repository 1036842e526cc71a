import { defineEntity, p, type InferEntity } from '@mikro-orm/core';
import { instant } from '../database/columns.js';

/** What opens one person's columns. Destroyed, the row stays to say when, and the columns are noise for ever. */
export const PersonKey = defineEntity({
  name: 'PersonKey',
  properties: {
    personId: p.uuid().primary(),
    sealedDataKey: p.blob().strictNullable(),
    sealingKey: p.text(),
    sealedPrivateKey: p.blob().strictNullable(),
    createdAt: instant(),
    destroyedAt: instant().strictNullable(),
  },
});
export type PersonKey = InferEntity<typeof PersonKey>;

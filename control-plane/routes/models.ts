import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { CAPABILITIES } from '@pingtoken/shared/config-snapshot';
import { OPERATIONS } from '@pingtoken/shared/usage-event';
import { checkInput, Refusal, refuse, refuseConflict } from '../database/refusal.js';
import type { Transaction } from '../database/transaction.js';
import { modelObject } from '../publishing/config-objects.js';
import { Model } from './entities.js';
import { findMissingCard } from './references.js';

const tokens = z.int().positive().max(1_000_000_000).nullable();

const modelFields = {
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/, 'letters, digits and . _ : / -'),
  operations: z
    .array(z.enum(OPERATIONS))
    .min(1)
    .transform((operations) => [...new Set(operations)]),
  capabilities: z.array(z.enum(CAPABILITIES)).transform((capabilities) => [...new Set(capabilities)]),
  contextWindow: tokens,
  maxOutputTokens: tokens,
};

const modelInput = z.object({
  ...modelFields,
  capabilities: modelFields.capabilities.default([]),
  contextWindow: tokens.default(null),
  maxOutputTokens: tokens.default(null),
  /** Without one the model is listed and refused: nothing is free by accident. */
  priceCardId: z
    .uuid()
    .nullish()
    .transform((id) => id ?? null),
});

const updateModelInput = z.object({
  id: z.uuid(),
  ...z.object(modelFields).partial().shape,
  status: z.enum(['active', 'disabled']).optional(),
});

export type CreateModelInput = z.input<typeof modelInput>;
export type UpdateModelInput = z.input<typeof updateModelInput>;

/** For other modules' transactions. */
export async function createModel(transaction: Transaction, input: CreateModelInput): Promise<Model | Refusal> {
  const checked = checkInput(modelInput, input);
  if (checked instanceof Refusal) return checked;
  const missing = await findMissingCard(transaction, checked.priceCardId, 'price', ['priceCardId']);
  if (missing !== undefined) return missing;
  return refuseConflict(['name'], async () => {
    const model = transaction.em.create(Model, {
      id: uuidv7(),
      ...checked,
      status: 'active',
      createdAt: new Date(),
    });
    await transaction.em.flush();
    await transaction.audit({ action: 'model-created', subjectKind: 'model', subjectId: model.id });
    await transaction.publish([modelObject(model)]);
    return model;
  });
}

/** Changes what is given and leaves the rest. */
export async function updateModel(transaction: Transaction, input: UpdateModelInput): Promise<Model | Refusal> {
  const checked = checkInput(updateModelInput, input);
  if (checked instanceof Refusal) return checked;
  const { id, ...given } = checked;
  const changes = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const model = await transaction.em.findOne(Model, { id });
  if (model === null) return refuse('not_found', ['id']);
  return refuseConflict(['name'], async () => {
    transaction.em.assign(model, changes);
    await transaction.em.flush();
    await transaction.audit({ action: 'model-updated', subjectKind: 'model', subjectId: id, details: changes });
    await transaction.publish([modelObject(model)]);
    return model;
  });
}

export async function setPriceCard(
  transaction: Transaction,
  modelId: string,
  priceCardId: string,
): Promise<Model | Refusal> {
  const model = z.uuid().safeParse(modelId).success ? await transaction.em.findOne(Model, { id: modelId }) : null;
  if (model === null) return refuse('not_found', ['modelId']);
  if (!z.uuid().safeParse(priceCardId).success) return refuse('not_found', ['priceCardId']);
  const missing = await findMissingCard(transaction, priceCardId, 'price', ['priceCardId']);
  if (missing !== undefined) return missing;
  model.priceCardId = priceCardId;
  await transaction.audit({
    action: 'model-price-set',
    subjectKind: 'model',
    subjectId: modelId,
    details: { priceCardId },
  });
  await transaction.publish([modelObject(model)]);
  return model;
}

import { LockMode } from '@mikro-orm/core';
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { boundsAnything, limitsSchema, type Limits } from '@pingtoken/shared/limits';
import { checkInput, Refusal, refuse, refuseConflict } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { printable } from '../pricing/inputs.js';
import { RateCard } from '../pricing/entities.js';
import { planObject } from '../publishing/config-objects.js';
import { Plan } from './entities.js';

/** Limits as they are stored: null where they bound nothing. */
export const limitsInput = limitsSchema
  .nullish()
  .transform((limits): Limits | null => (limits != null && boundsAnything(limits) ? limits : null));

const terms = {
  limits: limitsInput,
  priceCards: z
    .array(z.object({ modelPriceCardId: z.uuid(), planPriceCardId: z.uuid() }))
    .max(1000)
    .refine(
      (cards) => new Set(cards.map(({ modelPriceCardId }) => modelPriceCardId)).size === cards.length,
      'a card is replaced twice',
    )
    .default([]),
};
const createInput = z.object({ name: printable(100), ...terms });
const changeInput = z.object({ planId: z.uuid(), ...terms });

export interface Plans {
  create(scope: Scope, input: z.input<typeof createInput>): Promise<Plan | Refusal>;
  /** In force for the calls that its tenants begin a second later; calls before keep their prices. */
  change(scope: Scope, input: z.input<typeof changeInput>): Promise<Plan | Refusal>;
  /** By name. */
  list(scope: Scope): Promise<Plan[]>;
}

export function createPlans({ run }: { run: RunTransaction }): Plans {
  return {
    async create(scope, input) {
      const checked = checkInput(createInput, input);
      if (checked instanceof Refusal) return checked;
      return run(scope, (transaction) => refuseConflict(['name'], () => create(transaction, checked)));
    },

    async change(scope, input) {
      const checked = checkInput(changeInput, input);
      if (checked instanceof Refusal) return checked;
      return run(scope, (transaction) => change(transaction, checked));
    },

    list: (scope) => run(scope, ({ em }) => em.find(Plan, {}, { orderBy: { name: 'asc' } })),
  };
}

async function create(transaction: Transaction, input: z.output<typeof createInput>): Promise<Plan | Refusal> {
  const priceCards = await checkCards(transaction, input.priceCards);
  if (priceCards instanceof Refusal) return priceCards;
  const { name, limits } = input;
  const plan = transaction.em.create(Plan, { id: uuidv7(), name, limits, priceCards, createdAt: new Date() });
  await transaction.em.flush();
  await transaction.audit({ action: 'plan-created', subjectKind: 'plan', subjectId: plan.id });
  await transaction.publish([planObject(plan)]);
  return plan;
}

async function change(transaction: Transaction, input: z.output<typeof changeInput>): Promise<Plan | Refusal> {
  const lockMode = LockMode.PESSIMISTIC_WRITE;
  const plan = await transaction.em.findOne(Plan, { id: input.planId }, { lockMode });
  if (plan === null) return refuse('not_found', ['planId']);
  const priceCards = await checkCards(transaction, input.priceCards);
  if (priceCards instanceof Refusal) return priceCards;
  const details = { before: { limits: plan.limits, priceCards: plan.priceCards } };
  plan.limits = input.limits;
  plan.priceCards = priceCards;
  await transaction.audit({ action: 'plan-changed', subjectKind: 'plan', subjectId: plan.id, details });
  await transaction.publish([planObject(plan)]);
  return plan;
}

/** Both cards are prices, and of one currency: a wallet pays in one. */
async function checkCards(
  { em }: Transaction,
  pairs: z.output<typeof createInput>['priceCards'],
): Promise<Readonly<Record<string, string>> | Refusal> {
  const ids = pairs.flatMap(({ modelPriceCardId, planPriceCardId }) => [modelPriceCardId, planPriceCardId]);
  const cards = await em.find(RateCard, { id: { $in: ids }, purpose: 'price' });
  const known = new Set(cards.map(({ id }) => id));
  for (const [index, { modelPriceCardId, planPriceCardId }] of pairs.entries()) {
    const path = ['priceCards', String(index)];
    if (!known.has(modelPriceCardId)) return refuse('not_found', [...path, 'modelPriceCardId']);
    if (!known.has(planPriceCardId)) return refuse('not_found', [...path, 'planPriceCardId']);
  }
  return Object.fromEntries(pairs.map(({ modelPriceCardId, planPriceCardId }) => [modelPriceCardId, planPriceCardId]));
}

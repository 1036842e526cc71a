import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { checkInput, Refusal, refuseConflict } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { ExchangeRate } from './entities.js';
import { currencySchema, effectiveFromSchema, printable } from './inputs.js';

const exchangeRateInput = z
  .object({
    baseCurrency: currencySchema,
    quoteCurrency: currencySchema,
    rate: z
      .string()
      .regex(/^\d{1,12}(\.\d{1,18})?$/, 'a decimal number such as "0.92", of at most 18 decimal places')
      .refine((rate) => /[1-9]/.test(rate), 'must be above zero'),
    /** Null for now. May lie in the past: what was converted keeps the rate that it was converted by. */
    effectiveFrom: effectiveFromSchema,
    source: printable(500),
  })
  .refine(({ baseCurrency, quoteCurrency }) => baseCurrency !== quoteCurrency, {
    message: 'is the base currency itself',
    path: ['quoteCurrency'],
  });

/** Exchange rates as the operator states them: superseded by later ones, never edited. */
export interface ExchangeRates {
  add(scope: Scope, input: z.input<typeof exchangeRateInput>): Promise<ExchangeRate | Refusal>;
  /** By currencies, the latest first. */
  list(scope: Scope): Promise<ExchangeRate[]>;
}

export function createExchangeRates({ run }: { run: RunTransaction }): ExchangeRates {
  return {
    async add(scope, input) {
      const checked = checkInput(exchangeRateInput, input);
      if (checked instanceof Refusal) return checked;
      return run(scope, (transaction) =>
        refuseConflict(['effectiveFrom'], async () => {
          const createdAt = new Date();
          const { effectiveFrom, ...stated } = checked;
          const row = { id: uuidv7(), ...stated, effectiveFrom: effectiveFrom ?? createdAt, createdAt };
          const exchangeRate = transaction.em.create(ExchangeRate, row);
          await transaction.em.flush();
          const { id, baseCurrency, quoteCurrency } = exchangeRate;
          const details = { baseCurrency, quoteCurrency, rate: exchangeRate.rate };
          await transaction.audit({
            ...{ action: 'exchange-rate-stated', subjectKind: 'exchange-rate', subjectId: id, details },
          });
          return exchangeRate;
        }),
      );
    },

    list: (scope) =>
      run(scope, ({ em }) =>
        em.find(ExchangeRate, {}, { orderBy: { baseCurrency: 'asc', quoteCurrency: 'asc', effectiveFrom: 'desc' } }),
      ),
  };
}

/** The rate in force at an instant; only as it was stated, never turned round or chained: that would have to be rounded. */
export function findExchangeRate(
  { em }: Transaction,
  { baseCurrency, quoteCurrency, at }: { baseCurrency: string; quoteCurrency: string; at: Date },
): Promise<ExchangeRate | null> {
  return em.findOne(
    ExchangeRate,
    { baseCurrency, quoteCurrency, effectiveFrom: { $lte: at } },
    { orderBy: { effectiveFrom: 'desc' } },
  );
}

import { z } from 'zod';
import { parseAmount } from '@pingtoken/shared/money';

/** Inputs that everything about money shares. */
const MAX_AMOUNT = parseAmount('1000000000');

function isPayable(text: string): boolean {
  if (!/^\d{1,10}(\.\d{1,12})?$/.test(text)) return false;
  const amount = parseAmount(text);
  return amount > 0n && amount <= MAX_AMOUNT;
}

/** Text of at most so many characters, none of them a control character. */
export const printable = (max: number) =>
  z
    .string()
    .trim()
    .min(1)
    .max(max)
    .regex(/^\P{Cc}*$/u, 'must not hold control characters');

export const currencySchema = z.string().regex(/^[A-Z]{3}$/, 'three capital letters (ISO 4217)');

/** Decimal, above zero and at most 10^9, such as `100.00`. */
export const payableSchema = z
  .string()
  .refine(isPayable, 'a decimal number such as "100.00", above zero and at most 1000000000');

/** The same key with the same input is done once, however often it is sent. */
export const idempotencyKeySchema = printable(200);

export const reasonSchema = printable(500);
export const prioritySchema = z.int().min(0).max(1000, 'from 0 (spent first) to 1000');
export const futureSchema = z.date().refine((date) => date.getTime() > Date.now(), 'must lie in the future');

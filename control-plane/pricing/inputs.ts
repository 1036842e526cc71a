import { z } from 'zod';

/** What several inputs about prices have in common. */
const TEN_YEARS_MS = 10 * 366 * 24 * 3600 * 1000;

export const printable = (max: number) =>
  z
    .string()
    .trim()
    .min(1)
    .max(max)
    .regex(/^\P{Cc}*$/u, 'must not hold control characters');

export const currencySchema = z.string().regex(/^[A-Z]{3}$/, 'three capital letters (ISO 4217)');

/** Null for now. */
export const effectiveFromSchema = z
  .date()
  .refine((date) => date.getTime() <= Date.now() + TEN_YEARS_MS, 'must lie within ten years')
  .nullish();

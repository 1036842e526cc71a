import { z } from 'zod';
import { areAddressRanges } from './address-ranges.js';
import { RECORDED_OPERATIONS } from './usage-event.js';

/**
 * What a key, a member, a tenant or a plan may do. Each of them bounds its calls on its own, so that a call has to fit into
 * all. Null bounds nothing.
 */
export const limitsSchema = z.object({
  /** In any 60 seconds. */
  requestsPerMinute: limit(),
  /** In any 24 hours. */
  requestsPerDay: limit(),
  /** Of prompt and answer, in any 60 seconds. */
  tokensPerMinute: limit(),
  tokensPerDay: limit(),
  /** On their way at the same time. */
  concurrentCalls: limit(),
  /** Ids of the models that may be called. */
  modelIds: z.array(z.uuid()).max(1000).nullable().default(null),
  operations: z.array(z.enum(RECORDED_OPERATIONS)).nullable().default(null),
  /** Where calls may come from: address ranges such as `10.0.0.0/8`. */
  addressRanges: z
    .array(z.string().max(50).refine(areAddressRanges, 'must be an address range such as 10.0.0.0/8'))
    .max(100)
    .nullable()
    .default(null),
});
export type Limits = z.infer<typeof limitsSchema>;

function limit() {
  return z.int().positive().max(Number.MAX_SAFE_INTEGER).nullable().default(null);
}

/** @returns whether anything is bounded at all */
export function boundsAnything(limits: Limits): boolean {
  return Object.values(limits).some((value) => value !== null);
}

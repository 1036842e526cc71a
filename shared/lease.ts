import { z } from 'zod';

/**
 * The contract of both ways. Today it says which records the ledger holds, so that a data plane may delete them; requests,
 * grants, fences and returns of leases join it when wallets are enforced (`leaseIds` in a usage event has their place).
 */
export const spoolConfirmationSchema = z.object({
  spoolId: z.uuid(),
  /** Every record up to and including this one is in the ledger, or set aside in quarantine. */
  confirmedSeq: z.int().nonnegative(),
});
export type SpoolConfirmation = z.infer<typeof spoolConfirmationSchema>;

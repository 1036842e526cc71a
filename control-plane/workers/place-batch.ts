export interface BatchPlace {
  /** How many of its first records the ledger has already. */
  readonly knownCount: number;
  /** Confirmed once the others are in the ledger. */
  readonly lastSeq: number;
}

/**
 * Where a batch stands to what of its spool is confirmed: records before it are missing (`gap`), all of it is `known`, or some
 * of it is new. Pure; together with the lock on the spool it is why no record is booked twice, and none is passed over.
 */
export function placeBatch(
  { firstSeq, count }: { readonly firstSeq: number; readonly count: number },
  confirmedSeq: number,
): BatchPlace | 'gap' | 'known' {
  const lastSeq = firstSeq + count - 1;
  if (firstSeq > confirmedSeq + 1) return 'gap';
  if (lastSeq <= confirmedSeq) return 'known';
  return { knownCount: confirmedSeq + 1 - firstSeq, lastSeq };
}

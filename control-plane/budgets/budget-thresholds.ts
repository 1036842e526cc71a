/** Percentages of a budget at which its owners are told. */
export const THRESHOLDS = [50, 80, 100] as const;

/** The thresholds that have been come to and not told of yet, ascending. */
export function crossedThresholds({
  spent,
  limit,
  told,
}: {
  /** Units, as is the limit. */
  readonly spent: bigint;
  readonly limit: bigint;
  /** The highest threshold that was told of. */
  readonly told: number;
}): number[] {
  return THRESHOLDS.filter((percent) => percent > told && spent * 100n >= limit * BigInt(percent));
}

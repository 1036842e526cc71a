/** Percentages of a budget at which its owners are told. */
const THRESHOLDS = [50, 80, 100] as const;

/** The thresholds that have been come to and not told of yet, ascending. */
export function crossedThresholds({
  spent,
  limit,
  told,
  isUsedUp = false,
}: {
  /** Units, as is the limit. */
  readonly spent: bigint;
  readonly limit: bigint;
  /** The highest threshold that was told of. */
  readonly told: number;
  /** A call did not fit into what is left; of a budget that is nearly spent, that is its end. */
  readonly isUsedUp?: boolean;
}): number[] {
  const has = (percent: number): boolean => spent * 100n >= limit * BigInt(percent);
  return THRESHOLDS.filter((percent) => percent > told && (has(percent) || (isUsedUp && percent === 100 && has(80))));
}

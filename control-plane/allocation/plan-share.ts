import type { ShareReport } from '@pingtoken/shared/rate-share';

/** What is known of one limit, apart from what the sender reports. */
export interface LimitState {
  readonly limit: number;
  /** Shares of all others, also of those that died and whose use still counts. */
  readonly others: number;
  /** The sender's own, as it was given last. */
  readonly own: number;
}

export interface PlannedShare {
  readonly granted: number;
  /** Held by nobody afterwards. */
  readonly free: number;
  /** Of what calls wait for. */
  readonly isShort: boolean;
}

/** Of what nobody waits for, one data plane is given at most this part of what is free: others shall find some too. */
const STOCK_DIVISOR = 4;

/**
 * The sender's share after its report. Never above what is left of the limit beside the others' shares: where a limit was
 * lowered, nobody is given more before enough was given up. Pure.
 */
export function planShare(
  { keep, needed, stock }: Pick<ShareReport, 'keep' | 'needed' | 'stock'>,
  { limit, others, own }: LimitState,
): PlannedShare {
  const kept = Math.min(own, keep);
  const free = Math.max(0, limit - others - kept);
  const given = Math.min(needed, free);
  const stocked = Math.min(stock, Math.floor((free - given) / STOCK_DIVISOR));
  return { granted: kept + given + stocked, free: free - given - stocked, isShort: given < needed };
}

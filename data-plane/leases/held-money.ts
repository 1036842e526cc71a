import type { ServiceTier, Usage } from '@pingtoken/shared/rate-card';

/** What a call's tenant pays for. */
export interface Billed {
  /** Of the model that has served it. */
  readonly priceCardVersionId: string;
  readonly usage: Usage;
  readonly serviceTier?: ServiceTier | undefined;
  /** What is paid of the price, in ten-thousandths; all of it if left out. */
  readonly priceShare?: number;
}

/** The most that one call can cost, held for it until it is over. */
export interface HeldMoney {
  readonly leaseIds: readonly string[];
  /** Units, on each of the leases. */
  readonly reserved: string;
  /** Tokens that the call's answer has to be held to, for more is not covered; undefined where its caller's own word holds. */
  readonly answerCap: number | undefined;
  /** Once the call's end has its place in the spool, or when it never went out. @param billed undefined where nothing is */
  settle(billed?: Billed): void;
}

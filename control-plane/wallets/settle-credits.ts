/** A credit of a wallet: an amount that came in, and where it went. All in units. */
export interface Credit {
  readonly id: string;
  readonly amount: bigint;
  /** Lower is spent first. */
  readonly priority: number;
  /** Milliseconds since 1970; null for never. */
  readonly expiresAt: number | null;
  /** Spent, or leased to be spent. */
  readonly drawn: bigint;
  readonly expired: bigint;
  readonly refunded: bigint;
}

export interface Expiry {
  readonly creditId: string;
  readonly amount: bigint;
}

export interface Settlement {
  /** Every credit as it is now, in the order in which they are spent. */
  readonly credits: readonly Credit[];
  /** What runs out now and has to leave the wallet. */
  readonly expiries: readonly Expiry[];
  /** Of the wallet, after the expiries. */
  readonly balance: bigint;
}

export function remainingOf({ amount, drawn, expired, refunded }: Credit): bigint {
  return amount - drawn - expired - refunded;
}

/** By priority, then by expiry, then by age (ids are UUIDv7). */
export function inSpendingOrder(credits: readonly Credit[]): Credit[] {
  return credits.toSorted(
    (one, other) =>
      one.priority - other.priority ||
      (one.expiresAt ?? Infinity) - (other.expiresAt ?? Infinity) ||
      (one.id < other.id ? -1 : 1),
  );
}

/**
 * Says which credits a wallet's money is of. Between two settlements nothing but the balance has changed, for each credit that
 * comes, runs out or is paid back is preceded by one: so what left the wallet in between was drawn in the order of spending,
 * whatever the steps were, and what came back (of a lease, by a correction) goes to those drawn last. Money that comes back to
 * a credit that has run out meanwhile runs out with it. Pure.
 * @param balance of the wallet, leased money excluded; below zero where a postpaid tenant owes
 * @param at milliseconds since 1970
 */
export function settleCredits(credits: readonly Credit[], balance: bigint, at: number): Settlement {
  const ordered = inSpendingOrder(credits);
  const open = ordered.reduce((sum, credit) => sum + remainingOf(credit), 0n);
  const excess = open - (balance > 0n ? balance : 0n);
  const moved = excess >= 0n ? draw(ordered, excess) : draw(ordered.toReversed(), excess).toReversed();
  const expiries = moved
    .filter(({ expiresAt }) => expiresAt !== null && expiresAt <= at)
    .map((credit) => ({ creditId: credit.id, amount: remainingOf(credit) }))
    .filter(({ amount }) => amount > 0n);
  const expiring = new Map(expiries.map(({ creditId, amount }) => [creditId, amount]));
  return {
    credits: moved.map((credit) => ({ ...credit, expired: credit.expired + (expiring.get(credit.id) ?? 0n) })),
    expiries,
    balance: expiries.reduce((left, { amount }) => left - amount, balance),
  };
}

/** Takes from the first ones what they have or, below zero, gives back to the first ones what they gave. */
function draw(credits: readonly Credit[], amount: bigint): Credit[] {
  let left = amount;
  return credits.map((credit) => {
    const available = left > 0n ? remainingOf(credit) : -credit.drawn;
    const taken = left > 0n ? smaller(left, available) : larger(left, available);
    left -= taken;
    return taken === 0n ? credit : { ...credit, drawn: credit.drawn + taken };
  });
}

const smaller = (one: bigint, other: bigint): bigint => (one < other ? one : other);
const larger = (one: bigint, other: bigint): bigint => (one > other ? one : other);

import type { LeaseAsk } from '@pingtoken/shared/lease';

export interface GrantPlan {
  /** Units to be granted, above zero. */
  readonly grant: bigint;
}

/** What there is of a scope, in units. */
export interface ScopeState {
  /** Neither spent nor leased; below zero where a limit was lowered. */
  readonly available: bigint;
  /** Leased, to anyone, and not known to be used. */
  readonly leased: bigint;
}

/** Of what nobody waits for, a data plane is given at most this part of what is left: others shall find some too. */
const STOCK_DIVISOR = 4n;

/**
 * How much of an ask is granted. Who lacks nothing beyond gets what is needed in whole; where there is less, whole units are
 * given, so that a wallet worth a hundred calls serves a hundred, however they come. Pure.
 */
export function planGrant(ask: LeaseAsk, { available, leased }: ScopeState): GrantPlan | 'reserved' | 'exhausted' {
  const [held, unit, needed, desired] = [ask.held, ask.unit, ask.needed, ask.desired].map(BigInt) as [
    bigint,
    bigint,
    bigint,
    bigint,
  ];
  const left = available > needed ? available - needed : 0n;
  const stock = smaller(desired > needed ? desired - needed : 0n, left / STOCK_DIVISOR);
  const wholeStock = stock - (stock % unit);
  const grant = available >= needed ? needed + wholeStock : held + available - ((held + available) % unit) - held;
  if (grant > 0n) return { grant };
  return available + leased >= unit ? 'reserved' : 'exhausted';
}

const smaller = (one: bigint, other: bigint): bigint => (one < other ? one : other);

/** The ask of somebody whose lease cannot grow: what it holds is no help to the calls that wait. */
export function withoutHeld(ask: LeaseAsk): LeaseAsk {
  const needed = ask.needed === '0' ? '0' : String(BigInt(ask.needed) + BigInt(ask.held));
  return { ...ask, held: '0', needed };
}

/**
 * Money is an integer of 10^-12 of the currency unit (a *unit* here), a bigint in memory, `numeric` in PostgreSQL and a
 * decimal string on the wire: a token of the cheapest model costs some thousand units, so no rate is ever rounded to
 * nothing, and sums of any size stay exact.
 */

/** Decimal places that one unit stands for. */
export const MONEY_SCALE = 12;

const UNITS_PER_ONE = 10n ** BigInt(MONEY_SCALE);
const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?$/;

/**
 * Reads a decimal number, exactly.
 * @param text plain or scientific notation, such as `12.5` or `1.5e-7`
 * @param divisor the amount is divided by it, for prices quoted per million
 * @returns units; what lies below one unit is rounded half to even, the one rounding that an import makes
 * @throws RangeError when the text is no decimal number or the divisor is not positive
 */
export function parseAmount(text: string, divisor = 1n): bigint {
  const { numerator, denominator, sign } = readFraction(text, divisor);
  return sign * divideHalfEven(numerator, denominator);
}

/** Whether {@link parseAmount} reads the text without rounding. */
export function isExactAmount(text: string, divisor = 1n): boolean {
  const { numerator, denominator } = readFraction(text, divisor);
  return numerator % denominator === 0n;
}

/** A number of units as a fraction. */
interface Fraction {
  readonly numerator: bigint;
  readonly denominator: bigint;
  readonly sign: bigint;
}

function readFraction(text: string, divisor: bigint): Fraction {
  const match = DECIMAL.exec(text);
  if (match === null || divisor <= 0n) throw new RangeError(`not a decimal amount: ${text}`);
  const [, sign = '', whole = '0', fraction = '', exponent = '0'] = match;
  const shift = MONEY_SCALE - fraction.length + Number(exponent);
  const digits = BigInt(whole + fraction);
  const numerator = shift >= 0 ? digits * 10n ** BigInt(shift) : digits;
  const denominator = shift >= 0 ? divisor : divisor * 10n ** BigInt(-shift);
  return { numerator, denominator, sign: sign === '-' ? -1n : 1n };
}

/** @returns the amount as a plain decimal, without trailing zeros: `0.000000001234`, `-3`, `12.5`. */
export function formatAmount(units: bigint): string {
  const sign = units < 0n ? '-' : '';
  const magnitude = units < 0n ? -units : units;
  const whole = (magnitude / UNITS_PER_ONE).toString();
  const fraction = (magnitude % UNITS_PER_ONE).toString().padStart(MONEY_SCALE, '0').replace(/0+$/, '');
  return fraction === '' ? `${sign}${whole}` : `${sign}${whole}.${fraction}`;
}

/** Division of a non-negative integer by a positive one, ties to the even neighbour so that many roundings do not drift one way. */
export function divideHalfEven(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  const twiceRemainder = (numerator % denominator) * 2n;
  if (twiceRemainder > denominator) return quotient + 1n;
  if (twiceRemainder < denominator) return quotient;
  return quotient % 2n === 0n ? quotient : quotient + 1n;
}
